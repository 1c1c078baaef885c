"""Rows that come with a container image: its files, its Python, and where its tests run.

The tree of an image is copied out of it once, without its git; so is a description of its
activated environment. For what works on the host a directory stands for the image's Python: it
names the same version and packages, and its `bin/python` starts the one in the image.
"""

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import tools
from agent.errors import ConfigError
from evals.datasets.instance import Instance
from evals.datasets.sources import alone, cache_root, environment
from evals.result import write_json
from tools.errors import SandboxError, TestCommandError
from tools.sandbox.container import ContainerSandbox
from tools.sandbox.engines import CHOICES, LABEL, Choice, Engine, find_engine, new_name
from tools.sandbox.probe import attempt_escape
from tools.testrun.lend import pytest_overlay
from tools.types import Limits, Sandbox

__all__ = ["CHOICE", "container_for", "environment_of", "identity_of", "image_of", "tree_of"]

CHOICE = "POINTSMAN_CONTAINERS"
"""auto, docker, podman or off; `--containers` sets it, and workers inherit it."""
WORKDIR = Path("/testbed")
PULL_S, COPY_S = 3600.0, 900.0
FORMAT = 1
OFFICIAL = "swebench/sweb.eval.x86_64.{}:latest"
ACTIVATED = """\
if [ -f /opt/miniconda3/bin/activate ]; then
    . /opt/miniconda3/bin/activate && conda activate testbed || exit 1
fi
found=$(command -v python || command -v python3) || { echo "there is no Python in it" >&2; exit 1; }
exec "$found" -c "$0"
"""
"""As the official harness activates it. Source: swebench 5.0.2, the eval scripts of its rows."""
DESCRIBE = """
import json, os, sys
inside = "/testbed/"
places = [p for p in sys.path if p.endswith("-packages")]
print(json.dumps({
    "environment": dict(os.environ),
    "executable": sys.executable,
    "version": list(sys.version_info[:2]),
    "packages": sorted({n for p in places if os.path.isdir(p) for n in os.listdir(p)}),
    "added": [os.path.relpath(p, inside) for p in sys.path if (p + "/").startswith(inside)],
}))
"""
NOT_ITS_OWN = ("PWD", "OLDPWD", "SHLVL", "_", "HOME", "TMPDIR", "HOSTNAME", "TERM", "container")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One that was looked into. `tree` and `env` are directories of the cache."""

    engine: Engine
    digest: str
    """What containers are made from: another image that gets its name later changes nothing."""
    tree: Path
    env: Path
    environment: Mapping[str, str]


def image_of(instance: Instance) -> str:
    """The image whose files are the row's source; empty where the row has its own."""
    if instance.source_dir or instance.source_bundle:
        return ""
    if instance.image:
        return instance.image
    if not re.fullmatch(r"[\w.-]+__[\w.-]+-\d+", instance.instance_id) or "/" not in instance.repo:
        return ""
    return OFFICIAL.format(instance.instance_id.lower().replace("__", "_1776_"))


def tree_of(instance: Instance) -> Path:
    """The files of the image at the base commit; not to be changed. Raises ConfigError."""
    return _looked_into(instance).tree


def environment_of(instance: Instance) -> Path:
    """The root of the Python environment that the instance's tests run in."""
    if image_of(instance):
        return _looked_into(instance).env
    return environment(instance.requires)


def container_for(instance: Instance) -> Sandbox | None:
    """Containers of the instance's image; None where it has none."""
    return _sandbox(_looked_into(instance)) if image_of(instance) else None


def identity_of(instance: Instance) -> str:
    """What a proof of the instance depends on besides its row: the image's content."""
    return _looked_into(instance).tree.parent.name if image_of(instance) else ""


def _looked_into(instance: Instance) -> Image:
    """Raises ConfigError: the row is rejected with the reason and what to do about it."""
    name = image_of(instance)
    try:
        return _image(name, _choice())
    except SandboxError as error:
        following = f"; next: {error.remedy}" if error.remedy else ""
        raise ConfigError(f"it runs in the image {name}: {error}{following}") from error
    except OSError as error:  # a full disk, say
        raise ConfigError(f"the image {name} cannot be copied: {error}") from error


def _choice() -> Choice:
    asked = os.environ.get(CHOICE, "auto")
    for choice in CHOICES:
        if asked == choice:
            return choice
    raise ConfigError(f"{CHOICE}={asked}", remedy=f"one of: {', '.join(CHOICES)}")


@functools.cache
def _image(name: str, choice: Choice) -> Image:
    engine = find_engine(choice)
    digest = _present(engine, name)
    place = cache_root() / "images" / f"{FORMAT}-{digest[:16]}"
    place.mkdir(parents=True, exist_ok=True)
    told = place / "image.json"
    with alone(place / "lock"):
        if not told.exists():
            write_json(told, {"name": name, **_made(engine, digest, place)})
    known = json.loads(told.read_text("utf-8"))
    return Image(
        engine=engine,
        digest=digest,
        tree=place / "tree",
        env=place / "env",
        environment=known["environment"],
    )


