"""Carries out one call: arguments, approval, the tool, what becomes of its change, the record."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.approvals import Approval, Decision, harmless, memorable
from agent.chat import records as rec
from agent.chat.conversation import Conversation
from agent.chat.deps import ChatDeps
from agent.chat.fence import bounded, fenced, visible
from agent.chat.scratch import Scratch
from agent.chat.settling import pending, reader
from agent.chat.tools import Desk, Result, Tool, ToolError, arguments_of, by_name, for_mode
from agent.chat.tools.base import OUTPUT, Args, View
from agent.errors import Cancelled
from agent.events import (
    ApprovalAnswered,
    ApprovalAsked,
    EditApplied,
    EditProposed,
    EditRefused,
    Event,
    TestsFinished,
    ToolFinished,
    ToolStarted,
)
from agent.router import may_leave_to
from agent.types import Location, ToolCall
from tools import patch as patches
from tools.errors import ConflictError, OutOfScope
from tools.types import CommandResult, Limits, Patch, TestRun

if TYPE_CHECKING:
    from tools.index import Index
    from tools.workspace import Workspace

__all__ = ["Acting"]


class Acting:
    """One per turn; the scratch copy belongs to the conversation."""

    def __init__(self, talk: Conversation, deps: ChatDeps) -> None:
        self._talk = talk
        self._deps = deps
        self._mode = deps.mode
        self._files: tuple[str, ...] | None = None
        self._scratch_index: Index | None = None
        self.audience: Location = "frontier"
        """Where results are sent. The strictest, until it is known better."""
        self.output = OUTPUT
        """Characters of one result; fewer where the window is small."""
        self.denied = 0
        self._tested: TestRun | None = None
        """By the call at work."""

    def carry_out(self, call: ToolCall) -> Generator[Event, None, rec.Returned]:
        """The result, recorded. Whatever is wrong with a call is told to the model.

        Raises Cancelled; SandboxError and the like are told, not raised.
        """
        began = self._deps.clock()
        self._files = None  # the user's tree may have changed since the last call
        tool = by_name(call.name)
        try:
            result = self._done_before(call) or (yield from self._result(call, tool))
        except ToolError as error:
            text = visible(error.data)[0]
            summary = _first(text or str(error))
            result = Result(ok=False, summary=summary, text=text, about="problem", note=str(error))
            if tool is not None and tool.kind == "edit":
                message = text or str(error)
                yield EditRefused(step_id=call.id, error=type(error).__name__, message=message)
        if self._tested is not None:
            yield _told(self._tested)
            self._tested = None
        executed = tool is not None and tool.kind in ("run", "test")
        returned = self._record(call, result, self._all_shown() if executed else result.paths)
        yield ToolFinished(
            call_id=call.id,
            name=call.name,
            ok=result.ok,
            summary=result.summary,
            output=returned.content,
            duration_s=self._deps.clock() - began,
        )
        return returned

    def _done_before(self, call: ToolCall) -> Result | None:
        """An edit that was written when the process was killed, before it could be recorded."""
        begun = any(isinstance(r, rec.Started) and r.call_id == call.id for r in self._talk.records)
        if not begun:
            return None
        deps = self._deps
        known = {r.entry_id for r in self._talk.records if isinstance(r, rec.Edited)}
        for entry in deps.journal.entries(deps.root):
            mine = entry.run_id == self._talk.id and entry.id not in known
            if mine and entry.state == "applied":
                patch = deps.journal.patch(entry)
                diff = patches.diff(patch)
                self._edited(call, "applied", patch, diff, entry.id)
                return _changed(patch, "in the user's tree", diff)
        return None

    def _result(self, call: ToolCall, tool: Tool | None) -> Generator[Event, None, Result]:
        if tool is None or tool not in for_mode(self._mode):
            names = ", ".join(t.name for t in for_mode(self._mode))
            why = "is not offered in plan mode" if tool else "does not exist"
            raise ToolError(f"The tool {call.name!r} {why}. There are: {names}.")
        args = self._arguments(call)
        argv = tool.command(args) if tool.command else ()
        if argv:
            yield from self._approve_command(call, argv)
        yield ToolStarted(
            call_id=call.id,
            name=tool.name,
            summary=f"{tool.name} {tool.summary(args)}",
            argv=argv,
            path=str(args.values.get("path", "")),
        )
        if tool.kind != "look":
            self._talk.append(rec.Started(call_id=call.id))
        result = tool.run(args, self._desk())
        if result.patch is not None:
            result = yield from self._change(call, result.patch)
        return result

    def _arguments(self, call: ToolCall) -> Args:
        """With the secrets that stand behind placeholders."""
        restored = self._deps.redactor.restore_json(call.arguments)
        return arguments_of(
            ToolCall(id=call.id, name=call.name, arguments=restored, malformed=call.malformed)
        )

    def _record(self, call: ToolCall, result: Result, sources: Sequence[str]) -> rec.Returned:
        """`sources`: the files it was, or may have been, made from."""
        hide = self._deps.redactor.redact
        parts = []
        if result.text:
            about = hide(result.about) or call.name
            text = bounded(hide(result.text), self.output)
            parts.append(fenced(text, key=self._talk.fence, name=call.id, about=about))
        if result.note:
            parts.append(hide(result.note))
        returned = rec.Returned(
            call_id=call.id,
            name=call.name,
            ok=result.ok,
            summary=hide(result.summary),
            content="\n".join(parts) or result.summary,
            privacy=self._deps.label(sources),
            paths=result.paths,
            argv=result.argv,
        )
        self._talk.append(returned)
        return returned

    # ------------------------------------------------------------------ approvals

    def _approve_command(
        self, call: ToolCall, argv: tuple[str, ...]
    ) -> Generator[Event, None, None]:
        deps = self._deps
        confined = deps.sandbox.name not in ("direct", "none")
        if confined and (self._mode == "auto" or harmless(argv)):
            return
        # What was allowed for the sandbox was not allowed without one.
        if confined and deps.approvals.allows(argv):
            return
        remember = memorable(argv) if confined else None
        decision = yield from self._ask(
            Approval(
                call_id=call.id,
                kind="run",
                summary=" ".join(argv),
                argv=argv,
                remember=remember,
            )
        )
        if decision.answer == "always" and remember is not None:
            deps.approvals.remember(remember)

    def _approve_edit(
        self, call: ToolCall, patch: Patch, diff: str
    ) -> Generator[Event, None, Patch]:
        """The part that was approved."""
        if self._mode in ("accept-edits", "auto"):
            return patch
        decision = yield from self._ask(
            Approval(
                call_id=call.id,
                kind="edit",
                summary=", ".join(patch.paths),
                diff=diff,
                changes=patch.changes,
            )
        )
        if decision.answer == "always":
            self._mode = "accept-edits"
            self._talk.set_mode("accept-edits")
        if decision.accepted is None:
            return patch
        return Patch(changes=tuple(c for c in decision.accepted if c.before != c.after))

    def _ask(self, request: Approval) -> Generator[Event, None, Decision]:
        """Raises ToolError, for the model, when it was refused."""
        remember = request.remember
        yield ApprovalAsked(
            call_id=request.call_id,
            kind=request.kind,
            summary=request.summary,
            argv=request.argv,
            prefix=remember.words if remember else (),
            exact=remember.exact if remember else False,
            diff=request.diff,
        )
        decision = self._deps.approver.approve(request)
        yield ApprovalAnswered(
            call_id=request.call_id, answer=decision.answer, reason=decision.reason
        )
        if self._deps.cancel.is_set():
            raise Cancelled("interrupted")
        if decision.answer == "no":
            self.denied += 1
            why = f": {decision.reason}" if decision.reason else ""
            raise ToolError(f"Refused{why}. Nothing was done. Go on without it, or ask the user.")
        return decision

    # ------------------------------------------------------------------ changes

    def _change(self, call: ToolCall, patch: Patch) -> Generator[Event, None, Result]:
        diff = patches.diff(patch)
        yield EditProposed(step_id=call.id, diff=diff)
        taken = yield from self._approve_edit(call, patch, diff)
        if not taken.changes:
            raise ToolError("Refused: the user took no part of this edit. Nothing was changed.")
        whole = taken == patch
        shown = diff if whole else patches.diff(taken)
        if self._mode == "auto" or self._talk.edits("pending"):
            self._keep(call, taken, shown)
            where = "in the scratch copy"
        else:
            yield self._apply(call, taken, shown)
            where = "in the user's tree"
        changed = _changed(taken, where, shown)
        if whole:
            return changed
        note = f"{changed.note} Only a part of it was taken by the user."
        return replace(changed, text=shown, about="accepted-part", note=note)

    def _apply(self, call: ToolCall, patch: Patch, diff: str) -> EditApplied:
        try:
            entry = self._deps.journal.apply(self._deps.root, patch, self._talk.id)
        except (ConflictError, OutOfScope) as error:
            raise ToolError(f"{error}. Read the file again.") from None
        self._edited(call, "applied", patch, diff, entry.id)
        return EditApplied(call_id=call.id, entry_id=entry.id, paths=patch.paths, diff=diff)

    def _keep(self, call: ToolCall, patch: Patch, diff: str) -> None:
        scratch, _ = self._synced()
        scratch.write(patch)
        self._edited(call, "pending", patch, diff, "")

    def _edited(
        self, call: ToolCall, state: rec.EditState, patch: Patch, diff: str, entry: str
    ) -> None:
        self._talk.append(
            rec.Edited(
                call_id=call.id,
                state=state,
                paths=patch.paths,
                diff=self._deps.redactor.redact(diff),
                entry_id=entry,
                privacy=self._deps.label(patch.paths),
            )
        )

    # ------------------------------------------------------------------ the desk

    def _desk(self) -> Desk:
        return Desk(
            audience=self.audience,
            label=self._deps.label,
            view=self._view,
            execute=self._execute,
            tests=self._tests,
            cancel=self._deps.cancel,
            output=self.output,
        )

    def _view(self) -> View:
        if not self._talk.edits("pending"):
            return View(read=reader(self._deps.root), files=self._listed(), index=self._tree_index)
        _, workspace = self._synced()
        return View(
            read=workspace.read, files=workspace.files, index=lambda: self._index_of(workspace)
        )

    def _listed(self) -> tuple[str, ...]:
        if self._files is None:
            self._files = tuple(self._deps.files())
        return self._files

    def _tree_index(self) -> "Index":
        index = self._deps.index()
        index.update()
        return index

    def _index_of(self, workspace: "Workspace") -> "Index":
        if self._scratch_index is None:
            self._scratch_index = self._deps.index_of(workspace.root, lambda: workspace.files)
        self._scratch_index.update()
        return self._scratch_index

    def _synced(self) -> "tuple[Scratch, Workspace]":
        deps, talk = self._deps, self._talk
        if talk.scratch is None:
            talk.scratch = Scratch(
                directory=deps.directory, root=deps.root, make=deps.make_workspace
            )
        workspace = talk.scratch.synced(self._all_shown(), self._pending)
        return talk.scratch, workspace

    def _all_shown(self) -> list[str]:
        """Files whose label lets them go where the conversation is held."""
        label = self._deps.label
        return [f for f in self._listed() if may_leave_to(self.audience, label((f,)))]

    def _pending(self) -> Patch:
        return pending(self._talk, self._deps.root, self._deps.redactor)

    def _execute(self, argv: tuple[str, ...], seconds: float) -> tuple[CommandResult, Patch]:
        scratch, workspace = self._synced()
        env, readable = self._deps.environment()
        done = self._deps.sandbox.run(
            argv,
            cwd=workspace.root,
            env=env,
            limits=Limits(wall_s=seconds),
            writable=(workspace.root,),
            readable=readable,
            cancel=self._deps.cancel,
        )
        return done, scratch.rewritten()

    def _tests(self, ids: tuple[str, ...]) -> TestRun:
        scratch, workspace = self._synced()
        limits = self._deps.limits
        run = self._deps.find_runner(workspace).run(
            ids,
            timeout_s=limits.test_timeout_s,
            per_test_timeout_s=limits.per_test_timeout_s,
        )
        scratch.rewritten()
        self._tested = run
        return run


def _told(run: TestRun) -> TestsFinished:
    return TestsFinished(
        purpose="step",
        status=run.status,
        passed=len(run.passing),
        failed=run.failing,
        duration_s=run.duration_s,
    )


def _changed(patch: Patch, where: str, diff: str) -> Result:
    names = ", ".join(patch.paths)
    return Result(
        summary=f"{names} · {_counts(diff)}",
        note=f"Changed {names} {where} ({_counts(diff)}).",
        paths=patch.paths,
    )


def _first(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= 120 else line[:119] + "…"


def _counts(diff: str) -> str:
    lines = diff.splitlines()
    added = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    removed = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    return f"+{added} −{removed}"
