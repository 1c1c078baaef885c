"""Recipes and rows: what is committed is sound, and what is broken is refused by name."""

import fcntl
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.errors import ConfigError
from agent.paths import cache_dir
from evals.datasets import load_instances, load_recipes
from evals.datasets.build import PYTHON, Record, Rejected, build, locked
from evals.datasets.recipe import DEV
from evals.datasets.sources import SourceUnavailable, cache_root, environment, sdist
from tests.evals import tiny
from tools.sandbox import pick

RESERVED = frozenset(
    "packaging attrs click jinja2 requests more-itertools sqlparse tomlkit tabulate humanize "
    "boltons toolz marshmallow parso flask django networkx python-dateutil pluggy rich".split()
)


def record(*ids: str, green: int = 2) -> Record:
    return Record(python=PYTHON, fail_to_pass=ids, pass_to_pass=green)


def test_the_development_set_is_as_it_is_described():
    recipes = load_recipes()
    packages = Counter(r.package.name for r in recipes)
    strata = Counter(r.stratum for r in recipes)
    assert len(recipes) >= 100
    assert len(packages) >= 8
    assert not RESERVED & set(packages)
    assert strata["mined"] >= 20
    assert strata["beyond"] * 2 >= strata["reach"] + strata["beyond"]
    hidden = [r for r in recipes if not r.tests_visible]
    assert len(hidden) * 3 >= len(recipes)
    assert any(r.tests_visible for r in recipes)
    assert not any(r.tests_visible for r in recipes if r.stratum == "mined")
    # An issue without tests must say how the bug shows.
    assert all("```python" in r.problem_statement for r in hidden)
    # Snippets, never files; of real fixes nothing at all.
    assert max(len(e.old) + len(e.new) for r in recipes for e in r.edits) < 600
    assert not any(r.edits for r in recipes if r.stratum == "mined")
    assert all(r.origin and r.before for r in recipes if r.stratum == "mined")
    # Nobody can read the kind of bug from an id.
    made_by_rule = [r for r in recipes if r.id[0] == "s" and r.id[1].isdigit()]
    assert not any(word in r.id for r in made_by_rule for word in ("guard", "limit", "swap"))
    recorded = locked(DEV)
    assert set(recorded) == {r.instance_id for r in recipes}
    assert all(record.fail_to_pass for record in recorded.values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("sha256 = ", "sha512 = "), "'sha256' is missing"),
        (('"reach"', '"easy"'), "stratum must be one of"),
        (("tests_visible = true", "tests_visible = 1"), "true or false"),
        (('path = "till.py"', 'path = "../till.py"'), "leads out"),
        (('new = "b"', 'new = "a"'), "the same"),
        (("[[bug.edit]]", "[[bug.edits]]"), "no [[bug.edit]]"),
        (('id = "x"', 'id = "X/Y"'), "small letters"),
        (("[package]", "[package"), "bad.toml"),
    ],
)
def test_a_broken_recipe_is_refused(tmp_path, change, said):
    good = (
        f'[package]\nname = "till"\nversion = "1"\nsha256 = "{"0" * 64}"\ntest_cmd = "pytest"\n'
        '[[bug]]\nid = "x"\nstratum = "reach"\ntests_visible = true\nproblem_statement = "p"\n'
        '[[bug.edit]]\npath = "till.py"\nold = "a"\nnew = "b"\n'
    )
    (tmp_path / "bad.toml").write_text(good)
    assert load_recipes(tmp_path)[0].instance_id == "till__1-x"
    assert change[0] in good
    (tmp_path / "bad.toml").write_text(good.replace(*change))
    with pytest.raises(ConfigError) as error:
        load_recipes(tmp_path)
    assert said in str(error.value)
    assert "bad.toml" in str(error.value)


ROW = {
    "instance_id": "a__b-1",
    "repo": "a/b",
    "base_commit": "c0ffee",
    "patch": "",
    "test_patch": "",
    "problem_statement": "it fails",
    "FAIL_TO_PASS": '["t.py::a", "t.py::b c"]',
    "PASS_TO_PASS": ["t.py::d"],
    "a_field_of_the_future": 1,
    "source_dir": "trees/b",
}


def test_rows_of_both_kinds_of_file(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n\n")
    (tmp_path / "rows.json").write_text(json.dumps([ROW]))
    (found,) = load_instances(tmp_path / "rows.jsonl")
    assert found.FAIL_TO_PASS == ("t.py::a", "t.py::b c")
    assert found.PASS_TO_PASS == ("t.py::d",)
    assert found.source_dir == str(tmp_path / "trees/b")
    assert load_instances(tmp_path / "rows.json") == (found,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patch": None}, "'patch' is missing"),
        ({"FAIL_TO_PASS": "[broken"}, "no JSON list"),
        ({"FAIL_TO_PASS": []}, "is empty"),
        ({"PASS_TO_PASS": [1]}, "list of strings"),
        ({"problem_statement": 7}, "must be a string"),
        ({"tests_visible": "yes"}, "true or false"),
        ({"instance_id": "../../etc"}, "cannot name a directory"),
        ({"instance_id": "a\nb"}, "cannot name a directory"),
        ({"instance_id": "i" * 300}, "cannot name a directory"),
        ({"instance_id": "\ud800"}, "no Unicode text"),
        ({"repo": ".."}, "cannot name a directory"),
        ({"repo": ""}, "cannot name a directory"),
        ({"source_dir": ["trees/a"]}, "must be a string"),
        ({"source_bundle": 1}, "must be a string"),
        ({"source_dir": "trees\0a"}, "has a NUL"),
        ({"problem_statement": "\udfff"}, "no Unicode text"),
        ({"requires": ["--index-url=http://127.0.0.1"]}, "names nothing"),
        ({"FAIL_TO_PASS": ["-p no:terminal"]}, "names nothing"),
        ({"PASS_TO_PASS": [""]}, "names nothing"),
    ],
)
def test_a_broken_row_is_refused_by_line(tmp_path, change, said):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, **change}) + "\n")
    with pytest.raises(ConfigError) as error:
        load_instances(path)
    assert said in str(error.value)
    assert "rows.jsonl:2" in str(error.value)


