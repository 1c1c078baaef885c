"""Rivals compared by what they do: equivalent ones are one, and the most careful one is offered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.changes import as_patch
from agent.trialspace import TrialSpace
from agent.work import Work
from tools.behaviour import (
    Behaviour,
    Comparison,
    ForkProbe,
    Probed,
    Variant,
    compare,
    variant_of,
)
from tools.controls import MOST as MOST_CONTROLS
from tools.controls import controls, decisive
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
        variants = [v for _, v in known]
        comparison = compare(self._probe(variants), len(variants))
        alike = tuple(
            part
            for group in comparison.groups
            for part in self._proved([heads[known[n][0]] for n in group], group, variants)
        )
        for (i, _), behaviour in zip(known, comparison.behaviours, strict=True):
            if behaviour is not None:
                self._behaviours[heads[i]] = behaviour
        joined: list[tuple[Candidate, ...]] = []
        first_of = {known[g[0]][0]: [known[n][0] for n in g] for g in alike}
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

        def key(group: Sequence[Candidate]) -> tuple[int, int, float]:
            behaviour = self._behaviours.get(group[0])
            likely = max(weights.get(c, 0.0) for c in group)
            if behaviour is None or not behaviour.visible:
                return 1 << 30, 0, -likely
            return behaviour.changed, behaviour.altered, -likely

        return min(groups, key=key)[0]

    def _variant(self, candidate: Candidate) -> Variant | None:
        source = self.work.workspace.read(candidate.path)
        if source is None:
            return None
        content = as_patch(candidate, source).changes[0].after
        return variant_of(source, candidate, content) if content is not None else None

    def _proved(
        self, members: Sequence[Candidate], group: tuple[int, ...], variants: Sequence[Variant]
    ) -> tuple[tuple[int, ...], ...]:
        """A group as it is where the inputs put the conditions of its members to the test; those
        of which that cannot be said stand alone."""
        if len(group) < 2:
            return (group,)
        made = [
            controls(variants[n], c.line, c.line + max(len(c.after.splitlines()), 1) - 1)
            for n, c in zip(group, members, strict=True)
        ]
        every = [control for some in made for control in some or ()]
        if len(every) > MOST_CONTROLS or None in made:
            return tuple((n,) for n in group)
        if not every:
            return (group,)
        probed = self._probe([*(variants[n] for n in group), *every])
        if len(probed.outcomes) != 1 + len(group) + len(every):
            return tuple((n,) for n in group)
        sure: list[int] = []
        start = len(group)
        for at, some in enumerate(made):
            rows = range(start, start + len(some or ()))
            start = rows.stop
            if decisive(probed, at, rows):
                sure.append(group[at])
        return (*((tuple(sure),) if sure else ()), *((n,) for n in group if n not in sure))

    def _probe(self, variants: Sequence[Variant]) -> Probed:
        """Infrastructure that fails is no evidence: nothing is merged then."""
        work = self.work
        server = work.deps.quick(work.targets, work.extra_args)
        if not isinstance(server, ForkServer):
            return Probed(why="no batch runner")
        space = TrialSpace(work, work.deps.run_dir / "probe")
        try:
            return ForkProbe(server=server).run(
                space.root, variants, failing=work.targets, passing=self._passing(server)
            )
        except (SandboxError, TestCommandError) as error:
            return Probed(why=str(error))
        finally:
            space.workspace.remove()

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
