"""The sandlock tier: Landlock and seccomp, with neither root nor namespaces.

Weaker than bubblewrap in ways that show: loopback is closed too (a suite that serves itself over
TCP fails here), root stays uid 0 though without any capability, `.git` in a writable directory
cannot be read either, /tmp is absent (TMPDIR is private), and the files of other processes are
hidden by policy rather than by a namespace.
"""

import signal
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tools.errors import SandboxError
from tools.sandbox.gitguard import guarded
from tools.sandbox.layout import (
    ROOT_DIRS,
    both_names,
    checked,
    clean_environment,
    program_paths,
    require_program,
    system_paths,
    within,
)
from tools.sandbox.spawn import without_privileges
from tools.sandbox.watch import Watcher, kill_tree
from tools.types import Cancel, CommandResult, Limits

if TYPE_CHECKING:
    import sandlock

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
MAPPED_PER_RESIDENT = 4
"""sandlock counts mapped memory, of which programs keep much untouched; RSS is watched besides."""

DENIED = ("clock_settime", "settimeofday", "adjtimex", "clock_adjtime", "sethostname", "keyctl")
REAP_S = 5.0
REMEDY = "sandlock needs Linux 6.12 or newer with Landlock; or install bubblewrap"


class SandlockSandbox:
    """See `tools.types.Sandbox`."""

    name = "sandlock"

    def __init__(self, *, protect: tuple[Path, ...] = ()) -> None:
        self._protect = protect

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
        """Raises SandboxError if the sandbox could not be built or the command not started."""
        writable, cwd = checked(writable), cwd.absolute()
        started = time.monotonic()
        with (
            tempfile.TemporaryDirectory(prefix="pointsman-") as scratch,
            guarded(writable, self._protect) as kept,
        ):
            home, tmp = Path(scratch) / "home", Path(scratch) / "tmp"
            home.mkdir()
            tmp.mkdir()
            inner = clean_environment(env, home=home, tmp=tmp)
            require_program(argv, inner, cwd)
            readable = checked((*readable, *program_paths(argv, inner, cwd), *system_paths()))
            policy = _policy(
                cwd=cwd,
                env=inner,
                limits=limits,
                writable=_names((*writable, Path(scratch), *_existing(DEVICES))),
                readable=_names((*readable, *_existing((*ROOT_DIRS, "/proc")))),
                denied=_names(path for path in kept if within(path, _resolved(writable))),
                network=network,
            )
            return Watcher(_start(policy, argv), limits, cancel).follow(argv, started)


def _policy(
    *,
    cwd: Path,
    env: Mapping[str, str],
    limits: Limits,
    writable: list[str],
    readable: list[str],
    denied: list[str],
    network: bool,
) -> "sandlock.Sandbox":
    import sandlock

    return sandlock.Sandbox(
        fs_readable=readable,
        fs_writable=writable,
        fs_denied=denied,
        net_allow=["tcp://*:*", "udp://*:*"] if network else [],
        net_allow_bind=["*"] if network else [],
        clean_env=True,
        env=dict(env),
        cwd=str(cwd),
        max_memory=limits.memory_mb * MAPPED_PER_RESIDENT << 20,
        max_processes=limits.processes,
        extra_deny_syscalls=list(DENIED),
    )


def _start(policy: "sandlock.Sandbox", argv: tuple[str, ...]) -> "SandlockChild":
    import sandlock

    def start() -> "SandlockChild":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return SandlockChild(
                policy.popen(
                    list(argv),
                    stdin=sandlock.StdioMode.NULL,
                    stdout=sandlock.StdioMode.PIPED,
                    stderr=sandlock.StdioMode.PIPED,
                )
            )

    try:
        return without_privileges(start)
    except (RuntimeError, OSError, ValueError, sandlock.SandlockError) as error:
        raise SandboxError(f"sandlock could not start {argv[0]}: {error}", remedy=REMEDY) from error


class SandlockChild:
    """A `Child` over sandlock's own process handle, which reaps."""

    def __init__(self, process: "sandlock.Process") -> None:
        self._process = process
        self.pid: int = process.pid
        self.stdout: IO[bytes] = process.stdout
        self.stderr: IO[bytes] = process.stderr

    def ended(self) -> bool:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        return state in "ZX"

    def kill(self) -> None:
        kill_tree(self.pid)
        with suppress(OSError, RuntimeError):
            self._process.kill()

    def returncode(self) -> int:
        result = self._process.wait(timeout=REAP_S)
        if result.signal is not None and result.signal > 0:
            return -int(result.signal)
        code = int(result.exit_code)
        return code if code >= 0 else -int(signal.SIGKILL)


def _existing(names: Iterable[str]) -> tuple[Path, ...]:
    return tuple(path for path in map(Path, names) if path.exists())


def _resolved(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(path.resolve() for path in paths)


def _names(paths: Iterable[Path]) -> list[str]:
    return list(dict.fromkeys(str(name) for path in paths for name in both_names(path)))
