"""`agent models`: which models are here, which one is used, and how fast it is."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.common import (
    Parser,
    add_action,
    add_json,
    emit,
    find_root,
    load_settings,
    show_table,
    start_directory,
)
from agent.errors import ConfigError
from agent.sanitize import clean, one_line, plain

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.models import Entry, ModelInfo

__all__ = ["configure", "run"]


def configure(parser: Parser, name: str) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for action, text in (
        ("list", "models on this machine; the one in use is marked (the default)"),
        ("use", "use a model from now on: mini, a name from the list, a GGUF file, or none"),
        ("fit", "what fits into the memory of this machine, here or in the catalogue"),
        ("import", "make a GGUF file known by a link, its header checked first"),
        ("calibrate", "start the model in use, test its draft head, measure its speed"),
        ("status", "engine workers that are running"),
        ("stop", "end them"),
    ):
        sub = add_action(actions, action, text)
        if action == "use":
            sub.add_argument("model")
        if action == "import":
            sub.add_argument("file", type=Path)
        if action == "fit":
            sub.add_argument("--context", type=int, metavar="TOKENS", help="else local.context")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    actions = {
        "list": _list,
        "fit": _fit,
        "use": _use,
        "import": _import,
        "calibrate": _calibrate,
        "status": _status,
        "stop": _stop,
    }
    return actions[args.action or "list"](args)


# --------------------------------------------------------------------------- what is here


def _list(args: argparse.Namespace) -> int:
    from rich.table import Table

    from agent import models, paths
    from agent.trajectory import jsonable

    settings = _settings(args)
    used = _used(settings)
    found = list(models.installed(paths.models_dir()))
    if used is not None and all(m.path.resolve() != used for m in found):
        found.append(models.inspect(used))
    if args.json:
        for info in found:
            emit({**jsonable(info), "used": info.path.resolve() == used})
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "model", "parameters", "file", "context", "weights", "MTP head"):
        table.add_column(title, overflow="fold")
    for info in found:
        is_used = info.path.resolve() == used
        table.add_row(
            "→" if is_used else "",
            plain(one_line(info.path.stem, 60), "bold" if is_used else ""),
            _millions(info.parameters),
            f"{info.size / 1e6:,.1f} MB",
            f"{info.context:,}",
            plain(info.quantisation),
            "yes" if info.has_mtp else "no",
        )
    if found:
        show_table(args, table)
    if used is None:
        name = settings.local_model
        state = "switched off" if name == "none" else "not installed"
        sys.stderr.write(f"local.model = {clean(name)}: {state}\n")
        sys.stderr.write("  next: agent models fit\n")
    return 0


def _fit(args: argparse.Namespace) -> int:
    """Installed models and those of the catalogue against the memory that is free now."""
    from rich.table import Table

    from agent import models, paths
    from agent.trajectory import jsonable

    context = args.context or _settings(args).local_context
    rows = [(m.path.stem, "installed", m) for m in models.installed(paths.models_dir())]
    rows += [(e.name, e.source, _as_info(e)) for e in models.catalogue() if e.file_bytes]
    judged = [(n, where, models.fit(m, context=min(context, m.context or context)))
              for n, where, m in rows]  # fmt: skip
    if args.json:
        for name, where, fit in judged:
            emit({"name": name, "source": where, "context": context, **jsonable(fit)})
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("model", "fits", "needs", "free", "from"):
        table.add_column(title, overflow="fold")
    for name, where, fit in judged:
        table.add_row(
            plain(one_line(name, 60), "bold"),
            "yes" if fit.fits else "no",
            f"{fit.needed / 2**30:.1f} GiB",
            f"{fit.available / 2**30:.1f} GiB",
            plain(one_line(where, 80), "dim"),
        )
    show_table(args, table)
    sys.stderr.write(f"with {context:,} tokens of context, or what the model was made for\n")
    sys.stderr.write("  next: download the GGUF file, then agent models import FILE\n")
    return 0


def _as_info(entry: "Entry") -> "ModelInfo":
    """A catalogue entry as if its file were here."""
    from agent.models import ModelInfo

    return ModelInfo(
        path=Path(entry.file or entry.name),
        name=entry.title,
        architecture=entry.architecture,
        parameters=int(entry.parameters * 1e9),
        context=entry.context,
        has_mtp=True,
        hybrid=True,
        quantisation=entry.quantisation,
        size=entry.file_bytes,
        kv_bytes=entry.kv_bytes,
    )


def _used(settings: "Settings") -> Path | None:
    from agent import models, paths

    if settings.local_model == "none":
        return None
    path = models.resolve(settings.local_model, paths.models_dir())
    return None if path is None else path.resolve()


def _millions(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 10**9 else f"{parameters / 1e6:.1f} M"


# --------------------------------------------------------------------------- choosing


def _use(args: argparse.Namespace) -> int:
    from agent import models, paths
    from agent.config_edit import set_value

    name = args.model
    if name != "none":
        path = models.resolve(name, paths.models_dir())
        if path is None:
            raise ConfigError(f"the model {name!r} is not installed", remedy="agent models list")
        models.inspect(path)
        # A relative path would mean another file in another directory.
        name = str(path) if name != "mini" and Path(name).is_file() else name
    file = set_value("local.model", name)
    sys.stderr.write(f"local.model = {clean(name)} in {clean(str(file))}\n")
    return 0


def _import(args: argparse.Namespace) -> int:
    from agent import models, paths

    link = models.import_model(args.file, paths.models_dir())
    sys.stderr.write(f"{clean(str(link))}\n  next: agent models use {clean(link.stem)}\n")
    return 0


# --------------------------------------------------------------------------- workers


def _calibrate(args: argparse.Namespace) -> int:
    """The worker tests and measures itself when it starts; its health says what it found."""
    from agent import paths
    from agent.places import Places
    from agent.serve.supervise import ensure_worker, worker_status

    settings = _settings(args)
    model = Places(settings).local_model
    if model is None:
        raise ConfigError("no local model is in use", remedy="agent models list")
    runtime = paths.runtime_dir()
    endpoint = ensure_worker(
        model.path,
        runtime_dir=runtime,
        context=model.window,
        threads=settings.local_threads,
        idle_s=settings.worker_idle_s,
    )
    mine = next(w for w in worker_status(runtime) if w.socket == endpoint.uds)
    health: dict[str, Any] = json.loads(mine.health or "{}")
    if args.json:
        emit(health)
        return 0
    for name, value in health.items():
        sys.stdout.write(f"{clean(name):<12}{clean(json.dumps(value))}\n")
    return 0


def _status(args: argparse.Namespace) -> int:
    from agent import paths
    from agent.serve.supervise import worker_status

    for worker in worker_status(paths.runtime_dir()):
        if args.json:
            health = json.loads(worker.health or "null")
            emit(
                {"key": worker.key, "model": str(worker.model), "pid": worker.pid,
                 "alive": worker.alive, "health": health}
            )  # fmt: skip
            continue
        state = "ready" if worker.health else ("busy or starting" if worker.alive else "gone")
        sys.stdout.write(clean(f"{worker.pid:>8}  {state:<16}  {worker.model}") + "\n")
    return 0


def _stop(args: argparse.Namespace) -> int:
    from agent import paths
    from agent.serve.supervise import stop_all

    count = stop_all(paths.runtime_dir())
    sys.stderr.write(f"{count} worker{'' if count == 1 else 's'} ended\n")
    return 0


def _settings(args: argparse.Namespace) -> "Settings":
    return load_settings(args, find_root(start_directory(args))).settings
