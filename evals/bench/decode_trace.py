"""Makes the trace that `evals.bench.decode` decodes: texts of this repository, chosen by rule.

    python -m evals.bench.decode_trace > evals/bench/decode_trace.json

Rules, fixed before anything was measured: the functions of `agent/` and `tools/` in path order,
first version against last; of those whose text fits, every n-th, so that they spread. Nothing was
exchanged for its speed. Acceptance is set per class where Mini cannot write the class itself:
published figures for Qwen's heads (see agent/engine/acceptance.py), falling with the position.
"""

import ast
import difflib
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import prompts

PER_CLASS = 4
SHORT, LONG = 260, 760
"""Characters of an output; prompts stay within three times as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One generation. `text` empty: the model writes it itself, with its real acceptance."""

    group: str
    name: str
    kind: str
    edit_format: str | None
    prompt: str
    sources: tuple[str, ...]
    text: str
    acceptance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A function as it first was and as it is."""

    path: str
    name: str
    before: str
    after: str


def git(*args: str) -> str:
    return subprocess.run(["git", *args], capture_output=True, text=True, check=True).stdout


def functions(text: str) -> dict[str, str]:
    """Source of every function by qualified name."""
    lines = text.splitlines(keepends=True)
    found: dict[str, str] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.FunctionDef):
                found[prefix + child.name] = "".join(lines[child.lineno - 1 : child.end_lineno])

    visit(ast.parse(text), "")
    return found


def pairs(commit: str) -> Iterator[Pair]:
    """Functions of the repository at `commit` that its history changed."""
    for path in git("ls-tree", "-r", "--name-only", commit, "agent", "tools").split():
        if not path.endswith(".py"):
            continue
        first = git("log", "--reverse", "--format=%h", commit, "--", path).split()[0]
        old = functions(git("show", f"{first}:{path}"))
        for name, after in functions(git("show", f"{commit}:{path}")).items():
            yield Pair(path=path, name=name, before=old.get(name, ""), after=after)


def spread(items: list[Item]) -> list[Item]:
    step = max(1, len(items) // PER_CLASS)
    return items[::step][:PER_CLASS]


def chat(text: str) -> str:
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def fits(text: str) -> bool:
    return SHORT <= len(text) <= LONG


def rewrites(found: list[Pair]) -> list[Item]:
    return [
        Item(
            group="rewrite",
            name=f"{p.path}:{p.name}",
            kind="edit",
            edit_format="symbol",
            prompt=chat(f"Rewrite this function of {p.path}.\n\n{p.before}"),
            sources=(p.before,),
            text=p.after,
            acceptance=0.85,
        )
        for p in found
        if p.before and p.before != p.after and fits(p.after) and len(p.before) < 2 * LONG
    ]


def block(pair: Pair) -> str:
    """The change as search/replace blocks, each with a line of context."""
    old, new = pair.before.splitlines(), pair.after.splitlines()
    parts = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(1):
        search = old[group[0][1] : group[-1][2]]
        replace = new[group[0][3] : group[-1][4]]
        parts += [pair.path, "<<<<<<< SEARCH", *search, "=======", *replace, ">>>>>>> REPLACE"]
    return "\n".join(parts) + "\n"


def replacements(found: list[Pair]) -> list[Item]:
    return [
        Item(
            group="search_replace",
            name=f"{p.path}:{p.name}",
            kind="edit",
            edit_format="search_replace",
            prompt=chat(f"{p.path}\n\n{p.before}"),
            sources=(p.before,),
            text=block(p),
            acceptance=0.85,
        )
        for p in found
        if p.before and p.before != p.after and fits(block(p)) and len(p.before) < 3 * LONG
    ]


def new_code(found: list[Pair]) -> list[Item]:
    items = []
    for p in found:
        body = ast.get_docstring(ast.parse(textwrap.dedent(p.after)).body[0])  # type: ignore[arg-type]
        if not p.before and body and fits(p.after):
            head = p.after.split('"""')[0]
            prompt = chat(f"Write the method for {p.path}: {body}\n\n{head}")
            items.append(
                Item(
                    group="new_code",
                    name=f"{p.path}:{p.name}",
                    kind="edit",
                    edit_format="symbol",
                    prompt=prompt,
                    sources=(),
                    text=p.after,
                    acceptance=0.82,
                )
            )
    return items


def prose(commit: str) -> list[Item]:
    text = git("show", f"{commit}:README.md") + git("show", f"{commit}:training/README.md")
    parts = [p for p in text.split("\n\n") if fits(p) and p[0] not in "|#`-<> "]
    return [
        Item(
            group="prose",
            name=f"paragraph {i}",
            kind="chat",
            edit_format=None,
            prompt=chat(parts[i - 1]),
            sources=(),
            text=p,
            acceptance=0.5,
        )
        for i, p in enumerate(parts)
    ]


def plans(found: list[Pair]) -> list[Item]:
    """Plans as a planner writes them, about the functions of one file."""
    by_path: dict[str, list[Pair]] = {}
    for p in found:
        by_path.setdefault(p.path, []).append(p)
    items = []
    for path, members in by_path.items():
        steps = [
            {"kind": "edit", "goal": f"Correct {p.name}", "files": [path], "symbols": [p.name]}
            for p in members[:3]
        ]
        plan = {"summary": f"Repair {path}", "steps": steps, "files_in_scope": [path]}
        text = json.dumps(plan, indent=1)
        names = "\n".join(p.after.split("\n")[0] for p in members[:8])
        item = Item(
            group="json",
            name=path,
            kind="plan",
            edit_format=None,
            prompt=chat(f"Plan the repair of {path} as JSON.\n\n{names}"),
            sources=(),
            text=text,
            acceptance=0.86,
        )
        if fits(text):
            items.append(item)
    return items


def own(found: list[Pair]) -> list[Item]:
    """Line edits: what Mini was trained to write."""
    items = []
    for p in found:
        old, new = p.before.splitlines(), p.after.splitlines()
        if not old or old == new or not fits(p.before):
            continue
        codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        changed = [i + 1 for tag, a, b, _, _ in codes if tag != "equal" for i in range(a, b)]
        if changed:
            lines = [
                {"number": n, "text": t, "suspect": n in changed[:3]} for n, t in enumerate(old, 1)
            ]
            text = prompts.render("edit_line", path=p.path, lines=lines, evidence=())
            items.append(
                Item(
                    group="line_edit",
                    name=f"{p.path}:{p.name}",
                    kind="edit",
                    edit_format="line",
                    prompt=chat(text),
                    sources=(),
                    text="",
                    acceptance=0.0,
                )
            )
    return items


def main() -> None:
    commit = git("rev-parse", sys.argv[1] if len(sys.argv) > 1 else "HEAD").strip()
    found = list(pairs(commit))
    groups = (
        rewrites(found),
        replacements(found),
        new_code(found),
        prose(commit),
        plans(found),
        own(found),
    )
    chosen = [asdict(item) for group in groups for item in spread(group)]
    print(json.dumps({"commit": commit, "items": chosen}, indent=1))


if __name__ == "__main__":
    if not Path("agent").is_dir():
        sys.exit("run it in the root of a checkout")
    main()
