"""Train a recipe for so many minutes, on CUDA (bfloat16) or CPU; stops and resumes anywhere.

    python -m training.train --recipe small --data DIR --out RUN --minutes 30

Progress is measured in time, not steps: the learning rate warms up, stays, and decays linearly
to zero at the end of the box. RUN gets log.jsonl, checkpoint.pt (all that resuming needs, every
`--save` minutes) and model.pt (weights only). `--minutes` is the whole run's, restarts included.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.config import Recipe, recipe
from training.model import Mini

__all__ = ["Batch", "batches", "learning_rate", "losses"]

_LOG_SECONDS = 10
_ROUND = 64  # rows are padded to multiples of the delta rule's chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """tokens [B, T] int64 and loss weights [B, T] uint8 (of a token as a target; 0: padding)."""

    tokens: Tensor
    weights: Tensor


@dataclass(slots=True)
class Progress:
    """What a resumed run continues from."""

    seconds: float = 0.0
    step: int = 0
    tokens: int = 0  # real ones, padding excluded
    epoch: int = 0
    batch: int = 0  # in the epoch


def batches(folder: Path, size: int, epoch: int, skip: int = 0) -> Iterator[Batch]:
    """All rows once, in batches of rows of like length, at most `size` tokens with padding."""
    shards = [_read(p) for p in sorted(folder.glob("rows-*.npz"))]
    if not shards:
        raise FileNotFoundError(f"no rows-*.npz in {folder}")
    rows = np.concatenate(
        [np.stack((np.full_like(s[2], i), s[2], s[3]), 1) for i, s in enumerate(shards)]
    )
    rng = np.random.default_rng(epoch)
    rng.shuffle(rows)
    window = max(64, 16 * size // 256)
    groups: list[np.ndarray] = []
    for start in range(0, len(rows), window):
        part = rows[start : start + window]
        groups.extend(_cut(part[np.argsort(part[:, 2] - part[:, 1], kind="stable")], size))
    order = rng.permutation(len(groups))
    groups = [groups[i] for i in order]
    for group in groups[skip:]:
        yield _fill(shards, group)


def learning_rate(made: Recipe, progress: float) -> float:
    """Factor in 0..1 for the part of the run that is over (0..1)."""
    if progress < made.warmup:
        return max(progress / made.warmup, 0.01)
    return min(1.0, max(1.0 - progress, 0.0) / made.decay)


def losses(model: Mini, batch: Batch, made: Recipe) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted loss, and the mean per-token losses by head and kind for the log."""
    tokens, weights = batch.tokens, batch.weights
    h = model(tokens)
    states = [h, *model.drafts(tokens, h, made.mtp_depth)]
    total = h.new_zeros((), dtype=torch.float32)
    shown: dict[str, Tensor] = {}
    for depth, state in enumerate(states):
        # Trunk row t predicts t+1; row t of any draft head too, but draft j needs j rows before.
        keep = made.mtp_sample if depth else made.trunk_sample
        target, weight = tokens[:, 1:], weights[:, 1:].float()
        answer = weight > 1
        weight = weight * (answer | (torch.rand_like(weight) < keep))
        if depth:
            weight[:, : depth - 1] = 0
        chosen = weight.flatten().nonzero().squeeze(1)
        logits = model.logits(state[:, :-1].flatten(0, 1)[chosen]).float()
        each = functional.cross_entropy(logits, target.flatten()[chosen], reduction="none")
        scale = weight.flatten()[chosen]
        loss = (each * scale).sum() / scale.sum().clamp_min(1)
        total = total + loss * (made.mtp_weight / made.mtp_depth if depth else 1.0)
        picked = answer.flatten()[chosen]
        name = f"mtp{depth}" if depth else "trunk"
        for part, rows in ((name, ~picked), (f"{name}_answer", picked)):
            # NaN when there is none; the log leaves it out. Testing here would stall a GPU.
            shown[part] = (each.detach() * rows).sum() / rows.sum()
    return total, shown


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    with np.load(path) as data:
        ends = data["ends"]
        starts = np.concatenate((np.zeros(1, ends.dtype), ends[:-1]))
        return data["tokens"], data["weights"], starts, ends


