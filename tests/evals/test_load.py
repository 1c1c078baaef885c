"""Every form of a data set is loaded by its name; what is broken is named, never dropped."""

import json
from pathlib import Path

import pytest

from agent.errors import ConfigError
from evals.datasets.hub import chosen
from evals.datasets.load import load
from evals.datasets.rows import read_rows
from evals.datasets.sources import SourceUnavailable
from evals.datasets.undo import blocks, undone
from tests.evals import tiny
from tests.models.hub import serve
from tools.sandbox import pick

ROW = {
    "repo": "a/b", "instance_id": "a__b-1", "base_commit": "c" * 40, "patch": "diff",
    "test_patch": "",
    "problem_statement": "It fails.", "FAIL_TO_PASS": '["t.py::x"]', "PASS_TO_PASS": [],
}  # fmt: skip


def loaded(name: Path | str, *only: str):
    return load(str(name), sandbox=pick("auto"), only=only)


def test_bad_rows_are_rejected_by_line_and_good_ones_kept(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [
        json.dumps(ROW), "{broken", json.dumps({**ROW, "instance_id": "a__b-2", "patch": None}),
        json.dumps(ROW), "[1]", json.dumps({**ROW, "instance_id": "a__b-3"}),
    ]  # fmt: skip
    path.write_text("\n".join(lines))
    found = loaded(path)
    assert [i.instance_id for i in found.instances] == ["a__b-1", "a__b-3"]
    said = dict(found.rejected)
    assert "broken JSON" in said[f"{path}:2"]
    assert "'patch' is missing" in said[f"{path}:3"]
    assert "occurs twice" in said[f"{path}:4"]
    assert "must be an object" in said[f"{path}:5"]
    assert [i.instance_id for i in loaded(path, "*-3").instances] == ["a__b-3"]


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    rows = [ROW, {**ROW, "instance_id": "a__b-2", "problem_statement": None}]
    plain = [{**r, "PASS_TO_PASS": "[]"} for r in rows]
    parquet.write_table(pyarrow.Table.from_pylist(plain), path)
    found = read_rows(path)
    assert [i.instance_id for i in found.instances] == ["a__b-1"]
    assert found.instances[0].FAIL_TO_PASS == ("t.py::x",)
    assert "row 2" in found.rejected[0][1]
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rows(path)


def task(root: Path, name: str, **fields: object) -> Path:
    directory = root / name
    directory.mkdir(parents=True)
    (directory / "task.yaml").write_text(
        "".join(f"{k}: {json.dumps(v)}\n" for k, v in fields.items())
    )
    (directory / "problem_statement.md").write_text("It fails.\n")
    (directory / "tests.json").write_text(
        json.dumps({"FAIL_TO_PASS": ["t.py::x"], "PASS_TO_PASS": []})
    )
    return directory


def test_a_swebench_5_task_repository(tmp_path):
    one = task(
        tmp_path / "tasks", "a__b-1", instance_id="a__b-1", repo="a/b", base_commit="c" * 40,
        version="1.0", image="hub/a__b-1", log_parser="parse_log_pytest", eval_type="pass_and_fail",
        split="test", datasets=["x"],
    )  # fmt: skip
    (one / "gold.patch").write_bytes(b"diff --git a/x b/x\r\n")
    (one / "test.patch").write_text("diff --git a/t.py b/t.py\n")
    (one / "eval.sh").write_text("#!/bin/bash\n")
    two = task(tmp_path / "tasks", "a__b-2", instance_id="a__b-2")
    (two / "task.yaml").write_text("repo: [unclosed\n")
    found = loaded(tmp_path)
    (instance,) = found.instances
    assert instance.image == "hub/a__b-1"
    assert instance.log_parser == "parse_log_pytest"
    assert instance.eval_script == "#!/bin/bash\n"
    assert instance.patch.endswith("\r\n")
    assert not instance.tests_visible
    assert "broken YAML" in found.rejected[0][1]
    assert "task.yaml:" in found.rejected[0][1]


def test_local_tasks_need_little(tmp_path):
    directory = task(tmp_path, "till-discount", test_cmd="python -m pytest")
    tiny.tree(directory / "tree")
    (directory / "tests.json").write_text(
        json.dumps({"FAIL_TO_PASS": list(tiny.RED), "PASS_TO_PASS": list(tiny.GREEN)})
    )
    task(tmp_path, "no-source", test_cmd="python -m pytest")
    found = loaded(tmp_path)
    (instance,) = found.instances
    assert instance.instance_id == "till-discount"
    assert instance.source_dir == str(directory / "tree")
    assert instance.repo == "till-discount"  # the agent's directory is named by it
    assert instance.FAIL_TO_PASS == tiny.RED
    assert "is missing" in found.rejected[0][1]
    assert "no-source" in found.rejected[0][0]


def test_rows_from_a_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    rows = (json.dumps(ROW) + "\n").encode()
    with serve() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.files["some/bench"] = {"data/test.jsonl": rows, "data/dev.jsonl": rows * 2}
        assert [i.instance_id for i in loaded("some/bench").instances] == ["a__b-1"]
        assert "occurs twice" in loaded("some/bench:dev").rejected[0][1]
        with pytest.raises(ConfigError, match="no split 'train'") as error:
            loaded("some/bench:train")
        assert "dev, test" in (error.value.remedy or "")
        with pytest.raises(SourceUnavailable, match="some/other cannot be fetched"):
            loaded("some/other")


def test_the_files_of_a_split():
    files = ["README.md", "data/test-00000-of-00002.parquet", "data/test-00001-of-00002.parquet"]
    assert chosen(files, "test") == tuple(files[1:])
    assert chosen([*files, "test.jsonl"], "test") == ("test.jsonl",)
    assert chosen(["dev/part-1.jsonl", "dev/part-2.jsonl"], "dev") == (
        "dev/part-1.jsonl", "dev/part-2.jsonl",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["nothing-there", "./a/b", "a/b/c", "rows.txt"])
def test_a_name_that_is_nothing_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.txt").write_text("x")
    with pytest.raises(ConfigError):
        loaded(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no recipes"):
        loaded(tmp_path / "empty")


def test_changed_places_are_counted_and_put_back():
    older = "a\nb\nc\nd\ne\n"
    newer = "a\nB\nc\ne\nf\n"
    assert [(b.number, b.old, b.new) for b in blocks(older, newer)] == [
        (1, ("b\n",), ("B\n",)), (2, ("d\n",), ()), (3, (), ("f\n",)),
    ]  # fmt: skip
    assert undone(older, newer, [2]) == "a\nB\nc\nd\ne\nf\n"
    assert undone(older, newer, [1, 3]) == "a\nb\nc\ne\n"
    assert undone(older, newer, []) == older
    with pytest.raises(ValueError, match="there are 3"):
        undone(older, newer, [4])


def test_a_release_undone_in_one_place_has_no_word_of_the_fix(tmp_path):
    from evals.datasets.build import build
    from evals.datasets.recipe import load_recipes

    old = {"till.py": tiny.BAD + "\n\nX = 1\n", "test_till.py": tiny.TESTS, "CHANGES.md": "1.0\n"}
    told = {"CHANGES.md": "1.1: discounts\n1.0\n", "NEWS.txt": "discounts\n"}
    before = tiny.packed("till", "1.0", old)
    after = tiny.packed("till", "1.1", {**old, **told, "till.py": tiny.GOOD + "\n\nX = 2\n"})
    path = tmp_path / "mined-till.toml"
    path.write_text(
        '[package]\nname = "till"\ntest_cmd = "python -m pytest"\n[[fix]]\nid = "discount"\n'
        f'version = "1.1"\nsha256 = "{after.sha256}"\norigin = "till 1.1: discounts"\n'
        f'before = {{version = "1.0", sha256 = "{before.sha256}"}}\ntests_visible = false\n'
        f'problem_statement = """{tiny.ISSUE}"""\n'
        '[[fix.undo]]\npath = "till.py"\nplaces = [1]\n'
    )
    (recipe,) = load_recipes(path)
    instance = build(recipe, pick("auto"))
    tree = Path(instance.source_dir)
    assert instance.FAIL_TO_PASS == tiny.RED
    assert (tree / "till.py").read_text() == tiny.BAD + "\n\nX = 2\n"
    assert (tree / "CHANGES.md").read_text() == "1.0\n"
    assert not (tree / "NEWS.txt").exists()
    assert "X = 1" not in instance.patch
