"""The checks of `agent doctor`, each a small function that looks at one thing and tells."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tools.errors import PointsmanError

if TYPE_CHECKING:
    from agent.config import Loaded

__all__ = ["Check", "run_checks"]

OURS = ("agent", "tools", "prompts", "evals")
LLAMA = """
from agent.engine.llama import bindings
b = bindings()
names = ("llama_set_embeddings_nextn", "llama_get_embeddings_nextn_ith")
info = b.core.llama_print_system_info().decode()
print(*(part.split("=")[0].split(":")[-1].strip() for part in info.split("|") if "= 1" in part))
print(",".join(n for n in names if not hasattr(b.ext, n)))
print("gpu" if b.core.llama_supports_gpu_offload() else "cpu")
"""
"""Run in a process of its own: a wrong build of llama.cpp can end the process it is loaded in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding. `next` is a command or a sentence to act on, if there is anything to do."""

    name: str
    state: Literal["ok", "note", "warn", "fail"]
    detail: str
    next: str = ""


Look = Callable[[], Iterator[Check]]


def run_checks(args: argparse.Namespace, root: Path | None) -> Iterator[Check]:
    """Every check in order. One that cannot be carried out is a failed check, not an error."""
    looks: tuple[tuple[str, Look], ...] = (
        ("version", _version),
        ("install", _install),
        ("git", _git),
        ("settings", lambda: _settings(args, root)),
        ("sandbox", _sandbox),
        ("user", _user),
        ("ledger", _ledger),
        ("directories", _directories),
        ("llama.cpp", _llama),
        ("models", lambda: _models(_load(args, root))),
        ("engine", _workers),
        ("places", lambda: _places(_load(args, root))),
        ("repository", lambda: _repository(root)),
    )
    for name, look in looks:
        try:
            yield from look()
        except PointsmanError as error:
            yield Check(name=name, state="fail", detail=str(error), next=error.remedy or "")
        except (ImportError, OSError, ValueError) as error:
            yield Check(
                name=name, state="fail", detail=f"{error}", next="reinstall: pip install pointsman"
            )


def _load(args: argparse.Namespace, root: Path | None) -> "Loaded":
    from agent.cli.common import load_settings

    return load_settings(args, root)


def _version() -> Iterator[Check]:
    import platform
    from importlib.metadata import version

    detail = f"pointsman {version('pointsman')}, Python {platform.python_version()}"
    yield Check(name="version", state="ok", detail=f"{detail}, {platform.platform(terse=True)}")


def _install() -> Iterator[Check]:
    """Our packages have everyday names: in a shared environment another `tools` may win."""
    from importlib.util import find_spec

    roots = {}
    for name in OURS:
        spec = find_spec(name)
        roots[name] = Path(spec.origin).parent.parent if spec and spec.origin else None
    strays = [name for name in OURS if roots[name] != roots["agent"]]
    how = "uv tool install pointsman  (or pipx install pointsman)"
    if strays:
        where = roots[strays[0]] or "nowhere"
        detail = f"package {strays[0]!r} comes from {where}, not from us"
        yield Check(name="install", state="fail", detail=detail, next=how)
    elif sys.prefix == sys.base_prefix:
        detail = "shares the Python of the system: another package may shadow ours"
        yield Check(name="install", state="warn", detail=detail, next=how)
    else:
        yield Check(name="install", state="ok", detail=f"own environment {sys.prefix}")


def _git() -> Iterator[Check]:
    try:
        done = subprocess.run(
            ("git", "--version"), capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        yield Check(name="git", state="fail", detail="not found", next="install git")
        return
    yield Check(name="git", state="ok", detail=done.stdout.strip())


def _settings(args: argparse.Namespace, root: Path | None) -> Iterator[Check]:
    from agent.paths import user_config

    loaded = _load(args, root)
    changed = sum(o.source != "default" for o in loaded.origins.values())
    file = user_config()
    detail = f"{changed} not at their default; your file: {file}"
    yield Check(name="settings", state="ok", detail=detail, next="")
    for notice in loaded.notices:
        yield Check(name="settings", state="warn", detail=notice)


def _sandbox() -> Iterator[Check]:
    from tools.sandbox import report
    from tools.sandbox.none import INSTALL

    tiers = report()
    working = [t.name for t in tiers if t.works and t.name != "none"]
    for tier in tiers:
        if tier.name == "none":
            continue
        state: Literal["ok", "note"] = "ok" if tier.works else "note"
        chosen = "; used" if working[:1] == [tier.name] else ""
        yield Check(
            name=f"sandbox {tier.name}",
            state=state,
            detail=f"{tier.detail}{chosen} ({tier.probe_ms:.0f} ms)",
        )
    if not working:
        yield Check(
            name="sandbox",
            state="fail",
            detail="no tier works: tests cannot be run, so nothing can be verified",
            next=INSTALL,
        )


def _user() -> Iterator[Check]:
    if os.getuid() == 0:
        yield Check(
            name="user",
            state="note",
            detail="root; commands run as another user inside the sandbox where possible",
        )


def _ledger() -> Iterator[Check]:
    from agent import paths
    from agent.ledger import Ledger

    with Ledger(paths.ledger_path()) as ledger:
        count = len(ledger.rows(limit=1))
    detail = f"{paths.ledger_path()} can be written"
    yield Check(name="ledger", state="ok", detail=detail + ("" if count else "; empty"))


def _directories() -> Iterator[Check]:
    from agent import paths

    for name, make in (("cache", paths.cache_dir), ("state", paths.state_dir)):
        path = make()
        there = next(p for p in (path, *path.parents) if p.exists())
        if os.access(there, os.W_OK):
            yield Check(name=name, state="ok", detail=str(path))
        else:
            yield Check(name=name, state="fail", detail=f"{there} cannot be written",
                        next=f"ls -ld {there}")  # fmt: skip
    yield Check(name="runtime", state="ok", detail=str(paths.runtime_dir()))


def _llama() -> Iterator[Check]:
    import tempfile

    fix = "pip install --force-reinstall 'llama-cpp-python==0.3.36'"
    try:
        done = subprocess.run(
            (sys.executable, "-P", "-c", LLAMA),
            capture_output=True, text=True, timeout=60, check=False, cwd=tempfile.gettempdir(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Check(name="llama.cpp", state="fail", detail="did not load in 60 s", next=fix)
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        detail = last.removeprefix("agent.errors.EngineError: ")
        yield Check(name="llama.cpp", state="fail", detail=detail, next=fix + _compiler())
        return
    info, missing, built = done.stdout.strip("\n").split("\n")
    if missing:
        detail = f"MTP functions missing: {missing}"
        yield Check(name="llama.cpp", state="fail", detail=detail, next=fix)
    else:
        yield Check(name="llama.cpp", state="ok", detail=f"loads, has the MTP functions; {info}")
    yield from _gpus(built)
    yield from _kernels()


def _gpus(built: str) -> Iterator[Check]:
    """Graphics cards, and whether the installed llama.cpp can use them."""
    from agent import models

    for gpu in models.gpus():
        detail = f"{gpu.name}, {gpu.free / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB free"
        if built == "gpu":
            yield Check(name="GPU", state="ok", detail=detail)
        else:
            yield Check(
                name="GPU",
                state="warn",
                detail=f"{detail}; idle: the installed llama.cpp was built without GPU support",
                next=models.gpu_install_command(),
            )


def _kernels() -> Iterator[Check]:
    """Models that run without llama.cpp's fast CPU kernels, because these crashed."""
    from agent import paths
    from agent.serve import cpupath

    for found in cpupath.avoided(paths.cache_dir()):
        yield Check(
            name="CPU kernels",
            state="note",
            detail=f"{found.name} runs without the fast ones: {found.reason} in its self-test on"
            f" {found.day}",
            next=f"to try them again: rm {paths.cache_dir() / cpupath.FILE}",
        )


