"""Kills a writer at every system call it makes, recovers, and prints what was found as JSON.

Usage: crash_driver.py DIRECTORY apply|undo|redo STEP. One process forks per kill point.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from tools.journal import Journal
from tools.types import FileChange, Patch

CALLS = {
    "open",
    "write",
    "fsync",
    "fchmod",
    "unlink",
    "mkdir",
    "rmdir",
    "link",
    "rename",
    "replace",
}
BEFORE = {"old.py": b"old\n", "gone.txt": b"gone\xff", "run.sh": b"#!/bin/sh\n"}
PATCH = Patch(
    changes=(
        FileChange(path="old.py", before=b"old\n", after=b"new\n"),
        FileChange(path="sub/deep/made.py", before=None, after=b"made\n"),
        FileChange(path="gone.txt", before=b"gone\xff", after=None),
        FileChange(path="run.sh", before=b"#!/bin/sh\n", after=b"#!/bin/sh\n", mode=0o755),
    )
)


def snapshot(root: Path) -> dict[str, tuple[str, int]]:
    return {
        str(p.relative_to(root)): (
            p.read_bytes().decode("latin-1") if p.is_file() else "directory",
            p.stat().st_mode & 0o777,
        )
        for p in sorted(root.rglob("*"))
    }


def prepare(place: Path, action: str) -> tuple[Path, Journal]:
    shutil.rmtree(place, ignore_errors=True)
    root = place / "repo"
    root.mkdir(parents=True)
    for name, data in BEFORE.items():
        (root / name).write_bytes(data)
        (root / name).chmod(0o640)
    journal = Journal(place / "journal")
    if action != "apply":
        journal.apply(root, PATCH, "first")
    if action == "redo":
        journal.undo(root)
    return root, journal


def act(journal: Journal, root: Path, action: str) -> None:
    if action == "apply":
        journal.apply(root, PATCH, "run")
    elif action == "undo":
        journal.undo(root)
    else:
        journal.redo(root)


def die_at(point: int) -> None:
    seen = 0

    def hook(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal seen
        ours = event in ("call", "return") and frame.f_code.co_filename.endswith("beneath.py")
        if ours or (event.startswith("c_") and getattr(arg, "__name__", "") in CALLS):
            seen += 1
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(hook)


def main() -> None:
    place, action = Path(sys.argv[1]), sys.argv[2]
    root, journal = prepare(place, action)
    start = snapshot(root)
    act(journal, root, action)
    end = snapshot(root)
    step = int(sys.argv[3])
    points = half = 0
    bad: list[Any] = []
    states: dict[str, int] = {}
    for point in range(1, 10_000, step):
        root, journal = prepare(place, action)
        child = os.fork()
        if child == 0:
            die_at(point)
            act(journal, root, action)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            break
        points += 1
        half += snapshot(root) not in (start, end)
        journal.recover(root)
        found = snapshot(root)
        entries = journal.entries(root)
        state = entries[-1].state if entries else "none"
        states[state] = states.get(state, 0) + 1
        done = {"apply": ("applied",), "undo": ("undone",), "redo": ("applied",)}[action]
        wanted = end if state in done else start
        if found != wanted or list(journal.recover(root)):
            bad.append([point, state, found])
            continue
        if state in ("applied", "undone"):  # and it can be taken back, or redone
            (journal.undo if state == "applied" else journal.redo)(root)
    json.dump({"points": points, "half": half, "bad": bad, "states": states}, sys.stdout)


main()
