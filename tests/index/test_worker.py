"""Parsing in worker processes: the same records, even when workers die."""

from pathlib import Path

import psutil

from tools.index import open_index
from tools.index.build import assembled, build
from tools.index.extract import extract
from tools.index.files import blob_id
from tools.index.worker import Parsed, Workers


def sources(root: Path, number: int) -> dict[str, bytes]:
    root.mkdir()
    made = {}
    for i in range(number):
        text = f"class C{i}:\n    def m{i}(self):\n        return other{i % 7}()\n" * (1 + i % 5)
        made[f"m{i}.py"] = text.encode()
        (root / f"m{i}.py").write_bytes(text.encode())
    return made


def test_workers_give_the_records_of_the_process_itself(tmp_path: Path) -> None:
    made = sources(tmp_path / "repo", 40)
    tasks = [(p, "python", len(s)) for p, s in made.items()]
    found: list[Parsed] = []
    with Workers() as workers:
        gone = ("gone.py", "python", 5)
        drafts = workers.parse(tmp_path / "repo", [*tasks, gone], found.append)
    wanted = {(p, blob_id(s), extract([(s, "python")])[0]) for p, s in made.items()}
    assert set(found) == wanted | {("gone.py", "", b"")}
    rows = sorted((p, b, r) for p, b, r in wanted)
    paths, blobs = [p for p, _, _ in rows], [b for _, b, _ in rows]
    ours, theirs = build(rows), assembled(paths, blobs, drafts)
    assert [theirs.symbol(d) for d in range(theirs.docs)] == [
        ours.symbol(d) for d in range(ours.docs)
    ]
    assert theirs.idents.items.tolist() == ours.idents.items.tolist()
    assert theirs.idents.hashes.tolist() == ours.idents.hashes.tolist()


def test_a_worker_that_dies_costs_one_file_its_grammar_and_nothing_else(tmp_path: Path) -> None:
    made = sources(tmp_path / "repo", 400)
    killed: list[int] = []
    found: list[Parsed] = []

    def kill_once(parsed: Parsed) -> None:
        found.append(parsed)
        if not killed:
            killed.append(1)
            for child in psutil.Process().children(recursive=True):
                child.kill()

    tasks = [(p, "python", len(s)) for p, s in made.items()]
    with Workers() as workers:
        assert not workers.parse(tmp_path / "repo", tasks, kill_once)
    assert {(p, b) for p, b, _ in found} == {(p, blob_id(s)) for p, s in made.items()}


def test_a_large_repository_is_indexed_with_progress(tmp_path: Path) -> None:
    sources(tmp_path / "repo", 320)
    steps: list[tuple[int, int]] = []
    index = open_index(tmp_path / "repo", tmp_path / "cache")
    stats = index.update(lambda done, total: steps.append((done, total)))
    assert (stats.files, stats.parsed) == (320, 320)
    assert steps[-1] == (320, 320)
    assert [d for d, _ in steps] == sorted(d for d, _ in steps)
    assert index.find("C319.m319")[0].path == "m319.py"
