"""Try candidates against the tests, cheapest evidence first, within limits of time and count.

    for trial in validate(candidates, …): …          # one Trial per candidate tried
    result = collect(validate(candidates, …))        # the Validation at the end

A candidate is plausible when the failing tests turn green and the full run is no worse than before.
Plausible is not right: tests are weak, and candidates that satisfy them equally well are rivals.
Only `sole` says that none was found although all near it were tried.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic

from tools.enumerate import apply
from tools.errors import SandboxError
from tools.rivals import group, missing, untried
from tools.trials import Quicktry, Runner, Space, StoppedBy, Trial, Validation, Verdict
from tools.types import Candidate, FileChange, Patch, TestRun

__all__ = ["Runner", "Space", "Trial", "Validation", "collect", "no_worse", "validate"]


FIRST_BATCH, BATCH = 16, 48
MAX_RIVALS = 2
"""Groups of rivals after which a further search cannot change the answer."""

Groups = tuple[tuple[Candidate, ...], ...]
Merge = Callable[[Groups], Groups]


def no_worse(before: TestRun, after: TestRun, targets: Sequence[str]) -> bool:
    """Whether all targets pass and every test that passed before still passes or is skipped."""
    if after.status not in ("passed", "failed"):
        return False
    outcome = {c.id: c.outcome for c in after.cases}
    passed = ("passed", "xfailed", "xpassed")
    if any(outcome.get(t) not in passed for t in targets):
        return False
    was_red = set(before.failing)
    if any(test not in was_red for test in after.failing):
        return False
    return all(outcome.get(t) in (*passed, "skipped") for t in before.passing)


def collect(search: Generator[Trial, None, Validation]) -> Validation:
    """Run a search to its end."""
    while True:
        try:
            next(search)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


@dataclass(slots=True, kw_only=True)
class _Search:
    """Shared by the workers; every field after the first blank line is guarded by `lock`."""

    make_space: Callable[[int], Space]
    runner_for: Callable[[Space], Runner]
    quick: Quicktry | None
    failing: tuple[str, ...]
    before: TestRun
    ends_at: float
    max_runs: int
    per_test_timeout_s: float
    truncated: bool

    lock: threading.Lock = field(default_factory=threading.Lock)
    todo: deque[Candidate] = field(default_factory=deque)
    stop: threading.Event = field(default_factory=threading.Event)
    test_runs: int = 0
    batches: int = 0
    server: str = ""

    def take(self, count: int) -> list[Candidate]:
        with self.lock:
            room = self.max_runs - self.test_runs
            count = min(count, len(self.todo), max(room, 0))
            self.test_runs += count
            return [self.todo.popleft() for _ in range(count)]

    def prefer(self, first: Callable[[Candidate], bool]) -> None:
        """Bring some of what is left to the front, otherwise in order."""
        with self.lock:
            self.todo = deque(sorted(self.todo, key=lambda c: not first(c)))

    def give_back(self, rest: Sequence[Candidate]) -> None:
        with self.lock:
            self.test_runs -= len(rest)
            self.todo.extendleft(reversed(rest))

    def over(self) -> StoppedBy | None:
        if not self.todo:
            return None
        if monotonic() >= self.ends_at:
            return "deadline"
        if self.test_runs >= self.max_runs:
            return "max_runs"
        return None


def validate(
    candidates: Iterable[Candidate],
    *,
    make_workspace: Callable[[int], Space],
    runner_for: Callable[[Space], Runner],
    failing: tuple[str, ...],
    before: TestRun,
    deadline_s: float,
    max_runs: int,
    workers: int = 2,
    quick: Quicktry | None = None,
    per_test_timeout_s: float = 10.0,
    weights: Mapping[Candidate, float] | None = None,
    merge: Merge | None = None,
) -> Generator[Trial, None, Validation]:
    """Try candidates in order; yields a Trial for each and returns the Validation.

    `weights`: the probability that a candidate is the repair, if known; the order should be by it.
    `merge` is given the groups of plausible ones and joins those that behave alike.

    `make_workspace(n)` gives worker n a copy of its own. `before` is the full run to compare with;
    `failing` must turn green. `deadline_s` counts from now. Trials of different workers interleave;
    the Validation is in candidate order. SandboxError ends the search and is raised.
    """
    started = monotonic()
    # More than can be tried, so that `sole` knows what was left out.
    source = iter(candidates)
    order = list(islice(source, max(max_runs * 2, len(weights or ()))))
    search = _Search(
        make_space=make_workspace,
        runner_for=runner_for,
        quick=quick,
        failing=failing,
        before=before,
        ends_at=started + deadline_s,
        max_runs=max_runs,
        per_test_timeout_s=per_test_timeout_s,
        todo=deque(order),
        truncated=next(source, None) is not None,
    )
    trials: dict[Candidate, Trial] = {}
    known = weights or {}
    spaces = [make_workspace(n) for n in range(workers)] if order and failing else []
    # Read now: the copies are being edited while results come in.
    paths = {c.path for c in order}
    read = {p: spaces[0].read(p) for p in paths if spaces}.get
    groups_of = _Groups(read=read, merge=merge)
    stopped: StoppedBy = "exhausted"
    with _threads(search, spaces) as start:
        running = {start(space): space for space in spaces}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                space = running.pop(future)
                for trial in future.result():
                    trials[trial.candidate] = trial
                    if trial.verdict == "plausible":
                        # Whether it is the only one is decided by what is near: that goes first.
                        found = _plausible(order, trials)
                        first = missing(order, trials, found, known, max_runs)
                        search.prefer(first.__contains__)
                    yield trial
                stopped = (
                    search.over()
                    or _enough(order, trials, known, groups_of, max_runs)
                    or "exhausted"
                )
                if search.todo and stopped == "exhausted":
                    running[start(space)] = space
            # A worker that gave candidates back may have left others idle: wake them.
            idle = [s for s in spaces if s not in running.values()]
            if search.todo and stopped == "exhausted":
                running.update({start(space): space for space in idle})
    return _summary(search, order, trials, stopped, monotonic() - started, known, groups_of)


Start = Callable[[Space], "Future[list[Trial]]"]


@contextmanager
def _threads(search: _Search, spaces: Sequence[Space]) -> Iterator[Start]:
    """Workers that outlive their commands: some sandboxes die with the thread that began them."""
    with ThreadPoolExecutor(max_workers=max(len(spaces), 1)) as pool:
        try:
            yield lambda space: pool.submit(_round, search, space)
        finally:
            search.stop.set()


def _round(search: _Search, space: Space) -> list[Trial]:
    """One batch, or one candidate where batches do not work."""
    if search.quick is not None and not search.server.startswith("plain"):
        with search.lock:
            search.batches += 1
            size = FIRST_BATCH if search.batches <= 2 else BATCH
        return _try_batch(search, search.quick, space, search.take(size))
    return [_try_plain(search, space, c) for c in search.take(1)]


def _try_batch(
    search: _Search, quick: Quicktry, space: Space, batch: Sequence[Candidate]
) -> list[Trial]:
    if not batch:
        return []
    jobs = [(c, _content(space, c)) for c in batch]
    trials = [Trial(candidate=c, verdict="broken") for c, content in jobs if content is None]
    ready = [(c, content) for c, content in jobs if content is not None]
    left = max(search.ends_at - monotonic(), 0.1)
    result = quick.run(
        space.root,
        [(c.path, content) for c, content in ready],
        search.failing,
        timeout_s=search.per_test_timeout_s,
        wall_s=left,
    )
    space.reset()
    if result.why:
        search.server = f"plain: {result.why}"
        search.give_back([c for c, _ in ready])
        return trials
    search.server = "forked"
    done = ready[: len(result.outcomes)]
    rest = [c for c, _ in ready[len(result.outcomes) :]]
    for (candidate, _), outcome in zip(done, result.outcomes, strict=True):
        if search.stop.is_set():
            return trials
        if outcome == "green":
            trials.append(_confirm(search, space, candidate))
        else:
            verdict: Verdict = "red" if outcome == "red" else "broken"
            trials.append(Trial(candidate=candidate, verdict=verdict))
    if rest and monotonic() < search.ends_at:
        # It took the whole server down (memory, kill): not to be tried again.
        trials.append(Trial(candidate=rest.pop(0), verdict="broken"))
    search.give_back(rest)
    return trials


def _content(space: Space, candidate: Candidate) -> bytes | None:
    source = space.read(candidate.path)
    try:
        return apply(source, candidate) if source is not None else None
    except (ValueError, SyntaxError):
        return None


def _try_plain(search: _Search, space: Space, candidate: Candidate) -> Trial:
    # One candidate that loops for ever must not use up the search.
    longest = max(3 * search.before.duration_s, 10.0)
    with _edited(space, candidate) as written:
        if not written:
            return Trial(candidate=candidate, verdict="broken")
        run = search.runner_for(space).run(
            search.failing,
            timeout_s=min(max(search.ends_at - monotonic(), 1.0), longest),
            per_test_timeout_s=search.per_test_timeout_s,
            fail_fast=True,
        )
    if run.status == "infra":
        raise SandboxError("the tests could not be run: " + run.output[-200:])
    passed = set(run.passing)
    if run.status == "passed" and passed.issuperset(search.failing):
        return _confirm(search, space, candidate)
    return Trial(candidate=candidate, verdict="broken" if run.status == "timeout" else "red")


def _confirm(search: _Search, space: Space, candidate: Candidate) -> Trial:
    """The full run, by the plain runner: what the fast path found is not taken on trust."""
    with _edited(space, candidate) as written:
        if not written:
            return Trial(candidate=candidate, verdict="broken")
        with search.lock:
            search.test_runs += 1
        run = search.runner_for(space).run(
            (),
            timeout_s=max(search.ends_at - monotonic(), 3 * search.before.duration_s, 10.0),
            per_test_timeout_s=search.per_test_timeout_s,
            fail_fast=False,
        )
    good = no_worse(search.before, run, search.failing)
    return Trial(candidate=candidate, verdict="plausible" if good else "worse", run=run)


@contextmanager
def _edited(space: Space, candidate: Candidate) -> Iterator[bool]:
    content = _content(space, candidate)
    if content is None:
        yield False
        return
    change = FileChange(path=candidate.path, before=space.read(candidate.path), after=content)
    space.write(Patch(changes=(change,)))
    try:
        yield True
    finally:
        space.reset()


# --------------------------------------------------------------------------- what it amounts to


@dataclass(slots=True, kw_only=True)
class _Groups:
    """Plausible candidates by meaning; compared again only when there is a new one."""

    read: Callable[[str], bytes | None]
    merge: Merge | None
    known: dict[tuple[Candidate, ...], Groups] = field(default_factory=dict)

    def __call__(self, found: Sequence[Candidate]) -> Groups:
        key = tuple(found)
        if key not in self.known:
            groups = group(found, self.read) if found else ()
            if len(groups) > 1 and self.merge is not None:
                groups = self.merge(groups)
            self.known[key] = groups
        return self.known[key]


def _enough(
    order: Sequence[Candidate],
    trials: dict[Candidate, Trial],
    weights: Mapping[Candidate, float],
    groups_of: _Groups,
    most: int,
) -> StoppedBy | None:
    found = _plausible(order, trials)
    if len(groups_of(found)) >= MAX_RIVALS:
        return "rivals"
    return "sole" if found and not missing(order, trials, found, weights, most) else None


def _plausible(order: Sequence[Candidate], trials: dict[Candidate, Trial]) -> list[Candidate]:
    return [c for c in order if c in trials and trials[c].verdict == "plausible"]


def _summary(
    search: _Search,
    order: Sequence[Candidate],
    trials: dict[Candidate, Trial],
    stopped: StoppedBy,
    duration_s: float,
    weights: Mapping[Candidate, float],
    groups_of: _Groups,
) -> Validation:
    found = _plausible(order, trials)
    groups = groups_of(found)
    rest = missing(order, trials, found, weights, search.max_runs)
    done = bool(found) and not rest and not search.truncated
    return Validation(
        plausible=tuple(found),
        rivals=groups,
        sole=done and len(groups) == 1,
        settled=done,
        untried=untried(order, trials, found, weights),
        tried=len(trials),
        generated=len(order),
        test_runs=search.test_runs,
        duration_s=duration_s,
        stopped_by=stopped,
        server=search.server or "plain: not asked for",
        runs=tuple(run for c in found if (run := trials[c].run) is not None),
    )
