"""How a test asks for candidates."""

from tools.enumerate import candidates
from tools.types import Candidate, Suspect


def suspects(lines: list[int], path: str = "m.py") -> tuple[Suspect, ...]:
    return tuple(
        Suspect(path=path, line=n, symbol=None, score=1.0 - i / 100) for i, n in enumerate(lines)
    )


def generate(source: str, lines: list[int], limit: int = 5000) -> list[Candidate]:
    return list(candidates(source.encode(), "m.py", suspects(lines), limit=limit))
