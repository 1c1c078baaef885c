"""What is asked of an engine, told by a program that stands in for `docker`. For containers that
really run see tests/evals/test_containers.py."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tools.errors import SandboxError
from tools.sandbox import engines
from tools.sandbox.container import ContainerSandbox
from tools.sandbox.engines import Engine, find_engine, new_name, sweep
from tools.types import CommandResult, Limits

STAND_IN = """\
#!{python}
import json, sys, time
from pathlib import Path
here, words = Path({here!r}), sys.argv[1:]
with (here / "calls").open("a") as file:
    file.write(json.dumps(words) + "\\n")
told = json.loads((here / "told").read_text()).get(words[0], ["", 0])
if told[0] == "wait":
    time.sleep(60)
sys.stderr.write(told[0]) if told[1] else sys.stdout.write(told[0])
sys.exit(told[1])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program called docker or podman, what it answers and what it was asked."""

    place: Path
    engine: Engine

    def answers(self, **told: tuple[str, int]) -> None:
        (self.place / "told").write_text(json.dumps(told))

    def asked(self, word: str) -> list[list[str]]:
        lines = (self.place / "calls").read_text().splitlines()
        return [words for line in lines if (words := json.loads(line))[0] == word]


@pytest.fixture
def client(tmp_path: Path) -> Callable[[str], Client]:
    def make(name: str) -> Client:
        place = tmp_path / "bin"
        place.mkdir(exist_ok=True)
        program = place / name
        program.write_text(STAND_IN.format(python=sys.executable, here=str(place)))
        program.chmod(0o755)
        engine = Engine(name=name, program=program)  # type: ignore[arg-type]
        made = Client(place=place, engine=engine)
        made.answers()
        return made

    return make


@pytest.fixture
def asked_anew() -> object:
    engines._asked.cache_clear()
    yield
    engines._asked.cache_clear()


def ran(client: Client, copy: Path, *, lent: Path, **limits: float) -> CommandResult:
    box = ContainerSandbox(
        engine=client.engine,
        image="an/image:1",
        workdir=Path("/testbed"),
        lent=(lent,),
        environment={"PATH": "/opt/bin:/bin", "CONDA_DEFAULT_ENV": "testbed"},
    )
    given = {"PATH": f"{lent}/bin:/home/me/bin", "PYTHONHASHSEED": "0", "EDITOR": "vi"}
    return box.run(
        ("python", "-V"),
        cwd=copy,
        env=given | {"PYTHONUSERBASE": "/home/me/.local"},
        limits=Limits(**{"wall_s": 20.0, "memory_mb": 300, "processes": 40, **limits}),  # type: ignore[arg-type]
        writable=(copy,),
        readable=(lent, copy.parent),
    )


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    copy, lent = tmp_path / "copy", tmp_path / "lent"
    for directory in (copy / ".git", lent):
        directory.mkdir(parents=True)
    (copy / ".git" / "config").write_text("")
    return copy, lent


def values(words: list[str], option: str) -> list[str]:
    return [after for word, after in pairwise(words) if word == option]


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_a_command_is_confined_and_removed(
    client: Callable[[str], Client], places: tuple[Path, Path], name: str
) -> None:
    copy, lent = places
    fake = client(name)
    fake.answers(run=("Python 3.9", 0))
    assert ran(fake, copy, lent=lent).stdout == b"Python 3.9"
    (words,) = fake.asked("run")
    assert values(words, "--network") == ["none"]
    assert values(words, "--cap-drop") == ["ALL"]
    assert "no-new-privileges" in values(words, "--security-opt")
    assert "--read-only" in words
    assert "--privileged" not in words
    assert values(words, "--memory") == values(words, "--memory-swap") == ["300m"]
    assert values(words, "--pids-limit") == ["40"]
    assert float(values(words, "--cpus")[0]) <= (os.cpu_count() or 1)
    assert not values(words, "--user")[0].startswith("0:")
    mounts = values(words, "--mount")
    assert set(mounts) == {
        f"type=bind,src={copy},dst=/testbed",
        f"type=bind,src={copy}/.git,dst=/testbed/.git,readonly",
        f"type=bind,src={copy},dst={copy}",
        f"type=bind,src={copy}/.git,dst={copy}/.git,readonly",
        f"type=bind,src={lent},dst={lent},readonly",
    }
    for above in ("/testbed", str(copy)):  # what lies over another comes after it
        first = mounts.index(f"type=bind,src={copy},dst={above}")
        assert first < mounts.index(f"type=bind,src={copy}/.git,dst={above}/.git,readonly")
    inside = dict(v.split("=", 1) for v in values(words, "--env"))
    assert inside["PATH"] == f"{lent}/bin:/opt/bin:/bin"
    assert inside["CONDA_DEFAULT_ENV"] == "testbed"
    assert inside["PYTHONHASHSEED"] == "0"
    assert not {"EDITOR", "PYTHONUSERBASE"} & set(inside)
    assert words[words.index("an/image:1") + 3 :] == ["python", "-V"]
    assert fake.asked("rm") == [["rm", "--force", "--volumes", *values(words, "--name")]]


def test_time_is_up_for_the_container_too(
    client: Callable[[str], Client], places: tuple[Path, Path]
) -> None:
    fake = client("docker")
    fake.answers(run=("wait", 0))
    assert ran(fake, places[0], lent=places[1], wall_s=1.0).stopped == "timeout"
    assert len(fake.asked("rm")) == 1


def test_an_engine_that_starts_nothing_is_no_result(
    client: Callable[[str], Client], places: tuple[Path, Path]
) -> None:
    """125 is also what a test command may exit with: then the container ran."""
    fake = client("docker")
    fake.answers(run=("docker: no such image", 125), inspect=("created false", 0))
    with pytest.raises(SandboxError, match="could not start an/image:1: docker: no such image"):
        ran(fake, places[0], lent=places[1])
    fake.answers(run=("mine", 125), inspect=("exited false", 0))
    assert ran(fake, places[0], lent=places[1]).returncode == 125
    fake.answers(run=("", 137), inspect=("exited true", 0))
    assert ran(fake, places[0], lent=places[1]).stopped == "memory"


def test_a_name_that_mounts_cannot_say_is_refused(
    client: Callable[[str], Client], places: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "a,readonly"
    copy.mkdir()
    with pytest.raises(SandboxError, match="has a comma"):
        ran(client("docker"), copy, lent=places[1])


def test_only_what_a_gone_process_left_is_swept(client: Callable[[str], Client]) -> None:
    fake = client("docker")
    mine = new_name()
    machine, pid = mine.split("-")[1:3]
    gone = f"pointsman-{machine}-{pid}-1000000000-abcd"
    other = f"pointsman-00000000-{pid}-1000000000-abcd"
    fake.answers(ps=("\n".join((mine, gone, other)), 0))
    assert sweep(fake.engine) == (gone,)
    assert fake.asked("rm") == [["rm", "--force", "--volumes", gone]]


@pytest.mark.usefixtures("asked_anew")
def test_docker_is_taken_where_its_engine_answers_else_podman(
    client: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = client("docker")
    monkeypatch.setenv("PATH", str(fake.place))
    fake.answers(info=("28.0.1 [name=seccomp,profile=builtin name=rootless]", 0))
    assert find_engine("auto") == Engine(
        name="docker", program=fake.place / "docker", rootless=True
    )
    engines._asked.cache_clear()
    down = "Cannot connect to the Docker daemon"
    fake.answers(info=(down, 1))
    with pytest.raises(SandboxError, match=f"{down}.*podman is not installed") as caught:
        find_engine("auto")
    assert "apt install podman" in str(caught.value.remedy)
    engines._asked.cache_clear()
    fake.answers(info=("4.3.1 rootless=false", 0))
    client("podman").answers(info=("4.3.1 rootless=false", 0))
    (fake.place / "docker").unlink()
    assert find_engine("auto").name == "podman"
    with pytest.raises(SandboxError, match="docker is not installed"):
        find_engine("docker")
    with pytest.raises(SandboxError, match="switched off"):
        find_engine("off")