def _present(engine: Engine, name: str) -> str:
    """The digest of an image, which is pulled where it is not there yet."""
    ask = ("image", "inspect", "--format", "{{.Id}}")
    try:
        said = engine.call(*ask, name)
    except SandboxError:
        # podman asks which registry is meant, but for a reference of docker's.
        full = f"docker://{name}" if engine.name == "podman" else name
        told = engine.call("pull", "--quiet", full, timeout_s=PULL_S)  # its full name, or its id
        said = engine.call(*ask, told.decode().strip())
    return said.decode().strip().removeprefix("sha256:")


def _sandbox(image: Image) -> ContainerSandbox:
    lent = [image.env, Path(tools.__file__).parent, Path(sysconfig.get_path("purelib"))]
    if image.env.exists():
        with suppress(TestCommandError):  # no pytest there, and ours is too new for it
            overlay = pytest_overlay(image.env / "bin" / "python").directory
            if overlay:
                # Ours alone by default; inside is another user, if we are root.
                overlay.chmod(0o755)
                lent.append(overlay)
    return ContainerSandbox(
        engine=image.engine,
        image=image.digest,
        workdir=WORKDIR,
        lent=tuple(lent),
        environment=image.environment,
    )


def _made(engine: Engine, digest: str, place: Path) -> dict[str, object]:
    """Copy the tree out, run the image's Python, and try what must be refused."""
    tree, env = place / "tree", place / "env"
    for directory in (tree, env):
        shutil.rmtree(directory, ignore_errors=True)
    _copied(engine, digest, tree)
    bare = Image(engine=engine, digest=digest, tree=tree, env=env, environment={})
    said = _sandbox(bare).run(
        ("bash", "-c", ACTIVATED, DESCRIBE), cwd=tree, env={}, limits=Limits(), readable=(tree,)
    )
    try:
        told = json.loads(said.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        why = said.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise SandboxError(
            f"its Python cannot be run: {why[0][:200]}",
            remedy=f"{engine.name} run --rm -it {digest[:12]} bash",
        ) from None
    inside = {k: v for k, v in told["environment"].items() if k not in NOT_ITS_OWN}
    _stand_in(env, told)
    ready = Image(engine=engine, digest=digest, tree=tree, env=env, environment=inside)
    allowed = attempt_escape(_sandbox(ready), told["executable"])
    if allowed:
        raise SandboxError(f"{engine.name} does not confine: {allowed}", remedy="agent doctor")
    return {"environment": inside}


def _stand_in(env: Path, told: Mapping[str, Any]) -> None:
    """A directory like a virtual environment's: what is asked of files has the image's answer.

    Packages that the image imports from its tree come from the copy under test, by its own name.
    """
    version = ".".join(str(n) for n in told["version"])
    packages = env / "lib" / f"python{version}" / "site-packages"
    packages.mkdir(parents=True)
    for name in told["packages"]:
        if name.endswith(".py"):
            (packages / name).touch()
        else:
            (packages / name).mkdir()
    (packages.parent / "os.py").touch()
    (env / "pyvenv.cfg").write_text(f"version = {version}\n", "utf-8")
    added = [name for name in told["added"] if name != "."]
    paths = "".join(f'"$PWD"/{shlex.quote(name)}:' for name in added)
    lines = ["#!/bin/sh"]
    lines += [f"export PYTHONPATH={paths}$PYTHONPATH"] if added else []
    lines += [f'exec {shlex.quote(str(told["executable"]))} "$@"', ""]
    (env / "bin").mkdir()
    for name in ("python", "python3"):
        (env / "bin" / name).write_text("\n".join(lines), "utf-8")
    for path in (env, *env.rglob("*")):
        path.chmod(0o755)  # whatever our umask: inside is another user, if we are root


def _copied(engine: Engine, digest: str, tree: Path) -> None:
    """The files of the image below WORKDIR become `tree`; no command of the image is run."""
    container = new_name()
    engine.call("create", "--name", container, "--label", LABEL, "--pull", "never", digest, "true")
    try:
        argv = [str(engine.program), "cp", f"{container}:{WORKDIR}", "-"]
        with (
            tempfile.TemporaryDirectory(dir=tree.parent) as scratch,
            tempfile.TemporaryFile() as said,
            subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=said) as client,
        ):
            assert client.stdout is not None
            with _ending(client, COPY_S):
                _extracted(client.stdout, Path(scratch))
            if client.wait():
                said.seek(0)
                why = said.read().decode(errors="replace").strip()[-300:]
                raise SandboxError(f"it has no {WORKDIR}: {why}", remedy="add source_dir to it")
            (Path(scratch) / WORKDIR.name).rename(tree)
    finally:
        engine.call("rm", "--force", container)


@contextmanager
def _ending(client: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    """An engine that hangs is not waited for any longer than that."""
    timer = threading.Timer(seconds, client.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _extracted(stream: IO[bytes], target: Path) -> None:
    def harmless(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        if ".git" in Path(member.name).parts[1:2]:
            return None
        try:
            return tarfile.data_filter(member, path)
        except tarfile.FilterError:  # a link that leads out, a device
            return None

    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            tar.extractall(target, filter=harmless)
    except tarfile.ReadError:
        return  # nothing came: the client says why
