"""`agent models`: which models are here, which one is used, what would fit, how to get it."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.common import (
    Parser,
    add_action,
    add_json,
    emit,
    err_console,
    find_root,
    load_settings,
    show_table,
    start_directory,
)
from agent.cli.models_fit import about_mini, prediction, run_fit, say
from agent.errors import ConfigError
from agent.sanitize import clean, one_line, plain

if TYPE_CHECKING:
    from rich.progress import TaskID

    from agent.config import Settings
    from agent.models import ModelInfo

__all__ = ["configure", "run"]


def configure(parser: Parser, name: str) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for action, text in (
        ("list", "models on this machine; the one in use is marked (the default)"),
        ("use", "use a model from now on: mini, a name from the list, a GGUF file, or none"),
        ("fit", "what fits this machine, here or in the catalogue, and how fast it would be"),
        ("pull", "fetch a model's file: a name of the catalogue, or OWNER/REPOSITORY on the hub"),
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
            sub.add_argument("name", nargs="?", help="one model, with the formula")
            sub.add_argument("--context", type=int, metavar="TOKENS", help="else local.context")
            sub.add_argument("--kv", dest="local_kv", metavar="TYPE", help="auto, f16 or q8_0")
        if action == "pull":
            sub.add_argument("model")
            sub.add_argument("--quant", metavar="TYPE", help="another quantisation, such as Q8_0")
            sub.add_argument("--offline", action="store_true", help="only what is on this machine")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    actions = {
        "list": _list,
        "fit": run_fit,
        "pull": _pull,
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
    from agent.context import edit_format_of
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
    for title in ("", "model", "parameters", "file", "context", "weights", "MTP head", "edits"):
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
            edit_format_of(info.path.stem, min(info.context, settings.local_context)).replace(
                "_", "/"
            ),
        )
    if found:
        show_table(args, table)
    say(*_left_out(paths.models_dir()))
    if used is None:
        name = settings.local_model
        state = "switched off" if name == "none" else "not installed"
        sys.stderr.write(f"local.model = {clean(name)}: {state}\n")
        sys.stderr.write("  next: agent models fit\n")
    elif used == _mini():
        say(*about_mini(settings.local_context))
    return 0


def _left_out(models_dir: Path) -> list[str]:
    """Files in the directory that are not in the table, and why."""
    from agent import models

    lines = [f"{path.name} cannot be used: {why}" for path, why in models.damaged(models_dir)]
    for part in sorted(models_dir.glob(".*.gguf.partial")):
        name = part.name.removeprefix(".").removesuffix(".partial")
        size = part.stat().st_size / 1e9
        lines.append(f"{name} is not whole yet ({size:.2f} GB): agent models pull goes on with it")
    return lines


def _mini() -> Path | None:
    from agent import models

    shipped = models.shipped()
    return None if shipped is None else shipped.resolve()


def _used(settings: "Settings") -> Path | None:
    from agent import models, paths

    if settings.local_model == "none":
        return None
    path = models.resolve(settings.local_model, paths.models_dir())
    return None if path is None else path.resolve()


def _millions(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 10**9 else f"{parameters / 1e6:.1f} M"


# --------------------------------------------------------------------------- getting, choosing


def _pull(args: argparse.Namespace) -> int:
    from agent import paths
    from agent.models.pull import pull, source_of
    from agent.trajectory import jsonable

    source = source_of(args.model, args.quant)
    with _progress(args) as progress:
        done = pull(source, paths.models_dir(), progress=progress, offline=args.offline)
    if args.json:
        emit({**jsonable(done), "repo": source.repo})
    checked = f"SHA-256 {done.sha256} as published" if done.sha256 else "hash not published"
    state = (
        f"{done.fetched / 1e9:.2f} GB fetched, {checked}" if done.fetched else "was here already"
    )
    say(f"{done.path}: {state}", f"next: agent models use {done.path.stem}")
    return 0


@contextmanager
def _progress(args: argparse.Namespace) -> "Iterator[Callable[[str, int, int], None]]":
    """A bar where somebody looks."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = err_console(args)
    shown = console.is_terminal and not console.is_dumb_terminal and not args.quiet
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
               TransferSpeedColumn(), TimeRemainingColumn())  # fmt: skip
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not shown, transient=True) as bars:

        def told(name: str, at: int, total: int) -> None:
            if name not in tasks:
                words = plain(one_line(name, 40)).markup
                tasks[name] = bars.add_task(words, total=total, completed=at)
            bars.update(tasks[name], completed=at)

        yield told


