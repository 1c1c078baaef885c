"""The one honest line for who has nothing that can hold a conversation: what to add."""

from pathlib import Path

__all__ = ["missing"]


def missing(cache_dir: Path, *, context: int, local_only: bool) -> str:
    """What works as it is, and what to add: a GGUF that fits this machine, an endpoint, a key."""
    from agent import models

    found = models.best(models.look(cache_dir), models.catalogue(), context=context)
    local = "a larger GGUF (agent models use PATH)"
    if found is not None:
        entry, fit = found
        speed = "" if fit.tokens_per_s is None else f", about {fit.tokens_per_s:.0f} tokens/s"
        size = f"{entry.file_bytes / 1e9:.1f} GB"
        local = f"{entry.title}, which fits here (agent models pull {entry.name}; {size}{speed})"
    elsewhere = (
        "" if local_only else ", an endpoint of yours (onprem.url) or a key (ANTHROPIC_API_KEY)"
    )
    return (
        f"free conversation needs a model that can hold one; add {local}{elsewhere}."
        " fix, test, refactor, map and search work as they are"
    )
