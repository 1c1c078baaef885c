"""`agent models fit`, and what `list` says of the shipped model and a better one."""

import argparse
import sys
from typing import TYPE_CHECKING

from agent.cli.common import emit, find_root, load_settings, show_table, start_directory
from agent.errors import ConfigError
from agent.sanitize import clean, one_line, plain

if TYPE_CHECKING:
    from agent.models import Entry, Fit, Machine, ModelInfo

__all__ = ["about_mini", "prediction", "run_fit", "say"]


def run_fit(args: argparse.Namespace) -> int:
    """Installed models and those of the catalogue against what this machine has free now."""
    from agent import models, paths
    from agent.trajectory import jsonable

    settings = load_settings(args, find_root(start_directory(args))).settings
    context = args.context or settings.local_context
    kv = None if settings.local_kv == "auto" else settings.local_kv
    machine = models.look(paths.cache_dir())
    here = list(models.installed(paths.models_dir()))
    rows: list[tuple[str, str, ModelInfo | Entry]] = [(m.path.stem, "installed", m) for m in here]
    known = {e.name for m in here if (e := models.find(m.path.name))}
    rows += [(e.name, e.repo, e) for e in models.catalogue() if e.repo and e.name not in known]
    if args.name:
        rows = [row for row in rows if row[0].lower().startswith(args.name.lower())]
        if not rows:
            raise ConfigError(f"no model {args.name!r}", remedy="agent models fit")
    judged = [
        (name, where, m, models.fit(models.load_of(m), machine, context=context, kv=kv))
        for name, where, m in rows
    ]
    if args.json:
        for name, where, m, fit in judged:
            advice = jsonable(m.sampling) if hasattr(m, "sampling") else None
            emit({"name": name, "source": where, "quantisation": m.quantisation,
                  "sampling": advice, **jsonable(fit)})  # fmt: skip
        return 0
    _fit_table(args, judged)
    say(*_about_machine(machine))
    if args.name:
        say(*(f"{name}: {fit.formula}" for name, _, _, fit in judged))
    else:
        say("tokens/s: plain decoding at 8,192 tokens of context; drafts add to it")
        say("next: agent models pull NAME")
    return 0


def _fit_table(
    args: argparse.Namespace, judged: "list[tuple[str, str, ModelInfo | Entry, Fit]]"
) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (
        "model",
        "fits",
        "weights",
        "context",
        "KV",
        "where",
        "needs",
        "free",
        "tokens/s",
    ):
        table.add_column(title, no_wrap=title != "model", overflow="fold")
    for name, where, model, fit in judged:
        table.add_row(
            plain(one_line(name, 60), "bold" if where == "installed" else ""),
            plain("yes", "green") if fit.fits else plain("no", "dim"),
            plain(model.quantisation),
            f"{fit.context:,}",
            fit.kv_type,
            fit.where,
            f"{fit.needed / 2**30:.1f} GiB",
            f"{fit.available / 2**30:.1f} GiB",
            "" if not fit.fits else "?" if fit.tokens_per_s is None else f"{fit.tokens_per_s:.1f}",
        )
    show_table(args, table)


def _about_machine(machine: "Machine") -> list[str]:
    from agent import models

    gib = 2**30
    lines = [
        f"memory: {machine.ram_free / gib:.1f} of {machine.ram_total / gib:.1f} GiB free,"
        f" {machine.bandwidth / 1e9:.1f} GB/s measured, {machine.cores} cores"
    ]
    for gpu in machine.gpus:
        speed = (
            f"{gpu.bandwidth / 1e9:,.0f} GB/s by its data sheet"
            if gpu.bandwidth
            else "speed unknown"
        )
        lines.append(f"{gpu.name}: {gpu.free / gib:.1f} of {gpu.total / gib:.1f} GiB free, {speed}")
    if machine.gpus and not machine.gpu_build:
        lines.append(
            "the installed llama.cpp was built without GPU support and leaves it idle; replace it:"
        )
        lines.append(f"  {models.gpu_install_command()}")
    return lines


def prediction(fit: "Fit") -> str:
    """Tokens per second in words."""
    return "speed unknown" if fit.tokens_per_s is None else f"{fit.tokens_per_s:.1f} tokens/s"


def about_mini(context: int) -> tuple[str, ...]:
    """What the shipped model is, and the better one for this machine."""
    from agent import models, paths

    found = models.best(models.look(paths.cache_dir()), models.catalogue(), context=context)
    lines = (
        "Pointsman Mini ships with the package: it proposes edits of a few lines to small Python",
        "bugs. It cannot plan, talk, or write new code; fix, test, map and search work with it.",
    )
    if found is None:
        return (*lines, "no larger model of the catalogue fits this machine: agent models fit")
    entry, fit = found
    size = f"{entry.file_bytes / 1e9:.1f} GB to fetch, {prediction(fit)} predicted"
    return (
        *lines,
        f"larger, and fits here: {entry.title} ({size}): agent models pull {entry.name}",
    )


def say(*lines: str) -> None:
    """Lines for people, on stderr."""
    for line in lines:
        sys.stderr.write(f"  {clean(line)}\n")
