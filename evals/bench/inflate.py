"""Function-preserving inflation: a small trained `qwen35` model in the shape of a larger one.

    python -m evals.bench.inflate OUT.gguf [--shape 65m|0.8b|4b|27b] [--model SMALL.gguf]

The larger model gives the same greedy tokens and has the same MTP acceptance, but costs what its
shape costs: real acceptance meets real cost without anyone's weights. How each part is kept:

  width        zeros; an RMS norm over more channels divides by less, so its weights shrink by
               sqrt(small / large). eps is set for the recurrent heads, whose outputs can be as
               small as it; against the residual stream it is nothing
  depth        blocks whose outputs are zero; the trained ones go where their kind (recurrent or
               attention) is due in the larger pattern
  heads        zero heads behind the real ones; wider heads are zeros too, with the norms of q and
               k scaled and 1/sqrt(head) made good in the norm of q
  vocabulary   repeats of the real rows: they tie with the real token, and the lowest id is taken

Only for greedy decoding: sampling sees the repeated rows. The small model needs as many key as
value heads in its recurrent blocks; in the larger one value head v reads key head v modulo their
number. `--type q4_0` halves the file, and the small model's own rounding then changes its texts:
for costs only. 27B takes 29 GB of disk as Q8_0 and 16 as Q4_0.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

MINI = Path(__file__).parents[2] / "agent" / "models" / "pointsman-mini.gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    width: int
    layers: int
    """Of the trunk; the MTP block comes on top."""
    interval: int
    ff: int
    heads: int
    kv_heads: int
    head: int
    ssm_heads: int
    """Key heads of the recurrent blocks."""
    ssm_values: int
    """Value heads: a multiple of the key heads."""
    ssm_state: int
    vocabulary: int


SHAPES = {
    "65m": Shape(
        width=512, layers=12, interval=4, ff=1792, heads=4, kv_heads=1, head=128,
        ssm_heads=8, ssm_values=8, ssm_state=64, vocabulary=32768,
    ),
    "0.8b": Shape(
        width=1024, layers=24, interval=4, ff=3584, heads=8, kv_heads=2, head=256,
        ssm_heads=16, ssm_values=16, ssm_state=128, vocabulary=248320,
    ),
    "4b": Shape(
        width=2560, layers=32, interval=4, ff=9216, heads=16, kv_heads=4, head=256,
        ssm_heads=16, ssm_values=32, ssm_state=128, vocabulary=248320,
    ),
    "27b": Shape(
        width=5120, layers=64, interval=4, ff=17408, heads=24, kv_heads=4, head=256,
        ssm_heads=16, ssm_values=48, ssm_state=128, vocabulary=248320,
    ),
}  # fmt: skip


def shape_of(fields: dict[str, Any]) -> Shape:
    return Shape(
        width=fields["embedding_length"],
        layers=fields["block_count"] - fields["nextn_predict_layers"],
        interval=fields["full_attention_interval"],
        ff=fields["feed_forward_length"],
        heads=fields["attention.head_count"],
        kv_heads=fields["attention.head_count_kv"],
        head=fields["attention.key_length"],
        ssm_heads=fields["ssm.group_count"],
        ssm_values=fields["ssm.time_step_rank"],
        ssm_state=fields["ssm.state_size"],
        vocabulary=fields["vocab_size"],
    )


def read_shape(model: Path) -> Shape:
    import gguf

    return shape_of(_fields(gguf.GGUFReader(model)))


def pad(array: "Array", *sizes: int) -> "Array":
    import numpy as np

    out: Array = np.zeros(sizes, dtype=np.float32)
    out[tuple(slice(n) for n in array.shape)] = array
    return out


class Inflater:
    """Maps each tensor of the small model to the large shape; arrays are (out, in)."""

    def __init__(self, small: Shape, large: Shape) -> None:
        if large.heads // large.kv_heads < small.heads // small.kv_heads or small.kv_heads > 1:
            raise SystemExit("the real heads must share one key head in both shapes")
        if small.ssm_values != small.ssm_heads or large.ssm_values % large.ssm_heads:
            raise SystemExit(
                "value heads must be as many as key heads, or a multiple in the larger"
            )
        self.small, self.large = small, large

    def tensor(self, name: str, array: "Array") -> "Array":
        kind = name.removesuffix(".weight").split(".", 2)[-1]
        rule = getattr(self, "_" + kind.replace(".", "_"), None)
        if rule is not None:
            found: Array = rule(array)
            return found
        if kind in ("attn_norm", "post_attention_norm") or "norm" in kind:
            return self._norm(array, self.small.width, self.large.width)
        raise SystemExit(f"no rule for the tensor {name}")

    def _norm(self, array: "Array", small: int, large: int) -> "Array":
        return pad(array * math.sqrt(small / large), large)

    def _token_embd(self, array: "Array") -> "Array":
        import numpy as np

        wide = pad(array, len(array), self.large.width)
        return np.resize(wide, (self.large.vocabulary, self.large.width))

    def _heads(self, array: "Array", parts: int, count: int, old: int, new: int) -> "Array":
        """Rows are `parts` x heads x channels of a head: pad heads and channels."""
        width = array.shape[1:]
        shaped = array.reshape(parts, -1, old, *width)
        return pad(shaped, parts, count, new, *width).reshape(parts * count * new, *width)

    def _columns(self, array: "Array") -> "Array":
        return pad(array, len(array), self.large.width)

    def _rows(self, array: "Array") -> "Array":
        return pad(array, self.large.width, array.shape[1])

    def _ffn_gate(self, array: "Array") -> "Array":
        return pad(array, self.large.ff, self.large.width)

    _ffn_up = _ffn_gate

    def _ffn_down(self, array: "Array") -> "Array":
        return pad(array, self.large.width, self.large.ff)

    def _attn_q(self, array: "Array") -> "Array":
        """Per head q, then gate: two parts inside each head."""
        s, b = self.small, self.large
        shaped = array.reshape(s.heads, 2, s.head, -1)
        out = pad(shaped, b.heads, 2, b.head, b.width)
        return out.reshape(2 * b.heads * b.head, b.width)

    def _attn_k(self, array: "Array") -> "Array":
        b = self.large
        return self._columns(self._heads(array, 1, b.kv_heads, self.small.head, b.head))

    _attn_v = _attn_k

    def _attn_output(self, array: "Array") -> "Array":
        b = self.large
        return self._rows(self._heads(array.T, 1, b.heads, self.small.head, b.head).T)

    def _attn_q_norm(self, array: "Array") -> "Array":
        return pad(array, self.large.head)  # the norm's and the score's scale cancel out

    def _attn_k_norm(self, array: "Array") -> "Array":
        return self._norm(array, self.small.head, self.large.head)

    def _value_heads(self, array: "Array") -> "Array":
        """Rows are value heads x channels."""
        s, b = self.small, self.large
        return self._heads(array, 1, b.ssm_values, s.ssm_state, b.ssm_state)

    def _qkv(self, array: "Array") -> "Array":
        """Rows are q, k (key heads each), then v (value heads)."""
        import numpy as np

        s, b = self.small, self.large
        keys, values = np.split(array, [2 * s.ssm_heads * s.ssm_state])
        wide = self._heads(keys, 2, b.ssm_heads, s.ssm_state, b.ssm_state)
        return np.concatenate([wide, self._value_heads(values)])

    def _attn_qkv(self, array: "Array") -> "Array":
        return self._columns(self._qkv(array))

    def _attn_gate(self, array: "Array") -> "Array":
        return self._columns(self._value_heads(array))

    def _ssm_conv1d(self, array: "Array") -> "Array":
        return self._qkv(array)

    def _ssm_out(self, array: "Array") -> "Array":
        return self._rows(self._value_heads(array.T).T)

    def _ssm_norm(self, array: "Array") -> "Array":
        return self._norm(array, self.small.ssm_state, self.large.ssm_state)

    def _ssm_alpha(self, array: "Array") -> "Array":
        return pad(array, self.large.ssm_values, self.large.width)

    _ssm_beta = _ssm_alpha

    def _ssm_a(self, array: "Array") -> "Array":
        out = pad(array, self.large.ssm_values)
        out[len(array) :] = -1.0
        return out

    def _ssm_dt_bias(self, array: "Array") -> "Array":
        return pad(array, self.large.ssm_values)

    def _nextn_eh_proj(self, array: "Array") -> "Array":
        """Columns are embedding, then hidden row."""
        s, b = self.small, self.large
        shaped = array.reshape(s.width, 2, s.width)
        return pad(shaped, b.width, 2, b.width).reshape(b.width, 2 * b.width)


def places(small: Shape, large: Shape) -> list[int | None]:
    """For each block of the large trunk, the small block it holds; None: one that does nothing."""
    found: list[int | None] = []
    due = 0
    for at in range(large.layers):
        fits = due < small.layers and _full(at, large) == _full(due, small)
        found.append(due if fits else None)
        due += fits
    if due < small.layers:
        raise SystemExit("the larger shape has too few blocks of the right kinds")
    return found


def _full(layer: int, shape: Shape) -> bool:
    return (layer + 1) % shape.interval == 0


def inflate(source: Path, target: Path, large: Shape, *, kind: str = "q8_0") -> None:
    """Write `source` in the shape `large`; its Q8_0 becomes `kind` (q8_0, q4_0, f32)."""
    import gguf

    reader = gguf.GGUFReader(source)
    fields = _fields(reader)
    small = shape_of(fields)
    rules = Inflater(small, large)
    quantised = gguf.GGMLQuantizationType[kind.upper()]
    writer = gguf.GGUFWriter(target, "qwen35", use_temp_file=True)
    _metadata(writer, reader, fields, small, large)
    tensors = {t.name: t for t in reader.tensors}
    for name, origin, idle in _plan(sorted(tensors), small, large):
        tensor = tensors[origin]
        array = rules.tensor(origin, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
        if idle:
            array *= 0
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            writer.add_tensor(name, gguf.quants.quantize(array, quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _plan(names: list[str], small: Shape, large: Shape) -> list[tuple[str, str, bool]]:
    """(name, name in the small model, whether it is to be zero) of every tensor."""
    found = [(n, n, False) for n in names if not n.startswith("blk.")]
    samples = {_full(i, small): i for i in range(small.layers)}
    blocks = [(i, o) for i, o in enumerate(places(small, large))]
    for at, origin in [*blocks, (large.layers, small.layers)]:
        taken = samples[_full(at, large)] if origin is None else origin
        for name in names:
            if name.startswith(f"blk.{taken}."):
                rest = name.split(".", 2)[2]
                ends = rest in ("ssm_out.weight", "attn_output.weight", "ffn_down.weight")
                found.append((f"blk.{at}.{rest}", name, origin is None and ends))
    return found


def _fields(reader: Any) -> dict[str, Any]:
    prefix = "qwen35."
    return {k.removeprefix(prefix): f.contents() for k, f in reader.fields.items()}


def _metadata(writer: Any, reader: Any, fields: dict[str, Any], small: Shape, large: Shape) -> None:
    """The small model's fields with the large shape's numbers, and a longer vocabulary."""
    changed: dict[str, Any] = {
        "embedding_length": large.width,
        "block_count": large.layers + fields["nextn_predict_layers"],
        "full_attention_interval": large.interval,
        "feed_forward_length": large.ff,
        "attention.head_count": large.heads,
        "attention.head_count_kv": large.kv_heads,
        "attention.key_length": large.head,
        "attention.value_length": large.head,
        "attention.layer_norm_rms_epsilon": fields["attention.layer_norm_rms_epsilon"]
        * (small.ssm_state / large.ssm_state) ** 2,
        "ssm.group_count": large.ssm_heads,
        "ssm.time_step_rank": large.ssm_values,
        "ssm.state_size": large.ssm_state,
        "ssm.inner_size": large.ssm_values * large.ssm_state,
        "vocab_size": large.vocabulary,
    }
    more = large.vocabulary - small.vocabulary
    changed["tokenizer.ggml.tokens"] = [
        *fields["tokenizer.ggml.tokens"],
        *(f"[unused{i}]" for i in range(more)),
    ]
    changed["tokenizer.ggml.token_type"] = [*fields["tokenizer.ggml.token_type"], *[5] * more]
    for key, field in reader.fields.items():
        short = key.removeprefix("qwen35.")
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        sub = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(key, changed.get(short, fields[short]), field.types[0], sub)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m evals.bench.inflate")
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="65m")
    parser.add_argument("--model", type=Path, default=MINI)
    parser.add_argument("--type", choices=("q8_0", "q4_0"), default="q8_0")
    args = parser.parse_args()
    inflate(args.model, args.out, SHAPES[args.shape], kind=args.type)
    print(f"{args.out}: {args.out.stat().st_size / 2**20:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
