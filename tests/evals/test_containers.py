"""Rows that come with an image: run for real where an engine is, in an image made here.

Without a registry and without SWE-bench's own images: what they share with this one is the layout.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Literal

import pytest

from evals import images
from evals.checkout import agent_repository
from evals.datasets import Instance
from evals.datasets.instance import from_row
from evals.grading import grade_patch
from evals.proof import flaw
from tests import containers
from tests.containers import Made, image
from tests.evals import tiny
from tests.evals.test_isolation import readable
from tools.errors import SandboxError
from tools.sandbox import pick
from tools.sandbox.container import ContainerSandbox
from tools.sandbox.engines import Engine, find_engine, sweep
from tools.types import CommandResult, Limits, Sandbox

__all__ = ["image"]


@pytest.fixture
def box(image: Made) -> ContainerSandbox:
    return ContainerSandbox(engine=image[0], image=image[1], workdir=images.WORKDIR)


@pytest.fixture
def instance(image: Made) -> Instance:
    return from_row(containers.row(image[1]), where="test")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "copy" / ".git").mkdir(parents=True)
    (tmp_path / "copy" / ".git" / "config").write_text("[core]\n")
    return tmp_path / "copy"


def shell(box: Sandbox, script: str, cwd: Path, **limits: float) -> CommandResult:
    given = Limits(**{"wall_s": 60.0, **limits})  # type: ignore[arg-type]
    return box.run(("bash", "-c", script), cwd=cwd, env={}, limits=given, writable=(cwd,))


def names(engine: Engine) -> list[str]:
    listed = engine.call("ps", "--all", "--format", "{{.Names}}", "--filter", "label=pointsman")
    return listed.decode().split()


def test_of_the_host_there_is_the_copy_alone(
    box: ContainerSandbox, copy: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("canary")
    (copy / "given").write_text("here")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tries = (
            f"cat {tmp_path}/secret {Path.home()}/.bashrc; cat given /testbed/given; "
            f"echo x > made; echo x > /made; echo x > .git/config; echo x > /testbed/.git/hooks; "
            f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached; "
            "while read name value; do case $name in Uid:|CapEff:|NoNewPrivs:) echo $name $value;; "
            "esac; done < /proc/self/status"
        )
        said = shell(box, tries, copy)
        words = said.stdout.decode()
        assert "canary" in shell(pick("direct"), tries.partition(";")[0], copy).stdout.decode()
    assert "canary" not in words
    assert words.startswith("herehere")
    assert "reached" not in words
    assert "Uid: 0" not in words
    assert "CapEff: 0000000000000000" in words
    assert "NoNewPrivs: 1" in words
    assert (copy / "made").read_text() == "x\n"
    assert (copy / ".git" / "config").read_text() == "[core]\n"
    assert [p.name for p in (copy / ".git").iterdir()] == ["config"]
    assert b"Read-only file system" in said.stderr


def test_what_the_image_has_in_its_place_is_covered(
    box: ContainerSandbox, copy: Path, image: Made
) -> None:
    """Its git holds the fix. The control runs the image with nothing over it."""
    look = "ls -a /testbed /testbed/.git 2>&1"
    assert b"HEAD" not in shell(box, look, copy).stdout
    with pytest.raises(SandboxError, match="in no directory that was given"):
        box.run(("bash", "-c", look), cwd=Path("/"), env={}, limits=Limits())
    bare = ContainerSandbox(engine=image[0], image=image[1], workdir=Path("/elsewhere"))
    assert b"HEAD" in shell(bare, look, copy).stdout


def test_limits_hold_and_nothing_is_left(box: ContainerSandbox, copy: Path, image: Made) -> None:
    started = time.monotonic()
    slow = shell(box, "sleep 300", copy, wall_s=3)
    assert slow.stopped == "timeout"
    assert time.monotonic() - started < 30
    greedy = shell(box, "x=a; while :; do x=$x$x; done", copy, memory_mb=64)
    assert (greedy.returncode, greedy.stopped) == (137, "memory")
    assert shell(box, "exit 125", copy).returncode == 125
    assert names(image[0]) == []


def test_a_killed_process_leaves_a_container_that_the_next_one_removes(
    image: Made, copy: Path
) -> None:
    engine, name = image
    code = (
        "import sys; from pathlib import Path; from tools.sandbox.engines import find_engine; "
        "from tools.sandbox.container import ContainerSandbox; from tools.types import Limits; "
        "box = ContainerSandbox(engine=find_engine('auto'), image=sys.argv[1],"
        " workdir=Path('/testbed')); cwd = Path(sys.argv[2]); "
        "box.run(('sleep', '300'), cwd=cwd, env={}, limits=Limits(), writable=(cwd,))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, name, str(copy)])
    deadline = time.monotonic() + 60
    while not names(engine) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sweep(engine) == ()  # its owner lives
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = names(engine)
    assert len(left) == 1
    assert sweep(engine) == tuple(left)
    assert names(engine) == []


def test_the_agent_gets_one_commit_without_the_fix_and_its_tests(
    instance: Instance, tmp_path: Path
) -> None:
    agent_repository(instance, tmp_path / "agent")
    seen = readable(tmp_path / "agent")
    assert containers.SECRET not in seen
    assert "test_discount" not in seen
    assert "sum(prices) + discount" in seen
    assert not (tmp_path / "agent" / "out.txt").is_symlink()


def test_tests_run_by_the_python_of_the_image_over_the_copy(
    instance: Instance, tmp_path: Path
) -> None:
    """Paths are those of the copy, also where the image's own `.pth` leads to its tree."""
    from tools.testrun import TestRunner, detect

    agent_repository(instance, tmp_path / "agent")
    root = tmp_path / "agent"
    runner = TestRunner(
        sandbox=images.container_for(instance) or pick("none"),
        root=root,
        command=detect(root, instance.test_cmd),
        interpreter=images.environment_of(instance) / "bin" / "python",
        original_root=None,
    )
    (root / "lib" / "vat.py").write_text(containers.VAT.replace("RATE = 2", "RATE = 3"))
    run, coverage = runner.coverage()
    assert {c.id: c.outcome for c in run.cases} == {
        **dict.fromkeys(tiny.GREEN, "passed"),
        "test_vat.py::test_vat": "failed",
    }, run.output
    assert set(coverage.lines["test_vat.py::test_vat"]) == {"test_vat.py", "lib/vat.py"}
    assert set(coverage.lines["test_till.py::test_sum"]) == {"test_till.py", "till.py"}


