"""The reproduce stage: find red evidence, or build it from the issue, or have a model write it.

In that order: tests the issue names; a test built from the issue's own code and values; whatever
fails already; a model's test. Each built test must fail now, and for the reason the issue gives.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from agent import evidence, reproduce
from agent.asking import Answer, ask
from agent.context import count
from agent.diagnose import run_tests, suite_of, summary
from agent.events import EditRefused, Event, Notice, Phase, Reproduced
from agent.reproduce import Accepted, Draft
from agent.suite import BUILT_DIR, merge
from agent.types import DecodeHints, Message, Request, Route
from agent.work import Ask, Work
from tools.errors import UnparseableEdit
from tools.localize import is_test_path
from tools.types import Symbol, TestRun

BUILT = f"{BUILT_DIR}/test_issue.py"
TURNS = 2
"""A model's test that does not show the problem is returned to it once."""
MAX_TOKENS = 2048
SURE = 0.9
"""Confidence of what the issue states expressly: an assertion, an exception demanded, a comment."""


def run(work: Work) -> Generator[Event, None, None]:
    """Sets the targets of the run, and the text of their failure; neither where nothing is red."""
    yield Phase(name="reproduce")
    if work.unexecuted is not None:
        yield Reproduced(kind="none", failing=(), reason="nothing may be executed")
        return
    failing = yield from _failing(work)
    named = evidence.named(failing, work.task.text, work.baseline)
    if named:
        yield from _existing(work, named, "the issue names tests that fail")
        return
    why = "the issue gives no test, and none fails"
    drafts = reproduce.extract(work.task.text, resolve=lambda name: module_of(work, name))
    for number, draft in enumerate(drafts, 1):
        shown = yield from _show(work, draft)
        if isinstance(shown, Shown):
            yield from _adopt(work, (yield from _whole(work, shown, drafts[number:])))
            return
        why = f"a test built from the issue does not show the problem: {shown}"
    if failing:
        red = evidence.not_hung(failing, work.baseline)
        yield from _existing(work, red, "tests fail already")
        return
    if (yield from _by_model(work)):
        return
    yield Reproduced(kind="none", failing=(), reason=why)


def _failing(work: Work) -> Generator[Event, None, tuple[str, ...]]:
    """What is red in the suite, without tests that failed before they began."""
    run = work.baseline
    if run is None:
        return ()
    tops = {path.removeprefix("src/").partition("/")[0] for path in work.deps.files()}
    aside = evidence.not_begun(run, lambda name: name in tops or f"{name}.py" in tops)
    if aside:
        reasons = Counter((c.message.strip().splitlines() or ["?"])[-1] for c in aside)
        worst = "; ".join(why for why, _ in reasons.most_common(2))
        yield Notice(
            message=f"{len(aside)} tests failed before any of the code ran and are left aside:"
            f" {worst}",
            remedy="run in the project's environment (activate it), where its tests pass",
            level="warning",
        )
    out = {c.id for c in aside}
    return tuple(t for t in run.failing if t not in out)


def module_of(work: Work, name: str) -> str | None:
    """The module that defines `name`, or `name` itself if it is a module of the repository."""
    paths = [f for f in work.deps.files() if f.endswith(".py") and not is_test_path(f)]
    if any(_dotted(path) == name for path in paths):
        return name
    found = [s for s in work.deps.index.find(name) if not is_test_path(s.path)]
    top = [s for s in found if "." not in s.name]
    return _dotted(top[0].path) if top else None


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").removeprefix("src/").replace("/", ".")


def _existing(work: Work, targets: Sequence[str], reason: str) -> Generator[Event, None, None]:
    assert work.baseline is not None
    _take(work, targets, work.baseline)
    yield Reproduced(kind="existing", failing=tuple(targets), reason=reason)