def _workers() -> Iterator[Check]:
    """Engines that run now, and what their self-test found."""
    import json

    from agent import paths
    from agent.serve.supervise import worker_status

    for worker in worker_status(paths.runtime_dir()):
        if worker.health is None:
            continue
        health = json.loads(worker.health)
        test, curve = health.get("self_test", {}), curve_words(health)
        rate = test.get("acceptance")
        if rate is None:
            head = "no draft head"
        elif not test.get("tokens", 0):
            head, rate = "its text of the self-test ended at once, so drafts are untested", None
        else:
            head = f"draft head right in {rate:.0%} of {test.get('tokens', 0)} tokens"
        if test.get("exact", True) and rate != 0:
            yield Check(name="engine", state="ok", detail=f"{worker.model.name}: {head}; {curve}")
            continue
        why = "its drafts changed the output and are not used" if rate else head
        yield Check(
            name="engine",
            state="warn",
            detail=f"{worker.model.name}: {why}",
            next="another file of the model: some have lost their draft head",
        )


def curve_words(health: dict[str, Any]) -> str:
    """Whether a worker decides from times measured here, by its own health."""
    found = health.get("calibration", {"state": "assumed", "done": 0, "of": 0})
    if found["state"] == "measured":
        return "cost curve measured"
    how = found["note"] if "note" in found else "goes on when it is idle"
    share = f"{found['done']} of {found['of']} points measured"
    return f"cost curve assumed ({share}; {how}; at once: agent models calibrate)"


