"""`agent models`: which models are here, which one is used, and how fast it is."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.common import Parser, emit, find_root, load_settings, out_console, start_directory
from agent.errors import ConfigError
from agent.sanitize import clean, one_line, plain

if TYPE_CHECKING:
    from agent.config import Settings

__all__ = ["configure", "run"]

MAGIC = b"GGUF"


def configure(parser: Parser, name: str) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for action, text in (
        ("list", "models on this machine; the one in use is marked (the default)"),
        ("use", "use a model from now on: mini, a name from the list, a GGUF file, or none"),
        ("import", "copy a GGUF file to the models directory, checked first"),
        ("calibrate", "start the model in use, test its draft head, measure its speed"),
        ("status", "engine workers that are running"),
        ("stop", "end them"),
    ):
        sub = actions.add_parser(action, help=text, allow_abbrev=False)
        if action == "use":
            sub.add_argument("model")
        if action == "import":
            sub.add_argument("file", type=Path)
            sub.add_argument("--name", help="name in the list; else the file's")
    parser.add_argument("--json", action="store_true", help="JSON lines on stdout")


def run(args: argparse.Namespace) -> int:
    actions = {
        "list": _list,
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

    settings = _settings(args)
    rows = [_row(name, path, settings) for name, path in _installed(settings).items()]
    if args.json:
        for row in rows:
            emit(row)
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "model", "size", "context", "file"):
        table.add_column(title, overflow="fold", justify="right" if title == "size" else "left")
    for row in rows:
        table.add_row(
            "→" if row["used"] else "",
            plain(str(row["name"]), "bold" if row["used"] else ""),
            f"{row['size_bytes'] / 1e6:,.1f} MB",
            plain(str(row.get("context", row.get("error", "")))),
            plain(str(row["path"]), "dim"),
        )
    if rows:
        out_console(args).print(table)
    if not any(row["used"] for row in rows):
        used = settings.local_model
        state = "switched off" if used == "none" else "not installed"
        sys.stderr.write(f"local.model = {clean(used)}: {state}\n")
    return 0


def _installed(settings: "Settings") -> dict[str, Path]:
    """Name -> file: the shipped model, the models directory, and a path that is in use."""
    from agent import models, paths

    directory = paths.models_dir()
    found: dict[str, Path] = {}
    for name in ("mini", settings.local_model):
        path = None if name == "none" else models.resolve(name, directory)
        if path is not None:
            found[name] = path
    if directory.is_dir():
        for file in sorted(directory.glob("*.gguf")):
            if file not in found.values():
                found[file.stem] = file
    return found


def _row(name: str, path: Path, settings: "Settings") -> dict[str, Any]:
    """What is known about a file. A damaged one is listed with its error."""
    from agent import models
    from agent.trajectory import jsonable
    from tools.errors import PointsmanError

    row: dict[str, Any] = {
        "name": name,
        "path": str(path),
        "size_bytes": path.stat().st_size,
        "used": name == settings.local_model,
    }
    try:
        info = jsonable(models.inspect(path))
    except (PointsmanError, ValueError, OSError) as error:
        return row | {"error": one_line(str(error))}
    return info | row if isinstance(info, dict) else row


# --------------------------------------------------------------------------- choosing


def _use(args: argparse.Namespace) -> int:
    from agent import models, paths
    from agent.config_edit import set_value

    name = args.model
    if name not in ("none", "mini"):
        path = models.resolve(name, paths.models_dir())
        if path is None:
            raise ConfigError(f"the model {name!r} is not installed", remedy="agent models list")
        models.inspect(path)
        # A relative path would mean another file in another directory.
        name = str(path) if Path(name).is_file() else name
    file = set_value("local.model", name)
    sys.stderr.write(f"local.model = {clean(name)} in {clean(str(file))}\n")
    return 0


def _import(args: argparse.Namespace) -> int:
    import shutil

    from agent import models, paths

    source: Path = args.file
    if not source.is_file():
        raise ConfigError(f"{source}: no such file")
    with source.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ConfigError(f"{source} is not a GGUF file")
    models.inspect(source)
    name = args.name or source.stem
    target = paths.models_dir() / f"{name}.gguf"
    if target.parent != paths.models_dir() or name in ("mini", "none") or name.startswith("."):
        raise ConfigError(f"{name!r} cannot be a model's name", remedy="--name NAME")
    if target.exists():
        raise ConfigError(f"{target} exists", remedy=f"--name OTHER, or rm '{target}'")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(".part")
    shutil.copyfile(source, scratch)
    scratch.replace(target)
    sys.stderr.write(f"{clean(str(target))}\n  next: agent models use {clean(name)}\n")
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
