"""Fresh trees: what an agent may see, and what its patch is graded in.

The agent gets one repository with one commit, no remote, no reflog and no object that is not in
that commit: the fix cannot be read from history. Hidden tests are not in it.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from agent.errors import ConfigError
from evals.datasets.hide import hide_tests
from evals.datasets.history import export
from evals.datasets.instance import Instance
from evals.images import image_of, tree_of

__all__ = ["agent_repository", "grading_tree"]

LEFT_OUT = shutil.ignore_patterns(".git", "__pycache__", ".pytest_cache", ".hypothesis")
METADATA = ("entry_points.txt", "top_level.txt", "PKG-INFO")
"""What stays of a distribution's own metadata: packages find their plugins by entry points, but a
long description may tell of the fix."""
IDENTITY = ("Metadata-Version:", "Name:", "Version:")
WHEN = "2000-01-01T00:00:00Z"
"""The same tree is the same commit, whoever makes it and whenever."""
SETTINGS = (
    *("-c", "user.name=evals", "-c", "user.email=evals@localhost"),
    *("-c", "core.logAllRefUpdates=false", "-c", "core.autocrlf=false"),
    *("-c", "commit.gpgsign=false", "-c", "gc.auto=0", "-c", "init.defaultBranch=main"),
)


def agent_repository(instance: Instance, target: Path) -> None:
    """The repository the agent works in. `target` must not exist."""
    if instance.tests_visible:
        grading_tree(instance, target)
    else:
        _base(instance, target)
        if not _adds_tests(instance):
            hide_tests(target, instance.hidden_tests or instance.FAIL_TO_PASS)
    _git(target, "init", "--quiet", "--template=")
    _git(target, "add", "--all", "--force")
    _git(target, "commit", "--quiet", "--no-verify", "-m", instance.instance_id)


def grading_tree(instance: Instance, target: Path) -> None:
    """The tree at the base commit with all of its tests, and no git. Raises ConfigError."""
    _base(instance, target)
    if _adds_tests(instance):
        _git(target, "apply", "--whitespace=nowarn", "-", stdin=instance.test_patch)


def _adds_tests(instance: Instance) -> bool:
    """Whether the source lacks the tests of `test_patch`."""
    return bool(not instance.source_dir and instance.test_patch.strip())


def _base(instance: Instance, target: Path) -> None:
    if instance.source_dir or image_of(instance):
        source = Path(instance.source_dir) if instance.source_dir else tree_of(instance)
        if not source.is_dir():
            raise ConfigError(f"{instance.instance_id}: there is no directory {source}")
        shutil.copytree(source, target, symlinks=True, ignore=_left_out)
        for told in target.rglob("*.egg-info/PKG-INFO"):
            lines = told.read_text("utf-8", "replace").splitlines()
            kept = [line for line in lines if line.startswith(IDENTITY)]
            told.write_text("\n".join(kept[: len(IDENTITY)]) + "\n", "utf-8")
    elif instance.source_bundle:
        _from_bundle(instance, target)
    else:
        raise ConfigError(
            f"{instance.instance_id}: the row has no source",
            remedy="add source_dir (a tree at base_commit), source_bundle (a git bundle) or image",
        )


def _left_out(directory: str, names: list[str]) -> set[str]:
    if directory.endswith(".egg-info"):
        return {name for name in names if name not in METADATA}
    return LEFT_OUT(directory, names)


def _from_bundle(instance: Instance, target: Path) -> None:
    """The files of `base_commit` only: no object of another commit comes along."""
    bundle = Path(instance.source_bundle)
    if not bundle.is_file():
        raise ConfigError(f"{instance.instance_id}: there is no bundle {bundle}")
    with tempfile.TemporaryDirectory(prefix="pointsman-bundle-") as scratch:
        clone = Path(scratch) / "clone"
        _git(Path(scratch), "clone", "--quiet", "--bare", str(bundle.resolve()), str(clone))
        export(clone, instance.base_commit, target)


def _git(where: Path, *args: str, stdin: str = "") -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env = {
        **clean,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": WHEN,
        "GIT_COMMITTER_DATE": WHEN,
        "GIT_CEILING_DIRECTORIES": str(where.parent),
    }
    done = subprocess.run(
        ["git", *SETTINGS, *args],
        cwd=where,
        env=env,
        input=stdin.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        why = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise ConfigError(f"git {args[0]} failed in {where}: {why}")
