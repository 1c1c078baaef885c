"""The review of a patch: file by file, hunk by hunk; what is accepted is applied, byte for byte."""

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from agent.sanitize import one_line, plain
from agent.tui.hunkedit import EditScreen, chosen, edited, external, shown
from agent.tui.hunkview import Decision, HunkView
from agent.tui.items import Offer
from tools.hunks import Hunk, split
from tools.types import FileChange

__all__ = ["Accepted", "ReviewScreen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What is to be written: file changes holding only accepted hunks, and how many of all."""

    offer: Offer
    changes: tuple[FileChange, ...]
    accepted: int
    total: int
    edited: int = 0
    """Of the accepted hunks, how many the user changed."""


class ReviewScreen(Screen[Accepted | None]):
    """Dismissed with what to write, or with None: then nothing changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('accepted')", "Accept"),
        Binding("r", "decide('rejected')", "Reject"),
        Binding("A", "all('accepted')", "All"),
        Binding("R", "all('rejected')", "None", show=False),
        Binding("u", "decide('undecided')", "Undecide", show=False),
        Binding("j,down,n", "move(1)", "Next", key_display="↓"),
        Binding("k,up,p", "move(-1)", "Previous", show=False),
        Binding("e", "edit", "Edit"),
        Binding("E", "editor", "$EDITOR", show=False),
        Binding("s", "shape", "Split"),
        Binding("enter", "apply", "Apply"),
        Binding("escape,q", "leave", "Leave"),
        Binding("space", "page(1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("question_mark", "app.help", "Help", show=False),
    ]

    def __init__(self, offer: Offer) -> None:
        super().__init__()
        self._offer = offer
        self._files = [(change, split(change)) for change in offer.patch.changes]
        self._views: list[HunkView] = []
        self._edits: dict[int, Hunk] = {}
        """By number of the view: hunks as the user wrote them."""
        self._current = 0

    def compose(self) -> ComposeResult:
        yield Static(self._title(), id="review-title")
        yield Static(self._evidence(), id="review-why")
        with VerticalScroll(id="hunks", can_focus=False):
            number = 0
            for change, hunks in self._files:
                yield Static(_heading(change), classes="file")
                if not hunks:
                    yield Static("  only its mode changes", classes="hunk")
                for hunk in hunks:
                    number += 1
                    view = HunkView(hunk, change.path, number)
                    self._views.append(view)
                    yield view
        yield Static(id="review-state")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self._select(0)

    # ------------------------------------------------------------------ keys

    def action_decide(self, decision: Decision) -> None:
        if self._views:
            self._views[self._current].decide(decision)
            self._select(self._next_undecided())

    def action_all(self, decision: Decision) -> None:
        for view in self._views:
            view.decide(decision)
        self._state()

    def action_move(self, step: int) -> None:
        self._select(max(0, min(self._current + step, len(self._views) - 1)))

    def action_page(self, step: int) -> None:
        scroll = self.query_one("#hunks", VerticalScroll)
        scroll.scroll_relative(y=step * max(scroll.size.height - 2, 1), animate=False)

    def action_shape(self) -> None:
        for view in self._views:
            view.shape = "inline" if view.shape == "side by side" else "side by side"
            view.draw()

    def action_edit(self) -> None:
        """The new side of the hunk in an editor of our own; what it cannot show, in $EDITOR."""
        if not self._views:
            return
        view = self._views[self._current]
        text = shown(view.hunk) if view.hunk.rows else None
        if text is None:
            self._say("this cannot be shown as it is: E opens it in $EDITOR")
            return

        def done(data: bytes | None) -> None:
            if data is not None:
                self._edited(view, data)

        self.app.push_screen(EditScreen(view.hunk, text, view.path), done)

    def action_editor(self) -> None:
        import os
        from subprocess import SubprocessError

        from textual.app import SuspendNotSupported

        if not self._views or not self._views[self._current].hunk.rows:
            return
        view = self._views[self._current]
        try:
            with self.app.suspend():
                data = external(b"".join(view.hunk.after), view.path, os.environ)
        except (OSError, SubprocessError, SuspendNotSupported) as error:
            self._say(f"the editor failed, nothing was changed: {one_line(str(error), 120)}")
            return
        self._edited(view, data)

    def _edited(self, view: HunkView, data: bytes) -> None:
        """Take the hunk as it was written; an edit is an acceptance that can be taken back."""
        if data == b"".join(view.hunk.after):
            self._say("nothing was changed")
            return
        self._edits[view.number] = view.hunk = edited(view.hunk, data)
        view.edited = True
        view.decide("accepted")
        self._select(self._next_undecided())

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_apply(self) -> None:
        open_ones = sum(view.decision == "undecided" for view in self._views)
        accepted = self._accepted()
        if open_ones:
            hunks = f"{open_ones} hunk" + ("" if open_ones == 1 else "s")
            self._say(f"{hunks} undecided: a accepts, r rejects, A accepts all")
        elif not accepted:
            self._say("nothing is accepted, so nothing would change: Esc leaves")
        else:
            self.dismiss(self._result(accepted))

    def on_hunk_view_chosen(self, message: HunkView.Chosen) -> None:
        self._select(self._views.index(message.view))

    # ------------------------------------------------------------------ what is decided

    def _accepted(self) -> list[HunkView]:
        return [view for view in self._views if view.decision == "accepted"]

    def _result(self, accepted: list[HunkView]) -> Accepted:
        """Files without an accepted hunk are left out; others hold exactly the accepted ones.

        A file of which only the mode changes belongs to the patch as a whole.
        """
        whole = len(accepted) == len(self._views)
        changes = []
        for change, hunks in self._files:
            mine = [v for v in accepted if v.path == change.path]
            edits = {v.hunk.index: v.hunk for v in mine if v.number in self._edits}
            if mine or (whole and not hunks):
                part = [hunks[v.hunk.index] for v in mine]
                changes.append(chosen(change, part, edits))
        return Accepted(
            offer=self._offer,
            changes=tuple(changes),
            accepted=len(accepted),
            total=len(self._views),
            edited=sum(v.number in self._edits for v in accepted),
        )

    def _next_undecided(self) -> int:
        order = [*range(self._current, len(self._views)), *range(self._current)]
        return next((i for i in order if self._views[i].decision == "undecided"), self._current)

    # ------------------------------------------------------------------ drawing

    def _select(self, index: int) -> None:
        self._current = index
        for number, view in enumerate(self._views):
            if view.has_class("-current") != (number == index):
                view.set_class(number == index, "-current")
                view.draw()
        if self._views:
            self._views[index].scroll_visible(animate=False)
        self._state()

    def _state(self) -> None:
        counts = dict.fromkeys(("accepted", "rejected", "undecided"), 0)
        for view in self._views:
            counts[view.decision] += 1
        text = "  ".join(f"{count} {name}" for name, count in counts.items())
        self._say(text if counts["undecided"] else f"{text}  —  Enter applies what is accepted")

    def _say(self, text: str) -> None:
        self.query_one("#review-state", Static).update(Text(f" {text}", "bold"))

    def _title(self) -> Text:
        total = sum(len(hunks) for _, hunks in self._files)
        files = f"{len(self._files)} file" + ("" if len(self._files) == 1 else "s")
        hunks = f"{total} hunk" + ("" if total == 1 else "s")
        text = Text.assemble((" Review ", "bold reverse"))
        text.append_text(plain(f" {files}, {hunks} · run {one_line(self._offer.run_id, 30)}"))
        return text

    def _evidence(self) -> Text:
        if self._offer.verified:
            text = Text.assemble((" ✔ verified ", "bold green"))
        else:
            text = Text.assemble((" ? NOT verified ", "bold yellow"))
        text.append_text(plain(f" {one_line(self._offer.reason, 200)}"))
        return text


def _heading(change: FileChange) -> Text:
    kind = "changed"
    if change.before is None:
        kind = "created"
    elif change.after is None:
        kind = "deleted"
    text = Text.assemble(plain(f" {one_line(change.path, 160)}", "bold"))
    text.append(f"  {kind}", "dim")
    return text
