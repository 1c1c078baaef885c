"""The repo index: what is defined where, and what matters for a question.

    index = open_index(root, cache_dir)
    index.update()                      # milliseconds when little changed
    index.localize(issue_text)          # ranked functions, with reasons
    index.map(query, 8000)              # signatures to an exact token budget
    index.pack(path, symbol="C.m", budget_tokens=2000)

Importing this loads neither tree-sitter nor numpy.
"""

from tools.index.index import Index, open_index
from tools.index.model import (
    CountTokens,
    IndexStats,
    Pack,
    PackItem,
    PackRole,
    PastCommit,
    RepoMap,
    estimate_tokens,
)

__all__ = [
    "CountTokens",
    "Index",
    "IndexStats",
    "Pack",
    "PackItem",
    "PackRole",
    "PastCommit",
    "RepoMap",
    "estimate_tokens",
    "open_index",
]
