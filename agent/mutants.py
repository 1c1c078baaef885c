"""Do new tests notice when the code breaks? Deliberate breakages tried against them."""

from collections.abc import Generator
from itertools import islice

from agent.changes import as_patch, inverse
from agent.diagnose import covered, run_tests
from agent.events import CandidatesTried, Event
from agent.work import Work
from tools.types import Suspect

TRIED = 8


def killed(work: Work, tests: tuple[str, ...]) -> Generator[Event, None, tuple[int, int]]:
    """(breakages the tests notice, breakages tried) on the lines the tests execute."""
    from tools.enumerate import candidates

    _, coverage = covered(work, tests)
    lines: dict[str, set[int]] = {}
    for by_path in coverage.lines.values():
        for path, numbers in by_path.items():
            lines.setdefault(path, set()).update(numbers)
    started = work.deps.clock()
    found = tried = 0
    for path in sorted(lines):
        source = work.workspace.read(path)
        if source is None or tried >= TRIED:
            continue
        suspects = [Suspect(path=path, line=n, symbol=None, score=1.0) for n in sorted(lines[path])]
        for candidate in islice(candidates(source, path, suspects, limit=200), 0, None, 7):
            if tried >= TRIED:
                break
            patch = as_patch(candidate, source)
            work.workspace.write(patch)
            run = run_tests(work, tests, fail_fast=True)
            work.workspace.write(inverse(patch))
            tried += 1
            found += run.status != "passed"
    yield CandidatesTried(
        generated=tried,
        tried=tried,
        plausible=tried - found,
        test_runs=tried,
        duration_s=work.deps.clock() - started,
        by="mutants",
    )
    return found, tried
