"""The step a model takes when the issue alone gives no test: the prompt, and its answer."""

import ast
import re
from collections.abc import Sequence

from agent.reproduce.build import MAX_SOURCE
from agent.reproduce.types import Draft, Reason
from prompts import render
from tools.errors import UnparseableEdit
from tools.types import Symbol

__all__ = ["parse_model_test", "render_request"]

MAX_PROMPT_ISSUE = 8000
_FENCE = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n(.*?)```", re.S | re.I)
_SKIPS = ("skip", "skipif", "xfail", "importorskip", "exit")


def render_request(issue: str, symbols: Sequence[Symbol], *, rejected: Sequence[str] = ()) -> str:
    """The prompt. `rejected` says why earlier answers did not show the problem."""
    return render(
        "reproduce",
        issue=issue[:MAX_PROMPT_ISSUE].strip(),
        symbols=[
            {"module": _module(s.path), "name": s.name, "signature": s.signature} for s in symbols
        ],
        rejected=list(rejected),
    )


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").removeprefix("src/").replace("/", ".")


def parse_model_test(answer: str) -> Draft:
    """The test file of an answer. Raises UnparseableEdit with words for the model."""
    found = [m[1] for m in _FENCE.finditer(answer) if "def test" in m[1]]
    if not found and "def test" in answer and "```" not in answer:
        found = [answer]
    if not found:
        raise UnparseableEdit("Give one pytest file in a ```python block with a `def test_…`.")
    source = found[-1].strip() + "\n"
    if len(source) > MAX_SOURCE:
        raise UnparseableEdit(f"The test is too long: at most {MAX_SOURCE} characters.")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UnparseableEdit(f"The test is not valid Python: {error}.") from None
    tests = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name.startswith("test")
    ]
    if not tests:
        raise UnparseableEdit("There is no function whose name begins with `test`.")
    for test in tests:
        _check(test)
    return Draft(
        source=source,
        tests=tuple(t.name for t in tests),
        reason=Reason(kind="any"),
        confidence=0.5,
        origin="model",
    )


def _check(test: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """A test that cannot fail, cannot pass or does not run proves nothing."""
    inner = list(ast.walk(test))
    for node in inner:
        if isinstance(node, ast.Attribute) and node.attr in _SKIPS and _is_pytest(node):
            raise UnparseableEdit(f"{test.name} must run: it may not use `{ast.unparse(node)}`.")
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant):
            raise UnparseableEdit(f"`{ast.unparse(node)}` in {test.name} does not test anything.")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.fail":
            raise UnparseableEdit(f"{test.name} must compare values, not call `pytest.fail`.")
    if not any(isinstance(n, ast.Assert | ast.Call) for n in inner):
        raise UnparseableEdit(f"{test.name} calls nothing and asserts nothing.")


def _is_pytest(node: ast.Attribute) -> bool:
    return ast.unparse(node).startswith("pytest.")
