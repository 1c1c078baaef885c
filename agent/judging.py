"""Rivals compared by what they do: equivalent ones are one, and the most careful one is offered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.changes import as_patch
from agent.trialspace import TrialSpace
from agent.work import Work
from tools.behaviour import Behaviour, Comparison, ForkProbe, Variant, compare, variant_of
from tools.errors import SandboxError, TestCommandError
from tools.quicktry import ForkServer
from tools.types import Candidate

__all__ = ["Judge"]

Groups = tuple[tuple[Candidate, ...], ...]
PASSING = 60
"""Passing tests that give inputs: those of the failing tests' files first."""


@dataclass(slots=True)
class Judge:
    """Compares groups of rivals in a copy of the workspace of its own."""

    work: Work
    notes: list[str] = field(default_factory=list)
    """What was found, for the report."""
    _behaviours: dict[Candidate, Behaviour] = field(default_factory=dict)

    def merge(self, groups: Groups) -> Groups:
        """Groups that behave alike on all inputs become one; the first's order stays."""
        heads = [g[0] for g in groups]
        made = [self._variant(c) for c in heads]
        known = [(i, v) for i, v in enumerate(made) if v is not None]
        if len(known) < 2:
            return groups
        comparison = self._compare([v for _, v in known])
        for (i, _), behaviour in zip(known, comparison.behaviours, strict=True):
            if behaviour is not None:
                self._behaviours[heads[i]] = behaviour
        joined: list[tuple[Candidate, ...]] = []
        first_of = {known[g[0]][0]: [known[n][0] for n in g] for g in comparison.groups}
        taken = {i for members in first_of.values() for i in members[1:]}
        for i, group in enumerate(groups):
            if i not in taken:
                members = first_of.get(i, [i])
                joined.append(tuple(c for m in members for c in groups[m]))
            assert group
        self.notes = [_note(comparison, len(groups), len(joined))]
        return tuple(joined)

    def best(self, groups: Groups, weights: Mapping[Candidate, float]) -> Candidate:
        """What is offered: the fewest changed outcomes, then the likeliest, then the first."""

        def key(group: Sequence[Candidate]) -> tuple[int, float]:
            behaviour = self._behaviours.get(group[0])
            changed = behaviour.changed if behaviour is not None and behaviour.visible else 1 << 30
            return changed, -max(weights.get(c, 0.0) for c in group)

        return min(groups, key=key)[0]

    def _variant(self, candidate: Candidate) -> Variant | None:
        source = self.work.workspace.read(candidate.path)
        if source is None:
            return None
        content = as_patch(candidate, source).changes[0].after
        return variant_of(source, candidate, content) if content is not None else None

    def _compare(self, variants: Sequence[Variant]) -> Comparison:
        """Infrastructure that fails is no evidence: nothing is merged then."""
        work = self.work
        server = work.deps.quick(work.targets, work.extra_args)
        if not isinstance(server, ForkServer):
            return Comparison(
                groups=tuple((n,) for n in range(len(variants))),
                behaviours=(None,) * len(variants),
                why="no batch runner",
            )
        space = TrialSpace(work, work.deps.run_dir / "probe")
        try:
            probed = ForkProbe(server=server).run(
                space.root, variants, failing=work.targets, passing=self._passing(server)
            )
        except (SandboxError, TestCommandError) as error:
            return Comparison(
                groups=tuple((n,) for n in range(len(variants))),
                behaviours=(None,) * len(variants),
                why=str(error),
            )
        finally:
            space.workspace.remove()
        return compare(probed, len(variants))

    def _passing(self, server: ForkServer) -> tuple[str, ...]:
        """Passing tests that the same framework runs."""
        baseline = self.work.baseline
        if baseline is None or baseline.command.kind != server.command.kind:
            return ()
        near = {t.split("::", 1)[0] for t in self.work.targets}
        found = sorted(baseline.passing, key=lambda t: t.split("::", 1)[0] not in near)
        return tuple(found[:PASSING])


def _note(comparison: Comparison, before: int, after: int) -> str:
    if comparison.why:
        return f"rivals could not be compared: {comparison.why}"
    same = f", {before - after} of them in another spelling" if after < before else ""
    return f"{before} rivals compared on {comparison.inputs} generated inputs{same}"