def _compiler() -> str:
    """llama.cpp is compiled where it is installed, unless a wheel is found."""
    import shutil

    if any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        return ""
    return "  (install a C++ compiler first: there is none here)"


def _models(loaded: "Loaded") -> Iterator[Check]:
    from agent.places import Places

    s = loaded.settings
    if s.local_model == "none":
        yield Check(name="local model", state="note", detail="switched off (local.model = none)")
        return
    model = Places(s).local_model
    if model is None:
        yield Check(
            name="local model",
            state="warn",
            detail=f"{s.local_model}: no such file is installed; the zero-token stage still works",
            next="agent models list",
        )
        return
    size = model.path.stat().st_size / 1e6
    detail = f"{model.name}: {model.path} ({size:,.1f} MB, {model.window:,} tokens)"
    yield Check(name="local model", state="ok", detail=detail)


def _places(loaded: "Loaded") -> Iterator[Check]:
    from agent.config import masked

    s = loaded.settings
    if s.local_only or s.frontier == "off":
        why = "local_only" if s.local_only else "frontier.mode = off"
        yield Check(name="frontier", state="note", detail=f"not used ({why})")
    elif s.anthropic_api_key:
        detail = f"{s.frontier_model}, key {masked(s.anthropic_api_key)}"
        yield Check(name="frontier", state="ok", detail=detail)
    else:
        yield Check(
            name="frontier",
            state="note",
            detail="no key: no planner, no conversation",
            next="export ANTHROPIC_API_KEY=…  (or agent config set anthropic.api_key …)",
        )
    if s.onprem_url:
        yield _endpoint(s.onprem_url, s.onprem_model or "")


def _endpoint(url: str, model: str) -> Check:
    """Whether something listens there; nothing is sent."""
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=2).close()
    except OSError as error:
        return Check(
            name="on-prem", state="warn", detail=f"{url}: {error}", next="start it, or agent config"
        )
    return Check(name="on-prem", state="ok", detail=f"{url} listens; model {model}")


def _repository(root: Path | None) -> Iterator[Check]:
    if root is None:
        yield Check(
            name="repository",
            state="note",
            detail="the current directory is not in one",
            next="cd into a repository, or git init",
        )
        return
    yield Check(name="repository", state="ok", detail=str(root))
