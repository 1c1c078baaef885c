"""The tools that only look: read, outline, search, references."""

from collections.abc import Iterable, Mapping
from typing import Any

from agent.chat.fence import visible
from agent.chat.tools.base import Args, Desk, Result, Tool, ToolError
from tools.errors import OutOfScope
from tools.files import check_path
from tools.types import Hit, Symbol

__all__ = ["OUTLINE", "READ", "REFERENCES", "SEARCH"]

READ_LINES = 400
READ_BYTES = 8 << 20
LINE = 400
"""Characters of one line; minified code has lines of megabytes."""
MAP_TOKENS = 2_000
FOUND = 30
_TEXT: Mapping[str, Any] = {"type": "string"}
_NUMBER: Mapping[str, Any] = {"type": "integer"}


# --------------------------------------------------------------------------- read


def _read(args: Args, desk: Desk) -> Result:
    path = _clean_path(args.text("path"))
    view = desk.view()
    if path not in view.files:
        return _listing(path, desk)
    desk.refuse_hidden(path)
    data = view.read(path)
    if data is None:
        raise ToolError(f"{path} is a link or not a regular file; it cannot be read.")
    if b"\0" in data[:8000] or len(data) > READ_BYTES:
        kind = "binary" if b"\0" in data[:8000] else "too large to be read"
        raise ToolError(f"{path} is {kind} ({len(data):,} bytes).")
    return _lines(path, data.decode("utf-8", "surrogateescape"), args, desk.output)


def _lines(path: str, text: str, args: Args, limit: int) -> Result:
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    first = max(1, args.number("first_line", 0))
    wanted = args.number("last_line", 0)
    last = min(len(lines), wanted if wanted >= first else len(lines), first + READ_LINES - 1)
    if lines and first > len(lines):
        raise ToolError(f"{path} has {len(lines)} lines; line {first} is not among them.")
    shown: list[str] = []
    size = 0
    for number in range(first, last + 1):
        line = lines[number - 1]
        cut = line if len(line) <= LINE else f"{line[:LINE]}[… {len(line) - LINE} more]"
        shown.append(f"{number:>5}  {cut}")
        size += len(shown[-1]) + 1
        if size > limit - LINE:
            last = number
            break
    body, hidden = visible("\n".join(shown))
    rest = len(lines) - last
    note = f"{rest} more lines: read from line {last + 1}." if rest > 0 else ""
    return Result(
        summary=f"{max(0, last - first + 1)} of {len(lines)} lines",
        text=body,
        about=f"path={path} lines={first}-{last} of={len(lines)}{hidden}",
        note=note,
        paths=(path,),
    )


def _listing(path: str, desk: Desk) -> Result:
    """Of a directory; else an error with the names that are like it."""
    files = [f for f in desk.view().files if desk.allowed(f)]
    prefix = "" if path in ("", ".") else f"{path}/"
    below = [f for f in files if f.startswith(prefix)]
    if not below:
        raise ToolError(f"There is no file {path}.{_like(path, files)}")
    names = dict.fromkeys(
        f[len(prefix) :].partition("/")[0] + ("/" if "/" in f[len(prefix) :] else "") for f in below
    )
    shown = list(names)[:200]
    more = f"{len(names) - len(shown)} more entries." if len(names) > len(shown) else ""
    return Result(
        summary=f"{len(names)} entries",
        text=visible("\n".join(shown))[0],
        about=f"directory={path or '.'}",
        note=more,
    )


def _like(path: str, files: Iterable[str]) -> str:
    import difflib

    name = path.rpartition("/")[2].lower()
    files = list(files)
    same = [f for f in files if f.rpartition("/")[2].lower() == name]
    near = same or difflib.get_close_matches(path, files, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near[:3])}?" if near else " `search` finds files by words."


# --------------------------------------------------------------------------- outline


def _outline(args: Args, desk: Desk) -> Result:
    path = _clean_path(args.text("path"))
    view = desk.view()
    if path in ("", "."):
        return _map(desk)
    if path not in view.files:
        return _listing(path, desk)
    desk.refuse_hidden(path)
    symbols = view.index().symbols(path)
    if not symbols:
        raise ToolError(f"{path} has no definitions that the index knows. Read it instead.")
    rows = [_row(s) for s in symbols]
    text, hidden = visible("\n".join(rows)[: desk.output])
    return Result(
        summary=f"{len(symbols)} definitions",
        text=text,
        about=f"path={path} definitions={len(symbols)}{hidden}",
        paths=(path,),
    )