def _take(work: Work, targets: Sequence[str], shown: TestRun) -> None:
    work.targets = tuple(targets)
    work.failure = evidence.failure_text(shown, targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A draft that shows the problem, and the run in which it did."""

    draft: Draft
    accepted: Accepted
    run: TestRun


def _show(work: Work, draft: Draft) -> Generator[Event, None, Shown | str]:
    """Run a draft alone; the reason where it does not show the problem."""
    run = _alone(work, draft)
    yield summary("reproduce", run)
    found = reproduce.judge(run, draft, path=BUILT)
    if isinstance(found, Accepted):
        return Shown(draft=draft, accepted=found, run=run)
    (work.workspace.root / BUILT).unlink()
    work.built, work.built_source = None, ""
    return found.reason


def _alone(work: Work, draft: Draft) -> TestRun:
    work.built, work.built_source = BUILT, draft.source
    alone = suite_of(replace(work, has_suite=False), work.workspace)
    assert alone is not None
    return run_tests(work, (BUILT,), runner=alone)


def _whole(work: Work, first: Shown, drafts: Sequence[Draft]) -> Generator[Event, None, Shown]:
    """With whatever else the issue expressly demands and is not so: a bug may show in two places,
    and half a repair must not pass for one."""
    others = []
    for draft in drafts:
        if draft.confidence >= SURE and reproduce.joinable(draft):
            shown = yield from _show(work, draft)
            others += [draft] if isinstance(shown, Shown) else []
    if not others:
        return first
    draft = reproduce.together(first.draft, others)
    run = _alone(work, draft)
    yield summary("reproduce", run)
    red = tuple(t for t in run.failing if t.split("::", 1)[0] == BUILT)
    if len(red) < len(first.accepted.tests) + len(others):  # one spoils another
        return first
    return Shown(draft=draft, accepted=replace(first.accepted, tests=red), run=run)


def _adopt(work: Work, shown: Shown) -> Generator[Event, None, None]:
    """The draft becomes part of the suite."""
    work.built, work.built_source = BUILT, shown.draft.source
    work.runner = suite_of(work, work.workspace)
    work.baseline = merge([shown.run, *([work.baseline] if work.baseline else [])])
    _take(work, shown.accepted.tests, shown.run)
    yield Reproduced(
        kind="built",
        failing=shown.accepted.tests,
        reason=shown.accepted.evidence,
        test_source=shown.draft.source,
    )


def _by_model(work: Work) -> Generator[Event, None, bool]:
    rejected: list[str] = []
    for _ in range(TURNS):
        symbols = _symbols(work)

        def build(route: Route, symbols: tuple[Symbol, ...] = symbols) -> Request:
            return _request(work, symbols, rejected)

        answer: Answer | None = yield from ask(work, "reproduce", _question(work, symbols), build)
        if answer is None:
            return False
        try:
            draft = reproduce.parse_model_test(answer.completion.text)
        except UnparseableEdit as error:
            yield EditRefused(step_id="reproduce", error=type(error).__name__, message=str(error))
            rejected.append(str(error))
            continue
        shown = yield from _show(work, draft)
        if isinstance(shown, Shown):
            yield from _adopt(work, shown)
            return True
        yield EditRefused(step_id="reproduce", error="NotTheReason", message=shown)
        rejected.append(shown)
    return False


def _question(work: Work, symbols: Sequence[Symbol]) -> Ask:
    return Ask(
        step_kind="reproduce",
        privacy=work.deps.privacy([s.path for s in symbols]),
        prompt_tokens=count(work.task.text[:8000]) + 600,
    )


def _symbols(work: Work) -> tuple[Symbol, ...]:
    """Definitions the issue may be about, best first."""
    found: list[Symbol] = []
    for hit in work.deps.index.localize(work.task.text, limit=12):
        for symbol in work.deps.index.symbols(hit.path):
            if symbol.name == hit.symbol and not is_test_path(symbol.path):
                found.append(symbol)
    return tuple(found)


def _request(work: Work, symbols: Sequence[Symbol], rejected: Sequence[str]) -> Request:
    import prompts

    text = reproduce.render_request(work.task.text, symbols, rejected=rejected)
    return Request(
        id=work.next_request_id(),
        step_kind="reproduce",
        messages=(Message(role="user", content=text),),
        max_tokens=MAX_TOKENS,
        privacy=work.deps.privacy([s.path for s in symbols]),
        hints=DecodeHints(step_kind="reproduce"),
        prompt_version=prompts.version("reproduce"),
    )
