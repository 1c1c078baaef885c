"""Does a model fit this machine, where would its weights lie, and how fast would it write?

A roofline: writing a token reads every active weight, the KV cache and the recurrent state (read
and written) once, so tokens/s is at most bandwidth over those bytes. The shares of the bandwidth
that llama.cpp reaches are 0.6 to 0.85 on GPUs and 0.5 to 0.7 on CPUs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agent.models.catalogue import Entry
from agent.models.info import ModelInfo
from agent.models.machine import Machine

__all__ = ["Fit", "Load", "Placement", "best", "fit", "load_of"]

KvType = Literal["f16", "q8_0"]

CPU_SHARE, GPU_SHARE = 0.6, 0.7
_SNAPSHOTS = 9
"""Recurrent states kept: the current one and eight to take drafts back to."""
_GIB = 2**30
_SMALL = _GIB
"""Below this file size buffers are small too."""
_FILLED = 8192
"""Tokens of context that speed is predicted for."""
_KV_SHARE: dict[KvType, float] = {"f16": 1.0, "q8_0": 34 / 64}
_LEAST_CONTEXT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a model asks of a machine, in bytes. `experts`: routed experts, which may stay in RAM;
    `active`: weights read for a token, `active_experts` of them in experts."""

    weights: int
    active: int
    experts: int
    active_experts: int
    layers: int
    context: int
    kv: int
    """Per token, f16."""
    state: int

    def cache(self, context: int, kv_type: KvType) -> int:
        """KV cache and recurrent states."""
        return int(self.kv * context * _KV_SHARE[kv_type]) + _SNAPSHOTS * self.state

    @property
    def buffers(self) -> int:
        return _GIB if self.weights > _SMALL else 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the parts lie. `gpu_layers` of `layers`; with `experts_in_ram` all of them, less the
    experts."""

    gpu_layers: int
    experts_in_ram: bool
    ram: int
    vram: int

    def words(self, layers: int) -> str:
        if not self.gpu_layers:
            return "CPU"
        if self.experts_in_ram:
            return "GPU, experts on the CPU"
        return (
            "GPU" if self.gpu_layers >= layers else f"{self.gpu_layers} of {layers} layers on GPU"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The answer for one model. Bytes; `tokens_per_s` is plain decoding, without drafts; None
    where a GPU's bandwidth is not known. When nothing fits, the figures are those of the CPU."""

    fits: bool
    context: int
    kv_type: KvType
    where: str
    gpu_layers: int
    experts_in_ram: bool
    needed: int
    available: int
    tokens_per_s: float | None
    formula: str


def load_of(model: Entry | ModelInfo) -> Load:
    """What a model asks for: by the header of its file, or by the catalogue's rounded facts."""
    if isinstance(model, ModelInfo):
        return Load(
            weights=model.size,
            active=model.active_bytes,
            experts=model.expert_bytes,
            active_experts=model.active_expert_bytes,
            layers=model.layers,
            context=model.context,
            kv=model.kv_bytes,
            state=model.state_bytes,
        )
    per_parameter = model.file_bytes / model.parameters
    dense = model.parameters - model.experts
    active_experts = max(model.active - dense, 0.0) if model.experts else 0.0
    return Load(
        weights=model.file_bytes,
        active=int(model.active * per_parameter),
        experts=int(model.experts * per_parameter),
        active_experts=int(active_experts * per_parameter),
        layers=model.layers,
        context=model.context,
        kv=model.kv_bytes,
        state=model.state_bytes,
    )


