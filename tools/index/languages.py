"""What a path tells: its language, and whether it is a test, vendored or generated."""

import re
from functools import lru_cache

__all__ = ["LANGUAGES", "TREE_SITTER", "is_test", "is_vendored", "language_of"]

TREE_SITTER = frozenset(
    "python javascript typescript tsx java go rust c cpp ruby php csharp bash".split()
)
"""Languages with a grammar; the others are read with regular expressions."""

LANGUAGES: dict[str, str] = {
    ext: language
    for language, extensions in {
        "python": "py pyi pyw",
        "javascript": "js jsx mjs cjs",
        "typescript": "ts mts cts",
        "tsx": "tsx",
        "java": "java",
        "go": "go",
        "rust": "rs",
        "c": "c h",
        "cpp": "cc cpp cxx c++ hh hpp hxx h++ ipp inl cu cuh",
        "ruby": "rb rake gemspec",
        "php": "php",
        "csharp": "cs",
        "bash": "sh bash zsh",
        "kotlin": "kt kts",
        "swift": "swift",
        "scala": "scala sc",
        "lua": "lua",
        "perl": "pl pm",
        "elixir": "ex exs",
        "haskell": "hs",
        "cython": "pyx pxd pxi",
        "text": "html htm jinja jinja2 j2 css scss less sql toml cfg ini yaml yml json xml proto"
        " graphql cmake mk vue svelte",
    }.items()
    for ext in extensions.split()
}

_BY_NAME = {"makefile": "text", "dockerfile": "text", "cmakelists.txt": "text", "rakefile": "ruby"}
_LOCKS = frozenset(
    {"package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "composer.lock", "yarn.lock"}
)
_TEST = re.compile(
    r"(^|/)(tests?|testing|__tests__|specs?|testdata|fixtures|e2e)/"
    r"|(^|/)(test_[^/]*|conftest)\.py$|(^|/)tests?\.py$"
    r"|_tests?\.(py|go|rb|cc|cpp|c|rs|exs)$|_spec\.rb$|[._-](test|spec)s?\.[cm]?[jt]sx?$"
    r"|(^|/)src/(test|androidTest|integrationTest)/|Tests?\.(java|kt|cs|php|swift|scala)$"
)
_VENDORED = re.compile(
    r"(^|/)(node_modules|vendor|_vendor|vendored|third_party|thirdparty|external|bower_components"
    r"|site-packages|dist|build|\.venv|venv|\.tox|\.nox|\.eggs|__pycache__|extern|externals)/"
    r"|[.-]min\.(js|css)$|\.(bundle|pack)\.js$|\.map$|(^|/)(jquery|bootstrap)[^/]*\.(js|css)$"
    r"|_pb2(_grpc)?\.pyi?$|\.pb\.(go|cc|h)$|(\.g|\.designer|\.generated)\.[a-z]+$"
)


@lru_cache(maxsize=1 << 17)
def language_of(path: str) -> str | None:
    """The language a file is read as; None for a file the index leaves out."""
    name = path.rpartition("/")[2].lower()
    if name in _LOCKS:
        return None
    dot = name.rpartition(".")
    return LANGUAGES.get(dot[2]) if dot[0] else _BY_NAME.get(name)


@lru_cache(maxsize=1 << 16)
def is_test(path: str) -> bool:
    """Whether a file holds tests or their data."""
    return _TEST.search(path) is not None


@lru_cache(maxsize=1 << 16)
def is_vendored(path: str) -> bool:
    """Whether a file is somebody else's, built or generated: ranked below the user's own."""
    return _VENDORED.search(path) is not None
