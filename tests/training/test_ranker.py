"""The ranker's training: tasks hold what repairs them, and a small fit learns what it is shown."""

import ast
import inspect
import random
import textwrap
from pathlib import Path

import numpy as np
import pytest

import tools.enumerate as enumerate_
from agent.ranker import load
from agent.ranker.features import NAMES
from tools.enumerate import apply, normal_form
from training import ranker_fit
from training.ranker import held_out, reserved_names
from training.ranker_fit import MEMBERS, Lists, calibrate, fit, ranks
from training.ranker_tasks import made_task
from training.sources import RESERVED, SourceFile, functions

ROOT = Path(__file__).parents[2]


def test_right_candidates_give_back_the_original() -> None:
    text = inspect.getsource(textwrap)
    file = SourceFile(package="python", path="textwrap.py", text=text)
    rng = random.Random(3)
    found = list(functions(file))
    tasks = []
    for _ in range(30):
        task = made_task(file, rng.choice(found), (), load().general, rng)
        if task is not None:
            tasks.append(task)
        if len(tasks) == 3:
            break
    assert tasks
    for task in tasks:
        assert 0 < len(task.right) < len(task.candidates)
        source = next(iter(task.context.files.values()))
        broken = ("\n".join(source.lines) + "\n").encode()
        for index in task.right:
            repaired = apply(broken, task.candidates[index])
            assert normal_form(repaired) == normal_form(text.encode())


def lists(rng: np.random.Generator, count: int) -> Lists:
    """Tasks where two of the features say what is right."""
    tasks = []
    for _ in range(count):
        x = rng.normal(0, 1, (20, len(NAMES))).astype(np.float16)
        tasks.append((x, (int(np.argmax(x[:, 0] - x[:, 1])),)))
    return Lists.of(tasks)


def test_the_fit_learns_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    train, judged = lists(rng, 120), lists(rng, 60)
    one, two = fit(train, seed=1), fit(train, seed=1)
    assert all(
        np.array_equal(getattr(one, n), getattr(two, n)) for n in ("inner", "outer", "direct")
    )
    assert (ranks(one.scores(judged.x), judged) == 1).mean() > 0.5
    assert 0.5 < calibrate(one, judged) < 3.1


def test_the_fit_is_the_mean_of_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    tasks = [(rng.normal(0, 1, (9, len(NAMES))).astype(np.float16), (n,)) for n in range(6)]
    lists = Lists.of(tasks)
    together = fit(lists, seed=3).scores(lists.x)
    monkeypatch.setattr(ranker_fit, "MEMBERS", 1)
    alone = [fit(lists, seed=3 + n).scores(lists.x) for n in range(MEMBERS)]
    assert np.allclose(together, np.mean(alone, 0), atol=1e-4)
    assert not np.allclose(alone[0], alone[1], atol=1e-2)


def test_evaluation_is_left_out() -> None:
    assert {"tinydb", "parse", "voluptuous"} <= reserved_names()
    assert "requests" in RESERVED
    some = [SourceFile(package=f"p{i}", path="a.py", text="") for i in range(200)]
    assert 20 < sum(map(held_out, some)) < 60


def test_the_enumerator_and_the_mutations_do_not_know_each_other() -> None:
    own = [*(ROOT / "training").glob("operator*.py"), ROOT / "training" / "mutate.py"]
    theirs = list(Path(enumerate_.__file__).parent.glob("*.py"))
    for paths, other in ((own, "tools.enumerate"), (theirs, "training")):
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text())):
                named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not any(n.startswith(other) for n in named), path
