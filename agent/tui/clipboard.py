"""Copying: through the terminal (OSC 52), and through whatever else this machine has for it."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping

__all__ = ["commands", "put"]

WAIT_S = 2.0


def commands(environ: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Programs that take the text on stdin, where their display is there."""
    if environ.get("TMUX"):
        yield ("tmux", "load-buffer", "-")
    if environ.get("SSH_CONNECTION"):  # the clipboard of the far machine is nobody's
        return
    if environ.get("WAYLAND_DISPLAY"):
        yield ("wl-copy",)
    if environ.get("DISPLAY"):
        yield ("xclip", "-selection", "clipboard")
    yield ("pbcopy",)


def put(text: str) -> tuple[str, ...]:
    """Hand the text to every such program that is installed; the names of those that took it."""
    took = []
    for argv in commands(os.environ):
        if shutil.which(argv[0]) is None:
            continue
        try:
            subprocess.run(
                argv, input=text.encode("utf-8", "replace"), timeout=WAIT_S, check=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            continue
        took.append(argv[0])
    return tuple(took)
