"""Prompts are files: one `.md` per prompt, Jinja2 with StrictUndefined, versioned by hash.

render("plan", goal=..., map=...) -> str
version("plan") -> "3f9c1a2b4d5e"
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = ["names", "render", "source", "version"]


def source(name: str) -> str:
    """The text of a prompt file. Raises FileNotFoundError for an unknown name."""
    return files("prompts").joinpath(f"{name}.md").read_text(encoding="utf-8")


def names() -> tuple[str, ...]:
    """Every prompt there is."""
    found = (p.name for p in files("prompts").iterdir())
    return tuple(sorted(n.removesuffix(".md") for n in found if n.endswith(".md")))


def version(name: str) -> str:
    """First 12 hex digits of the file's SHA-256: stored with every request."""
    return hashlib.sha256(source(name).encode()).hexdigest()[:12]


def render(name: str, **values: object) -> str:
    """Fill a prompt. A variable the file names and the caller does not give is an error."""
    return _template(name).render(**values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, StrictUndefined

    # Prompts are plain text for a model, not HTML: escaping would corrupt code.
    return Environment(
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


@cache
def _template(name: str) -> "Template":
    return _environment().from_string(source(name))