def _use(args: argparse.Namespace) -> int:
    from agent import models, paths
    from agent.config_edit import set_value

    name = args.model
    told = []
    if name != "none":
        path = models.resolve(name, paths.models_dir())
        if path is None:
            raise ConfigError(f"the model {name!r} is not installed", remedy=_how_to_get(name))
        told = _about(models.inspect(path), _settings(args).local_context)
        # A relative path would mean another file in another directory.
        name = str(path) if name != "mini" and Path(name).is_file() else name
    file = set_value("local.model", name)
    sys.stderr.write(f"local.model = {clean(name)} in {clean(str(file))}\n")
    say(*told)
    return 0


def _how_to_get(name: str) -> str:
    from agent import models

    entry = models.find(name)
    return f"agent models pull {entry.name}" if entry and entry.repo else "agent models list"


def _about(info: "ModelInfo", context: int) -> list[str]:
    """One line on what to expect, two where it is bad news."""
    from agent import models, paths

    machine = models.look(paths.cache_dir())
    fit = models.fit(models.load_of(info), machine, context=context)
    head = "draft head" if info.has_mtp else "no draft head: copies are drafted, other text is not"
    lines = [f"{info.architecture}, {info.quantisation}, {head}; {fit.where}, {prediction(fit)}"]
    if not fit.fits:
        need, free = fit.needed / 2**30, fit.available / 2**30
        lines.append(
            f"it needs {need:.1f} GiB and {free:.1f} are free: it may be very slow, or fail"
        )
    return lines


def _import(args: argparse.Namespace) -> int:
    from agent import models, paths

    link = models.import_model(args.file, paths.models_dir())
    sys.stderr.write(f"{clean(str(link))}\n  next: agent models use {clean(link.stem)}\n")
    return 0


# --------------------------------------------------------------------------- workers


def _calibrate(args: argparse.Namespace) -> int:
    """The worker tests itself when it starts and measures the rest when asked; its health says
    what it found."""
    from agent import paths
    from agent.places import Places
    from agent.serve.supervise import ensure_worker

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
        kv=settings.local_kv,
        decisions=paths.decisions_file() if settings.record_decisions else None,
    )
    assert endpoint.uds is not None
    health = _measured(endpoint.uds)
    if args.json:
        emit(health)
        return 0
    for name, value in health.items():
        sys.stdout.write(f"{clean(name):<12}{clean(json.dumps(value))}\n")
    return 0


def _measured(socket: Path) -> dict[str, Any]:
    """Ask a worker to measure its cost curve, and wait for it; its health then."""
    import httpx2

    from agent.errors import EngineError

    transport = httpx2.HTTPTransport(uds=str(socket))
    try:
        with httpx2.Client(transport=transport, base_url="http://worker", timeout=60) as http:
            http.post("/calibrate").raise_for_status()
            told = ""
            while True:
                health: dict[str, Any] = http.get("/health").raise_for_status().json()
                found = health["calibration"]
                line = f"measured {found['done']} of {found['of']} points\n"
                if line != told:
                    sys.stderr.write(line)
                told = line
                if found["state"] == "measured":
                    return health
                if "note" in found:
                    raise EngineError(f"the cost curve could not be measured: {found['note']}")
                time.sleep(0.3)
    except httpx2.HTTPError as error:
        raise EngineError(f"the engine worker does not answer: {error}") from error


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
