"""Said once on a machine: what works there without a key or download, and what would add to it."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from agent import paths
from agent.cli.models_fit import about_mini, say

if TYPE_CHECKING:
    from agent.router import Place

__all__ = ["once"]

MARK = "introduced"


def once(places: "Sequence[Place]", context: int) -> None:
    """Say what Mini is where it is all there is, unless that was said before."""
    if {(p.location, p.model) for p in places} != {("local", "mini")}:
        return
    mark = paths.state_dir() / MARK
    if mark.exists():
        return
    say("", *about_mini(context))
    with suppress(OSError):  # a home that cannot be written to hears it again
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.touch()