def fit(load: Load, machine: Machine, *, context: int, kv: KvType | None = None) -> Fit:
    """The fastest placement with the largest context up to `context`; f16 KV unless only q8_0 fits,
    or `kv` says which.

    Context is halved, never below 4096 tokens, before a model is said not to fit.
    """
    wanted = min(context, load.context or context)
    while True:
        kv_types: tuple[KvType, ...] = (kv,) if kv else ("f16", "q8_0")
        for kv_type in kv_types:
            found = list(_placements(load, machine, wanted, kv_type))
            if found:
                judged = [_judge(load, machine, p, wanted, kv_type) for p in found]
                return max(judged, key=lambda f: f.tokens_per_s or 0.0)
        if wanted <= _LEAST_CONTEXT:
            break
        wanted = max(wanted // 2, _LEAST_CONTEXT)
    on_cpu = Placement(
        gpu_layers=0, experts_in_ram=False, ram=_cpu_need(load, wanted, kv or "q8_0"), vram=0
    )
    return _judge(load, machine, on_cpu, wanted, kv or "q8_0")


def best(machine: Machine, entries: tuple[Entry, ...], *, context: int) -> tuple[Entry, Fit] | None:
    """The most capable of the recommended models that fits and writes at least 5 tokens/s; else the
    fastest that fits.

    Capable: by parameters, a mixture of experts counted by the geometric mean of all and active;
    of equals the later entry.
    """
    recommended = [e for e in reversed(entries) if e.recommend]
    judged = [(e, fit(load_of(e), machine, context=context)) for e in recommended]
    fitting = [(e, f) for e, f in judged if f.fits]
    usable = [(e, f) for e, f in fitting if f.tokens_per_s is None or f.tokens_per_s >= 5]
    if usable:
        return max(usable, key=lambda pair: (pair[0].parameters * pair[0].active) ** 0.5)
    return max(fitting, key=lambda pair: pair[1].tokens_per_s or 0.0, default=None)


def _cpu_need(load: Load, context: int, kv_type: KvType) -> int:
    return load.weights + load.cache(context, kv_type) + load.buffers


def _placements(load: Load, machine: Machine, context: int, kv_type: KvType) -> Iterator[Placement]:
    """Every way it fits."""
    cache = load.cache(context, kv_type)
    vram = sum(g.free for g in machine.gpus) if machine.gpu_build else 0
    room = vram - len(machine.gpus) * load.buffers
    if load.weights + cache <= room:
        need = load.weights + cache + load.buffers
        yield Placement(gpu_layers=load.layers, experts_in_ram=False, ram=load.buffers, vram=need)
    elif load.experts and load.weights - load.experts + cache <= room:
        in_ram = load.experts + load.buffers
        need = load.weights - load.experts + cache + load.buffers
        if in_ram <= machine.ram_free:
            yield Placement(gpu_layers=load.layers, experts_in_ram=True, ram=in_ram, vram=need)
    elif room > 0 and load.layers:
        layer = (load.weights + cache) / load.layers
        n = min(int(room / layer), load.layers - 1)
        in_ram = int((load.layers - n) * layer) + load.buffers
        if n and in_ram <= machine.ram_free:
            vram_need = int(n * layer) + load.buffers
            yield Placement(gpu_layers=n, experts_in_ram=False, ram=in_ram, vram=vram_need)
    if _cpu_need(load, context, kv_type) <= machine.ram_free:
        need = _cpu_need(load, context, kv_type)
        yield Placement(gpu_layers=0, experts_in_ram=False, ram=need, vram=0)


def _judge(load: Load, machine: Machine, place: Placement, context: int, kv_type: KvType) -> Fit:
    filled = min(context, _FILLED)
    state = 2 * load.state
    kv = int(load.kv * filled * _KV_SHARE[kv_type])
    total = load.active + kv + state
    on_gpu = _gpu_part(load, place, total)
    terms = [
        (total - on_gpu, CPU_SHARE, machine.bandwidth, "CPU"),
        (on_gpu, GPU_SHARE, _gpu_bandwidth(machine), "GPU"),
    ]
    used = [t for t in terms if t[0] > 0]
    seconds = [size / (share * rate) if rate else None for size, share, rate, _ in used]
    known = [s for s in seconds if s is not None]
    speed = 1 / sum(known) if len(known) == len(seconds) and sum(known) > 0 else None
    return Fit(
        fits=place.ram <= machine.ram_free,
        context=context,
        kv_type=kv_type,
        where=place.words(load.layers),
        gpu_layers=place.gpu_layers,
        experts_in_ram=place.experts_in_ram,
        needed=place.vram or place.ram,
        available=sum(g.free for g in machine.gpus) if place.vram else machine.ram_free,
        tokens_per_s=speed,
        formula=_formula(load, kv, state, filled, used, speed),
    )


def _gpu_part(load: Load, place: Placement, total: int) -> int:
    """How many of the bytes read for a token lie in graphics memory."""
    if not place.gpu_layers:
        return 0
    if place.experts_in_ram:
        return total - load.active_experts
    return int(total * place.gpu_layers / max(load.layers, 1))


def _gpu_bandwidth(machine: Machine) -> float | None:
    """Layers are split over cards and read one after the other: the slowest counts."""
    rates = [g.bandwidth for g in machine.gpus]
    known = [r for r in rates if r is not None]
    return min(known) if known and len(known) == len(rates) else None


def _formula(
    load: Load,
    kv: int,
    state: int,
    filled: int,
    used: list[tuple[int, float, float | None, str]],
    speed: float | None,
) -> str:
    read = f"{_gb(load.active)} weights + {_gb(kv)} KV at {filled:,} tokens + {_gb(state)} state"
    parts = [
        f"{_gb(size)} ÷ ({share} × {_gb(rate) + '/s' if rate else 'unknown bandwidth'} {name})"
        for size, share, rate, name in used
    ]
    result = f"{speed:.1f} tokens/s" if speed else "not known"
    return f"read per token: {read}; 1 ÷ ({' + '.join(parts)}) = {result}"


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"
