"""The container tier: each command in a fresh container of one image, which is removed after it.

No network, a read-only root, no capability, another user than root; of the host only what the
command is given. An image has its own interpreter and variables, so the host's are not passed on.
"""

import os
import resource
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.errors import SandboxError
from tools.sandbox.engines import LABEL, Engine, new_name
from tools.sandbox.gitguard import guarded
from tools.sandbox.layout import HOME, both_names, checked, within
from tools.sandbox.spawn import popen
from tools.sandbox.watch import Watcher
from tools.types import Cancel, CommandResult, Limits

__all__ = ["ContainerSandbox"]

UNPRIVILEGED_ID = 1000
CPUS = 2
TMPFS = "rw,exec,nosuid,nodev,mode=1777,size=1g"
OPEN_FILES = "nofile=1024:4096"
PROCESSES = 32_768
"""podman asks for a million where root has no CAP_SYS_RESOURCE either, and fails. This one counts
all that a user runs on the machine; --pids-limit counts those of the container."""
PASSED = ("PYTHON", "LANG", "LC_", "TZ", "TERM", "CI", "NO_COLOR")
"""Variables that describe a run rather than the host it was asked from."""
HOSTS_OWN = ("PYTHONUSERBASE", "PYTHONPATH", "PYTHONHOME")
CLIENT_MB = 1024
"""The client itself takes 40 to 80 MB; the memory of the command is the engine's to limit."""
REMOVE_S = 60.0
OUT_OF_MEMORY = "oom"
"""A file that podman's monitor leaves where it was started, also where a child was killed."""
KILLED, ENGINES_OWN = 137, (125, 126, 127)
AS_CHILD = ("/bin/sh", "-c", '"$0" "$@"; exit "$?"')
"""The kernel does not deliver signals without a handler to process 1: a test that ends itself
would go on."""
REMEDY = "try it by hand: docker run --rm IMAGE true (or podman)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSandbox:
    """See `tools.types.Sandbox`. `.git` in a writable directory is readable, never writable.

    Directories have the same name inside as outside; the one that holds `cwd` is mounted at
    `workdir` as well, over what the image has there. `readable` is mounted where it lies in `lent`:
    interpreters of the host are of no use inside.
    """

    engine: Engine
    image: str
    workdir: Path
    lent: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the image, with its environment activated."""

    @property
    def name(self) -> str:
        return self.engine.name

    def run(
        self,
        argv: tuple[str, ...],
        *,
        cwd: Path,
        env: Mapping[str, str],
        limits: Limits,
        writable: tuple[Path, ...] = (),
        readable: tuple[Path, ...] = (),
        network: bool = False,
        cancel: Cancel | None = None,
    ) -> CommandResult:
        """Raises SandboxError if the container could not be made or the command not started."""
        if network:
            raise SandboxError("a container of an evaluation has no network")
        writable, cwd = checked(writable), cwd.absolute()
        shown = checked(p for p in readable if within(p, self.lent) or p == cwd)
        started, name = time.monotonic(), new_name()
        with (
            guarded(writable, ()) as kept,
            tempfile.TemporaryDirectory(prefix="pointsman-client-") as place,
        ):
            identity = _identity(self.engine, writable)
            command = (
                *(str(self.engine.program), "run", "--name", name, "--label", LABEL),
                *identity,
                *CONFINED,
                *_limited(self.engine, limits),
                *self._mounts(cwd, writable, shown, kept),
                *(p for k, v in self._variables(env).items() for p in ("--env", f"{k}={v}")),
                *("--workdir", str(cwd), "--entrypoint", AS_CHILD[0]),
                *(self.image, *AS_CHILD[1:], *argv),
            )
            try:
                child = popen(command, env=os.environ, cwd=Path(place))
                watched = replace(limits, memory_mb=max(limits.memory_mb, CLIENT_MB))
                result = Watcher(child, watched, cancel).follow(argv, started)
                # what was measured is the client, not what ran inside
                result = replace(result, peak_rss_mb=0.0)
                return self._judged(name, result, Path(place, OUT_OF_MEMORY).exists())
            except (OSError, ValueError) as error:
                raise SandboxError(f"cannot start {self.name}: {error}", remedy=REMEDY) from error
            finally:
                self._remove(name)

    def _judged(self, name: str, result: CommandResult, starved: bool) -> CommandResult:
        """What the client's exit code alone does not tell."""
        if result.stopped or result.returncode not in (KILLED, *ENGINES_OWN):
            return result
        form = "{{.State.Status}} {{.State.OOMKilled}}"
        state = ["created"]
        with suppress(SandboxError):  # there is none of that name
            state = self.engine.call("inspect", "--format", form, name).decode().split()
        if state[0] in ("created", "configured", "initialized"):
            said = result.stderr.decode(errors="replace").strip()[-300:]
            raise SandboxError(f"{self.name} could not start {self.image}: {said}", remedy=REMEDY)
        memory = result.returncode == KILLED and (starved or state[-1] == "true")
        return replace(result, stopped="memory") if memory else result

    def _remove(self, name: str) -> None:
        """Also ends what runs in it. One that cannot be removed now is at the next start."""
        with suppress(SandboxError):
            self.engine.call("rm", "--force", "--volumes", name, timeout_s=REMOVE_S)

    def _variables(self, env: Mapping[str, str]) -> dict[str, str]:
        given = {k: v for k, v in env.items() if k.startswith(PASSED) and k not in HOSTS_OWN}
        first = [p for p in env.get("PATH", "").split(os.pathsep) if within(Path(p), self.lent)]
        inside = self.environment.get("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        ours = {"HOME": str(HOME), "TMPDIR": "/tmp", "PATH": os.pathsep.join((*first, inside))}
        return {"LANG": "C.UTF-8"} | dict(self.environment) | given | ours

    def _mounts(
        self,
        cwd: Path,
        writable: Iterable[Path],
        readable: Iterable[Path],
        kept: Iterable[Path],
    ) -> list[str]:
        """Outer before inner, so that what is deeper decides; `.git` last, read-only."""
        modes: dict[Path, tuple[Path, str]] = {}
        for paths, mode in ((readable, ",readonly"), (writable, "")):
            for path in paths:
                modes |= {n: (path.resolve(), mode) for n in (*both_names(path), path.resolve())}
                if within(cwd, (path,)):
                    modes[self.workdir] = (path.resolve(), mode)
        git = {source: names for source in kept if (names := _names(source, modes))}
        for source, names in git.items():
            modes |= {name: (source, ",readonly") for name in names}
        if self.workdir not in modes:  # else what the image has there, history and all, shows
            raise SandboxError(f"{cwd} is in no directory that was given to the container")
        return _binds(modes)


CONFINED = (
    *("--network", "none", "--read-only", "--cap-drop", "ALL"),
    # A copy in /tmp has no label that SELinux would let a container read.
    *("--security-opt", "no-new-privileges", "--security-opt", "label=disable"),
    *("--log-driver", "none", "--hostname", "sandbox", "--pull", "never", "--stop-timeout", "0"),
    *("--tmpfs", f"/tmp:{TMPFS}", "--tmpfs", f"/var/tmp:{TMPFS}", "--tmpfs", f"{HOME}:{TMPFS}"),
)


def _limited(engine: Engine, limits: Limits) -> list[str]:
    memory = f"{limits.memory_mb}m"
    cpus = min(CPUS, os.cpu_count() or CPUS)
    options = ["--memory", memory, "--memory-swap", memory, "--cpus", str(cpus)]
    options += ["--pids-limit", str(limits.processes), "--ulimit", OPEN_FILES]
    if engine.name == "podman":
        _, most = resource.getrlimit(resource.RLIMIT_NPROC)
        most = PROCESSES if most == resource.RLIM_INFINITY else min(most, PROCESSES)
        options += ["--ulimit", f"nproc={most}:{most}"]
    return options


def _identity(engine: Engine, writable: Iterable[Path]) -> tuple[str, ...]:
    """Somebody who owns the writable directories and is not the host's root."""
    if engine.rootless and engine.name == "docker":
        return ("--user", "0:0")
    uid, gid = os.getuid(), os.getgid()
    if uid:
        keep = ("--userns", "keep-id") if engine.rootless else ()
        return (*keep, "--user", f"{uid}:{gid}")
    for directory in writable:
        _hand_over(directory)
    return ("--user", f"{UNPRIVILEGED_ID}:{UNPRIVILEGED_ID}")


def _hand_over(directory: Path) -> None:
    """As root: give a copy of ours to the user inside. By descriptors, and never through a link:
    what runs in the same copy meanwhile cannot lead us out of it."""
    for _, directories, names, above in os.fwalk(directory):
        if os.fstat(above).st_uid != UNPRIVILEGED_ID:
            os.fchown(above, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
        for name in (*directories, *names):
            with suppress(FileNotFoundError):
                if os.lstat(name, dir_fd=above).st_uid != UNPRIVILEGED_ID:
                    os.chown(
                        name, UNPRIVILEGED_ID, UNPRIVILEGED_ID, dir_fd=above, follow_symlinks=False
                    )


def _names(source: Path, modes: Mapping[Path, tuple[Path, str]]) -> list[Path]:
    """Every name that a `.git` has inside, unless it was given as writable itself."""
    if source in modes or source.is_symlink():
        return []
    return [n / source.relative_to(s) for n, (s, _) in modes.items() if s in source.parents]


def _binds(modes: Mapping[Path, tuple[Path, str]]) -> list[str]:
    options = []
    for name, (source, mode) in sorted(modes.items(), key=lambda item: len(item[0].parts)):
        for path in (name, source):
            if set(str(path)) & set(',"\n'):
                raise SandboxError(f"{path} cannot be mounted: its name has a comma or a quote")
        options += ["--mount", f"type=bind,src={source},dst={name}{mode}"]
    return options
