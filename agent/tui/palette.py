"""The slash commands in the command palette."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from agent.tui.commands import COMMANDS, Command

if TYPE_CHECKING:
    from agent.tui.app import ChatApp

__all__ = ["Commands"]


class Commands(Provider):
    """A command without operand is carried out; others are put into the input to be finished."""

    async def discover(self) -> Hits:
        for command in COMMANDS:
            yield DiscoveryHit(_title(command), self._run(command), help=command.help)
        yield DiscoveryHit("Theme", self.app.action_change_theme, help="other colours")

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in COMMANDS:
            title = _title(command)
            score = max(matcher.match(title), matcher.match(command.help) / 2)
            if score > 0:
                yield Hit(score, matcher.highlight(title), self._run(command), help=command.help)

    def _run(self, command: Command) -> Callable[[], None]:
        app = cast("ChatApp", self.app)
        return partial(app.from_palette, command)


def _title(command: Command) -> str:
    return f"/{command.name} {command.operand}".rstrip()
