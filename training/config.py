"""The two configurations of one recipe, and a tiny one that rehearses it in seconds."""

from dataclasses import dataclass

__all__ = ["CONFIGS", "ModelConfig", "Recipe", "recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Shape of a `qwen35` hybrid. Widths must be multiples of 32: Q8_0 blocks hold 32 weights."""

    vocab: int
    width: int
    layers: int  # trunk only; the MTP block comes after them
    ff: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_dim: int
    rope_base: float
    ssm_heads: int
    ssm_state: int  # key and value width of one delta-net head; CUDA kernels want 16/32/64/128
    conv: int
    interval: int  # every n-th layer is full attention
    context: int
    eps: float = 1e-6

    def recurrent(self, layer: int) -> bool:
        """Whether a trunk layer is a gated delta net (the MTP block never is)."""
        return layer < self.layers and (layer + 1) % self.interval != 0

    def rope_sections(self) -> tuple[int, int, int, int]:
        """Interleaved sections (time, height, width, extra) that leave none to `extra`.

        All of a text token's positions but the extra one are equal, so any such split gives
        plain rotary embedding; a sector that fell to `extra` would not be rotated at all.
        """
        half = self.rope_dim // 2
        return (half - 2 * (half // 3), half // 3, half // 3, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A model, its data and its schedule. Everything else is the same for all sizes."""

    name: str
    model: ModelConfig
    row_tokens: int  # longest training row
    batch_tokens: int  # tokens (padding included) of one optimiser step
    micro_tokens: int  # tokens of one forward pass
    learning_rate: float
    mtp_depth: int  # draft positions trained by recursion
    mtp_weight: float
    answer_weight: int  # loss weight of an edit's answer against 1 for everything else
    data_tokens: int  # how much the data maker writes for one run
    mix_plain: float  # parts of the tokens; the rest are edit steps
    mix_fim: float
    span_lines: int  # longest span shown in an edit step
    trunk_sample: float  # part of the prompt positions whose loss is computed (answers: all)
    mtp_sample: float
    warmup: float = 0.02  # parts of the run
    decay: float = 0.4


_SMALL = ModelConfig(
    vocab=4096,
    width=192,
    layers=4,
    ff=448,
    heads=3,
    kv_heads=1,
    head_dim=64,
    rope_dim=32,
    rope_base=10_000.0,
    ssm_heads=3,
    ssm_state=64,
    conv=4,
    # Four layers with attention at the end alone did not learn to copy in 1.3 M tokens: the
    # answer loss of the draft head, a second attention layer, was half the trunk's.
    interval=2,
    context=2048,
)
_FULL = ModelConfig(
    vocab=12_288,
    width=384,
    layers=8,
    ff=960,
    heads=6,
    kv_heads=2,
    head_dim=64,
    rope_dim=32,
    rope_base=10_000.0,
    ssm_heads=6,
    ssm_state=64,
    conv=4,
    interval=4,
    context=4096,
)
_TINY = ModelConfig(
    vocab=1024,
    width=64,
    layers=4,
    ff=96,
    heads=2,
    kv_heads=1,
    head_dim=32,
    rope_dim=32,
    rope_base=10_000.0,
    ssm_heads=2,
    ssm_state=32,
    conv=4,
    interval=4,
    context=2048,
)

CONFIGS = (
    # A CPU sees a few million tokens: nearly all of them are edit steps, in small batches.
    Recipe(
        name="small",
        model=_SMALL,
        row_tokens=1024,
        batch_tokens=4096,
        micro_tokens=2048,
        learning_rate=3e-3,
        mtp_depth=1,
        mtp_weight=0.3,
        answer_weight=4,
        data_tokens=16_000_000,
        mix_plain=0.15,
        mix_fim=0.05,
        span_lines=32,
        trunk_sample=0.6,
        mtp_sample=0.25,
    ),
    Recipe(
        name="full",
        model=_FULL,
        row_tokens=2048,
        batch_tokens=262_144,
        micro_tokens=65_536,
        learning_rate=3e-3,
        mtp_depth=3,
        mtp_weight=0.3,
        answer_weight=4,
        data_tokens=600_000_000,
        mix_plain=0.3,
        mix_fim=0.1,
        span_lines=60,
        trunk_sample=1.0,
        mtp_sample=0.5,
    ),
    Recipe(
        name="tiny",
        model=_TINY,
        row_tokens=512,
        batch_tokens=2048,
        micro_tokens=2048,
        learning_rate=3e-3,
        mtp_depth=2,
        mtp_weight=0.3,
        answer_weight=4,
        data_tokens=300_000,
        mix_plain=0.2,
        mix_fim=0.1,
        span_lines=24,
        trunk_sample=0.6,
        mtp_sample=0.25,
    ),
)


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises KeyError, naming the known ones."""
    for found in CONFIGS:
        if found.name == name:
            return found
    known = ", ".join(r.name for r in CONFIGS)
    raise KeyError(f"no recipe {name!r}; known: {known}")
