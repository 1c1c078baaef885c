"""Listwise training in numpy: the softmax over a task's candidates should lie on the right ones."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.ranker.features import NAMES, OPERATORS

__all__ = ["Lists", "Report", "Weights", "calibrate", "fit", "report"]

Floats = NDArray[np.float32]
HIDDEN = 24
EPOCHS = 20
MEMBERS = 4
"""Networks whose mean is shipped. On real bugs of held-out packages, 606 of them, tries in all were
8,674 with one and 8,326 with four (simulated tasks and real ones, 12 epochs)."""
BATCH = 12
RATE = 3e-3
DECAY = 1e-4
SMOOTH = 4
"""Added to an operator's count: a single example must not speak for its kind."""
TIER_SHARE = (0.5, 0.35, 0.15)
"""How often a repair is taken to be of tier 0, 1, 2 (of `tools.enumerate`). How often training's
mutations are undone by an operator says how they were drawn, not what people get wrong; within a
tier every operator counts alike, as far as there are examples of it."""


@dataclass(frozen=True, slots=True)
class Lists:
    """Tasks behind one another: rows N x F, where each begins, and which rows are right."""

    x: Floats
    starts: NDArray[np.int64]
    right: NDArray[np.bool_]
    weight: Floats
    """One per task; their mean is 1."""

    @classmethod
    def of(cls, tasks: Sequence[tuple[NDArray[np.float16], tuple[int, ...]]]) -> "Lists":
        sizes = [len(x) for x, _ in tasks]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        right = np.zeros(starts[-1], bool)
        for start, (_, found) in zip(starts, tasks, strict=False):
            right[start + np.array(found)] = True
        rows = np.concatenate([x for x, _ in tasks]).astype(np.float32)
        return cls(rows, starts, right, _weights([x[found[0]] for x, found in tasks]))

    def part(self, index: Sequence[int]) -> "Lists":
        pieces = [np.arange(self.starts[i], self.starts[i + 1]) for i in index]
        at = np.concatenate(pieces)
        starts = np.concatenate([[0], np.cumsum([len(p) for p in pieces])]).astype(np.int64)
        return Lists(self.x[at], starts, self.right[at], self.weight[np.array(index)])

    def __len__(self) -> int:
        return len(self.starts) - 1


def _weights(rights: Sequence[NDArray[np.float16]]) -> Floats:
    """By operator and tier of what repairs: see TIER_SHARE."""
    first = NAMES.index("operator=" + OPERATORS[0])
    kinds = [int(np.argmax(row[first : first + len(OPERATORS)])) for row in rights]
    tier1, tier2 = NAMES.index("tier1"), NAMES.index("tier2")
    tiers = [1 if row[tier1] else 2 if row[tier2] else 0 for row in rights]
    count = Counter(kinds)
    operators = Counter(t for _, t in set(zip(kinds, tiers, strict=True)))
    found = [
        TIER_SHARE[t] / operators[t] / (count[k] + SMOOTH)
        for k, t in zip(kinds, tiers, strict=True)
    ]
    weight = np.array(found, np.float32)
    scaled: Floats = weight / weight.mean()
    return scaled


@dataclass(slots=True)
class Weights:
    """See agent.ranker.model.Ranker."""

    mean: Floats
    scale: Floats
    inner: Floats
    bias: Floats
    outer: Floats
    direct: Floats

    def scores(self, x: Floats) -> Floats:
        z = (x - self.mean) / self.scale
        found: Floats = np.tanh(z @ self.inner + self.bias) @ self.outer + z @ self.direct
        return found


def fit(lists: Lists, *, seed: int) -> Weights:
    """The mean of MEMBERS networks, as one: their hidden units stand side by side."""
    members = [_member(lists, seed=seed + n) for n in range(MEMBERS)]
    share = np.float32(1 / MEMBERS)
    return Weights(
        mean=members[0].mean,
        scale=members[0].scale,
        inner=np.concatenate([m.inner for m in members], 1),
        bias=np.concatenate([m.bias for m in members]),
        outer=np.concatenate([m.outer * share for m in members]),
        direct=np.sum([m.direct * share for m in members], 0, dtype=np.float32),
    )