def _row(symbol: Symbol) -> str:
    indent = "  " * symbol.name.count(".")
    return f"{symbol.line:>5}-{symbol.end_line}  {indent}{symbol.signature or symbol.name}"


def _map(desk: Desk) -> Result:
    found = desk.view().index().map(None, MAP_TOKENS)
    text = without_hidden(found.text, desk)
    return Result(
        summary=f"{found.symbols} definitions",
        text=visible(text)[0],
        about="map=repository",
        note="The most central definitions; outline a file for all of its own.",
    )


def without_hidden(text: str, desk: Desk) -> str:
    """A repository map without the files that may not be shown where the conversation is held."""
    kept: list[str] = []
    show = True
    for line in text.splitlines(keepends=True):
        if not line.startswith(" "):
            show = desk.allowed(line.rstrip("\n").removesuffix(":"))
        if show:
            kept.append(line)
    return "".join(kept)


# --------------------------------------------------------------------------- search, references


def _search(args: Args, desk: Desk) -> Result:
    query = args.text("query").strip()
    if not query:
        raise ToolError('"query" is empty. Give words, a name, or a regular expression.')
    if args.one_of("how", ("words", "regex")) == "words":
        hits = desk.view().index().search(query, FOUND)
        return _hits(hits, desk, f"search={query[:80]!r}", _ranked)
    try:
        hits = desk.view().index().grep(query, limit=4 * FOUND)
    except ValueError as error:
        raise ToolError(f"This is not a regular expression: {error}.") from None
    return _hits(hits, desk, f"regex={query[:80]!r}", _line)


def _references(args: Args, desk: Desk) -> Result:
    name = args.text("name").strip()
    if not name:
        raise ToolError('"name" is empty. Give the name of a function, method, class or constant.')
    hits = desk.view().index().references(name)
    return _hits(hits[: 4 * FOUND], desk, f"references={name[:80]!r}", _line)


def _ranked(hit: Hit) -> str:
    why = "; ".join(hit.reasons[:2])
    return f"{hit.path}:{hit.line}-{hit.end_line}  {hit.symbol or ''}  ({why})"


def _line(hit: Hit) -> str:
    what = hit.reasons[0] if hit.reasons else ""
    return f"{hit.path}:{hit.line}  {hit.symbol or ''}  {what.strip()[:160]}"


def _hits(hits: tuple[Hit, ...], desk: Desk, about: str, row: Any) -> Result:
    shown = [h for h in hits if desk.allowed(h.path)]
    hidden = len(hits) - len(shown)
    note = f"{hidden} more in files that may not be sent to this model." if hidden else ""
    if not shown:
        note = note or "Nothing found. Try other words, or `outline` with an empty path."
        return Result(summary="nothing found", note=note, about=about)
    text, marks = visible("\n".join(row(h) for h in shown)[: desk.output])
    return Result(
        summary=f"{len(shown)} found",
        text=text,
        about=about + marks,
        note=note,
        paths=tuple(dict.fromkeys(h.path for h in shown)),
    )


def _clean_path(path: str) -> str:
    path = path.strip().replace("\\", "/").removeprefix("./").rstrip("/")
    if path in ("", "."):
        return ""
    try:
        check_path(path)
    except OutOfScope as error:
        raise ToolError(f"{error}. Paths are relative to the root of the repository.") from None
    return path


def _where(args: Args) -> str:
    path = str(args.values.get("path") or ".")
    first, last = args.values.get("first_line") or 0, args.values.get("last_line") or 0
    return f"{path} {first}-{last or ''}" if first else path


READ = Tool(
    name="read",
    kind="look",
    properties={"path": _TEXT, "first_line": _NUMBER, "last_line": _NUMBER},
    run=_read,
    summary=_where,
)
OUTLINE = Tool(
    name="outline",
    kind="look",
    properties={"path": _TEXT},
    run=_outline,
    summary=lambda args: str(args.values.get("path") or "the repository"),
)
SEARCH = Tool(
    name="search",
    kind="look",
    properties={"query": _TEXT, "how": {"type": "string", "enum": ["words", "regex"]}},
    run=_search,
    summary=lambda args: str(args.values.get("query", "")),
)
REFERENCES = Tool(
    name="references",
    kind="look",
    properties={"name": _TEXT},
    run=_references,
    summary=lambda args: str(args.values.get("name", "")),
)