def test_rows_are_proved_and_graded_in_fresh_containers(instance: Instance, tmp_path: Path) -> None:
    nowhere = pick("none")
    assert flaw(instance, nowhere) == ""
    solved = grade_patch(instance, tiny.GOLD, tmp_path / "gold", nowhere)
    assert solved.status == "resolved", solved
    wrong = tiny.GOLD.replace("- discount", "- 2 * discount")
    assert grade_patch(instance, wrong, tmp_path / "wrong", nowhere).status == "unresolved"
    cheat = tiny.GOLD.replace("till.py", "conftest.py").replace(tiny.OLD, "import os; os._exit(0)")
    assert grade_patch(instance, cheat, tmp_path / "cheat", nowhere).status == "unresolved"


def test_a_command_runs_and_grades_such_rows(image: Made, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "run"
    rows.write_text(json.dumps(containers.row(image[1])) + "\n")
    command = ["run", "--dataset", str(rows), "--arm", "zero", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "evals", *command, "--max-time", "90", "--zero-token-time", "15"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "zero: 1 of 1 resolved" in done.stdout, done.stderr
    result = json.loads((out / "units" / "till__till-1.zero.0" / "result.json").read_text())
    assert result["sandbox"] == find_engine("auto").name
    assert "sum(prices) - discount" in result["patch"]
    assert names(image[0]) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "swebench/sweb.eval.x86_64.a_1776_b-c-12:latest"),
        ({"image": "own/image:2"}, "own/image:2"),
        ({"source_dir": "tree"}, ""),
        ({"source_bundle": "b.bundle", "image": "own/image:2"}, ""),
        ({"instance_id": "mine", "repo": "mine"}, ""),
    ],
)
def test_the_image_of_a_row(given: dict[str, str], expected: str) -> None:
    row = {**containers.row(""), "instance_id": "A__b-c-12", "repo": "A/b-c"} | given
    assert images.image_of(from_row(row, where="test")) == expected


def test_without_an_engine_a_row_is_rejected_with_what_to_do(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(containers.row("an/image:1")) + "\n")
    command = ["validate", "--dataset", str(rows), "--containers"]

    def said(choice: str, path: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "evals", *command, choice],
            capture_output=True, text=True, check=False, env={**os.environ, "PATH": path},
        )  # fmt: skip
        assert done.returncode == 1
        return done.stdout

    off = said("off", os.environ["PATH"])
    assert "rejected  till__till-1" in off
    assert "an/image:1: containers are switched off; next: leave out --containers off" in off
    none = said("auto", str(tmp_path))
    assert "docker is not installed; podman is not installed" in none
    assert "next: start Docker, or: apt install podman" in none


@pytest.mark.usefixtures("image")
def test_an_image_that_is_no_use_is_a_reason_to_reject_its_row(tmp_path: Path) -> None:
    def empty(tar: tarfile.TarFile, scratch: Path) -> None:
        containers.bare(tar, scratch)
        (scratch / "testbed").mkdir()
        tar.add(scratch / "testbed", "testbed")

    for fill, why in ((containers.bare, "it has no /testbed"), (empty, "no Python in it")):
        with containers.made(tmp_path, fill) as (_, name):
            row = from_row(containers.row(name), where="test")
            assert why in flaw(row, pick("none"))


@pytest.mark.parametrize(
    ("name", "full"),
    [("docker", "swebench/x:latest"), ("podman", "docker://swebench/x:latest")],
)
def test_an_image_that_is_not_there_is_pulled(
    name: Literal["docker", "podman"], full: str, tmp_path: Path
) -> None:
    """Told by a program that stands in for the client: no registry can be asked here."""
    program = tmp_path / name
    program.write_text(
        f'#!/bin/sh\ncd {tmp_path}\necho "$*" >> asked\n'
        "case $1 in pull) touch there; echo known-by;;\n"
        "image) test -e there && echo sha256:abc;; esac\n"
    )
    program.chmod(0o755)
    engine = Engine(name=name, program=program)
    assert images._present(engine, "swebench/x:latest") == "abc"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[1] == f"pull --quiet {full}"
    assert asked[2].endswith("{{.Id}} known-by")
    assert images._present(engine, "swebench/x:latest") == "abc"
    assert len((tmp_path / "asked").read_text().splitlines()) == 4