@pytest.mark.parametrize("text", ["{", "[1]", "", "null"])
def test_a_file_that_holds_no_rows_is_refused(tmp_path, text):
    for name in ("rows.jsonl", "rows.json"):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError):
            load_instances(tmp_path / name)


def test_an_id_that_occurs_twice_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text((json.dumps(ROW) + "\n") * 2)
    with pytest.raises(ConfigError, match="occurs twice"):
        load_instances(path)


def test_a_recipe_becomes_an_instance_by_running(tmp_path):
    sandbox = pick("auto")
    recipe = tiny.recipe()
    found = build(recipe, sandbox)
    assert found.FAIL_TO_PASS == tiny.RED
    assert found.PASS_TO_PASS == tiny.GREEN
    assert (Path(found.source_dir) / "till.py").read_text() == tiny.BAD
    assert tiny.OLD in found.patch
    assert build(recipe, sandbox) == found
    with pytest.raises(Rejected, match="when it was recorded"):
        build(recipe, sandbox, {recipe.instance_id: record("test_till.py::test_sum")})


def test_hidden_tests_are_taken_out_and_the_rest_is_green(tmp_path):
    found = build(tiny.recipe(visible=False), pick("auto"))
    assert found.hidden_tests == tiny.RED
    assert "+class TestDiscount" in found.test_patch


def test_a_bug_that_no_test_notices_is_rejected():
    quiet = tiny.recipe(old="Sums of money", new="Sums of cash")
    with pytest.raises(Rejected, match="no test notices"):
        build(quiet, pick("auto"))


def test_old_lines_must_be_there_once():
    with pytest.raises(ConfigError, match="0 times"):
        build(tiny.recipe(old="not there"), pick("auto"))


def test_an_archive_that_was_tampered_with_is_not_used(monkeypatch):
    recipe = tiny.recipe()
    path = sdist(recipe.package)
    path.write_bytes(b"something else")
    # Nobody listens there, so it cannot be fetched again either.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(SourceUnavailable, match=r"till==1\.0 cannot be fetched") as error:
        sdist(recipe.package)
    assert "index must be reachable" in (error.value.remedy or "")
    assert not path.exists()


def test_validate_proves_and_records(tmp_path, capsys):
    recipe = tiny.recipe()
    edit = recipe.edits[0]
    (tmp_path / "till.toml").write_text(
        f'[package]\nname = "till"\nversion = "1.0"\nsha256 = "{recipe.package.sha256}"\n'
        'test_cmd = "python -m pytest"\n[[bug]]\nid = "discount"\nstratum = "reach"\n'
        "tests_visible = true\nproblem_statement = 'p'\n[[bug.edit]]\npath = 'till.py'\n"
        f"old = {json.dumps(edit.old)}\nnew = {json.dumps(edit.new)}\n"
    )
    command = ["eval", "validate", "--dataset", str(tmp_path)]
    assert main([*command, "--write"]) == 0
    assert json.loads((tmp_path / "lock.json").read_text()) == {
        "till__1.0-discount": {"python": PYTHON, "FAIL_TO_PASS": list(tiny.RED), "PASS_TO_PASS": 2}
    }
    assert main(command) == 0
    (tmp_path / "lock.json").write_text(
        json.dumps({"till__1.0-discount": {"python": "", "FAIL_TO_PASS": ["x"], "PASS_TO_PASS": 1}})
    )
    assert main(command) == 1
    assert "when it was recorded" in capsys.readouterr().out


def test_an_issue_whose_example_shows_nothing_is_rejected():
    told = tiny.ISSUE.replace("== 7", "== 13")
    with pytest.raises(Rejected, match="with the bug its example passed"):
        build(replace(tiny.recipe(visible=False), problem_statement=told), pick("auto"))


MAKE = """
import sys
from evals.datasets.sources import environment
home = environment(())
assert (home / "bin" / "python").exists() and (home / "ready").exists()
sys.stdout.write(str(home))
"""


def test_a_worker_waits_for_the_environment_that_another_makes(tmp_path):
    """Each used to remove what the other was making."""
    home = cache_root() / "environments" / environment(()).name
    place = tmp_path / "pointsman" / home.relative_to(cache_dir())
    place.parent.mkdir(parents=True)
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-c", MAKE], env=env, stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        assert not place.exists()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert said == str(place)