def _cut(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Split rows (shard, start, end), shortest first, into groups that fit when padded."""
    widths = _padded(rows[:, 2] - rows[:, 1])
    start = 0
    for i, width in enumerate(widths):
        if i > start and (i + 1 - start) * width > size:
            yield rows[start:i]
            start = i
    yield rows[start:]


def _fill(shards: list[tuple[np.ndarray, ...]], group: np.ndarray) -> Batch:
    width = int(_padded((group[:, 2] - group[:, 1]).max()))
    tokens = np.zeros((len(group), width), np.int64)
    weights = np.zeros((len(group), width), np.uint8)
    for row, (shard, a, b) in enumerate(group):
        tokens[row, : b - a] = shards[shard][0][a:b]
        weights[row, : b - a] = shards[shard][1][a:b]
    return Batch(tokens=torch.from_numpy(tokens), weights=torch.from_numpy(weights))


def _padded(length: np.ndarray) -> np.ndarray:
    return -(-length // _ROUND) * _ROUND


def _optimizers(model: Mini, made: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for embedding, norms and other vectors."""
    matrices, others = [], []
    for name, value in model.named_parameters():
        square = value.ndim == 2 and "embd" not in name and "conv1d" not in name
        (matrices if square and min(value.shape) >= 32 else others).append(value)
    muon = torch.optim.Muon(
        matrices,
        lr=made.learning_rate,
        weight_decay=0.05,
        momentum=0.95,
        adjust_lr_fn="match_rms_adamw",
    )
    adam = torch.optim.AdamW(
        others, lr=made.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, eps=1e-10
    )
    return [muon, adam]


class Run:
    """One training run in one folder."""

    def __init__(self, made: Recipe, data: Path, out: Path, minutes: float) -> None:
        self.made, self.data, self.out, self.minutes = made, data, out, minutes
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("high")  # TF32 where there is any
        self.model = Mini(made.model).to(self.device)
        self.optimizers = _optimizers(self.model, made)
        self.progress = Progress()
        out.mkdir(parents=True, exist_ok=True)
        if (out / "checkpoint.pt").exists():
            self._resume()
        self._log(event="start", recipe=made.name, device=str(self.device), minutes=minutes)

    def train(self, save_minutes: float) -> None:
        """Train until the box is used up."""
        began = logged = saved = time.monotonic()
        before, tokens_then = self.progress.seconds, self.progress.tokens
        for batch in self._stream():
            shown = self._step(batch)
            now = time.monotonic()
            self.progress.seconds = before + now - began
            if now - logged >= _LOG_SECONDS:
                rate = (self.progress.tokens - tokens_then) / (now - logged)
                found = {k: round(float(v), 4) for k, v in shown.items() if not v.isnan()}
                self._log(event="step", tokens_per_second=round(rate), **found)
                logged, tokens_then = now, self.progress.tokens
            done = self.progress.seconds >= 60 * self.minutes
            if done or now - saved >= 60 * save_minutes:
                self._save()
                saved = now
            if done:
                self._log(event="end")
                (self.out / "done").write_text(f"{self.progress.tokens}\n", encoding="utf-8")
                return

    def _stream(self) -> Iterator[Batch]:
        while True:
            p = self.progress
            for batch in batches(self.data, self.made.micro_tokens, p.epoch, p.batch):
                p.batch += 1
                yield batch
            p.epoch, p.batch = p.epoch + 1, 0

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        """Forward and backward of one micro batch; the optimisers step when enough are in."""
        made, p = self.made, self.progress
        micro = max(1, made.batch_tokens // made.micro_tokens)
        p.step += 1
        p.tokens += int((batch.weights > 0).sum())
        batch = Batch(
            tokens=batch.tokens.to(self.device, non_blocking=True),
            weights=batch.weights.to(self.device, non_blocking=True),
        )
        with torch.autocast(self.device.type, torch.bfloat16):
            loss, shown = losses(self.model, batch, made)
        (loss / micro).backward()
        if p.step % micro == 0:
            factor = learning_rate(made, p.seconds / (60 * self.minutes))
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = made.learning_rate * factor
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        return shown

    def _save(self) -> None:
        """Write both files beside their places, then rename: a cut run keeps the last good."""
        weights = self.model.state_dict()
        state = {
            "model": weights,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "progress": asdict(self.progress),
        }
        model = {"recipe": self.made.name, "model": weights, "progress": asdict(self.progress)}
        for name, content in (("checkpoint.pt", state), ("model.pt", model)):
            part = self.out / f"{name}.part"
            torch.save(content, part)
            part.replace(self.out / name)

    def _resume(self) -> None:
        state = torch.load(self.out / "checkpoint.pt", map_location=self.device)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.progress = Progress(**state["progress"])

    def _log(self, **fields: object) -> None:
        line = json.dumps({**fields, **asdict(self.progress)})
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as sink:
            sink.write(line + "\n")
        print(line, flush=True)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--save", type=float, default=3.0, help="minutes between checkpoints")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    Run(recipe(args.recipe), args.data, args.out, args.minutes).train(args.save)


if __name__ == "__main__":
    main(sys.argv[1:])