def _member(lists: Lists, *, seed: int) -> Weights:
    """Adam on the listwise cross-entropy; the same seed and data give the same weights."""
    rng = np.random.default_rng(seed)
    count = lists.x.shape[1]
    w = Weights(
        mean=lists.x.mean(0),
        scale=np.maximum(lists.x.std(0), 0.05),
        inner=rng.normal(0, 0.1, (count, HIDDEN)).astype(np.float32),
        bias=np.zeros(HIDDEN, np.float32),
        outer=rng.normal(0, 0.1, HIDDEN).astype(np.float32),
        direct=np.zeros(count, np.float32),
    )
    w.inner[lists.x.std(0) == 0] = 0  # nothing is known of what never varied
    names = ("inner", "bias", "outer", "direct")
    first = {n: np.zeros_like(getattr(w, n)) for n in names}
    second = {n: np.zeros_like(getattr(w, n)) for n in names}
    step, steps = 0, EPOCHS * -(-len(lists) // BATCH)
    for _ in range(EPOCHS):
        order = rng.permutation(len(lists))
        for at in range(0, len(order), BATCH):
            step += 1
            grads = _gradients(w, lists.part(order[at : at + BATCH].tolist()))
            rate = RATE * (1 - step / (steps + 1))
            for n in names:
                value, g = getattr(w, n), grads[n] + DECAY * getattr(w, n)
                first[n] = 0.9 * first[n] + 0.1 * g
                second[n] = 0.99 * second[n] + 0.01 * g * g
                m, v = first[n] / (1 - 0.9**step), second[n] / (1 - 0.99**step)
                setattr(w, n, (value - rate * m / (np.sqrt(v) + 1e-6)).astype(np.float32))
    return w


def _softmax(s: Floats, starts: NDArray[np.int64]) -> Floats:
    sizes = np.diff(starts)
    top = np.repeat(np.maximum.reduceat(s, starts[:-1]), sizes)
    e = np.exp(s - top)
    found: Floats = e / np.repeat(np.add.reduceat(e, starts[:-1]), sizes)
    return found


def _gradients(w: Weights, b: Lists) -> dict[str, Floats]:
    z = (b.x - w.mean) / w.scale
    h = np.tanh(z @ w.inner + w.bias)
    s = h @ w.outer + z @ w.direct
    p = _softmax(s, b.starts)
    sizes = np.diff(b.starts)
    on = np.where(b.right, p, 0)
    target = on / np.repeat(np.maximum(np.add.reduceat(on, b.starts[:-1]), 1e-12), sizes)
    ds = ((p - target) * np.repeat(b.weight, sizes) / len(b)).astype(np.float32)
    dh = np.outer(ds, w.outer) * (1 - h * h)
    return {"inner": z.T @ dh, "bias": dh.sum(0), "outer": h.T @ ds, "direct": z.T @ ds}


def calibrate(w: Weights, lists: Lists) -> float:
    """The temperature with the least cross-entropy on tasks that were not trained on."""
    s = w.scores(lists.x)
    best = min((_loss(s / np.float32(t), lists), t) for t in np.arange(0.7, 3.01, 0.1))
    return float(best[1])


def _loss(s: Floats, lists: Lists) -> float:
    p = np.where(lists.right, _softmax(s, lists.starts), 0)
    loss = -np.log(np.maximum(np.add.reduceat(p, lists.starts[:-1]), 1e-9))
    return float((loss * lists.weight).mean())


@dataclass(frozen=True, slots=True)
class Report:
    text: str
    figures: dict[str, object]


def ranks(scores: Floats, lists: Lists) -> NDArray[np.int64]:
    """1-based rank of the best right candidate of each task."""
    found = []
    for start, end in zip(lists.starts, lists.starts[1:], strict=False):
        s, right = scores[start:end], lists.right[start:end]
        found.append(1 + int((s > s[right].max()).sum()))
    return np.array(found)


def report(
    w: Weights,
    temperature: float,
    lists: Lists,
    reached: Sequence[int],
    operators: Sequence[str],
) -> Report:
    """Weighted MRR and top-k, and median runs, against the enumerator's order."""
    scores = w.scores(lists.x) / np.float32(temperature)
    now, before = ranks(scores, lists), np.array(reached) + 1
    rows = [_line("all", now, before, lists.weight)]
    for name in sorted(set(operators)):
        at = np.array([o == name for o in operators])
        if at.sum() >= 8:
            rows.append(_line(name, now[at], before[at], lists.weight[at]))
    head = f"{'kind of bug':<22}{'n':>5}  {'MRR':>11}  {'top 1':>9}  {'top 10':>9}  "
    head += f"{'median runs':>13}"
    text = "\n".join([head, *(r[0] for r in rows), *_calibration(scores, lists)])
    return Report(text, {"temperature": temperature, "rows": [r[1] for r in rows]})


def _line(
    name: str, now: NDArray[np.int64], before: NDArray[np.int64], weight: Floats
) -> tuple[str, dict[str, object]]:
    def pair(one: float, two: float, width: int) -> str:
        return f"{one:.2f}→{two:.2f}".rjust(width)

    def mean(values: NDArray[np.float64]) -> float:
        return float((values * weight).sum() / weight.sum())

    mrr = mean(1 / before), mean(1 / now)
    top1 = mean(1.0 * (before == 1)), mean(1.0 * (now == 1))
    top10 = mean(1.0 * (before <= 10)), mean(1.0 * (now <= 10))
    median = float(np.median(before)), float(np.median(now))
    text = f"{name:<22}{len(now):>5}  {pair(*mrr, 11)}  {pair(*top1, 9)}  {pair(*top10, 9)}"
    text += f"  {median[0]:.0f}→{median[1]:.0f}".rjust(15)
    return text, {
        "kind": name,
        "n": len(now),
        "mrr": mrr,
        "top1": top1,
        "top10": top10,
        "median_runs": median,
        "mean_runs": (float(before.mean()), float(now.mean())),
    }


def _calibration(scores: Floats, lists: Lists) -> list[str]:
    """How often the repair is among the candidates that hold all but a part of the mass."""
    lines = ["", f"{'mass left untried':<20}{'repair among them':>20}{'tried (median)':>18}"]
    p = _softmax(scores, lists.starts)
    for left in (0.2, 0.1, 0.05, 0.02, 0.01):
        missed, tried = [], []
        for start, end in zip(lists.starts, lists.starts[1:], strict=False):
            mass, right = p[start:end], lists.right[start:end]
            order = np.argsort(-mass)
            count = int(np.searchsorted(np.cumsum(mass[order]), 1 - left)) + 1
            tried.append(count)
            missed.append(not right[order[:count]].any())
        share = float((np.array(missed) * lists.weight).mean())
        lines.append(f"{left:<20}{share:>20.3f}{np.median(tried):>18.0f}")
    return lines
