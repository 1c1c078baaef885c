"""Gives up every capability of the calling thread, for what it starts from then on.

Landlock and seccomp leave root's capabilities alone: a command run by sandlock as root could set
the clock of the host. Capabilities and the bounding set belong to a thread, so one thread of ours
gives them up and starts the commands; the rest of the process keeps what it had.
"""

import ctypes
import os
from pathlib import Path

PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
VERSION_3 = 0x20080522
MAX_CAPABILITY = 64


def drop_all() -> None:
    """Raises OSError unless this thread, and what it executes, has no capability afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() == 0 or _effective():
        for number in range(MAX_CAPABILITY):
            if libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1:
                # refused to a root without CAP_SETPCAP; no_new_privs below is enough by itself
                libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
        _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
        header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
        nothing = (ctypes.c_uint32 * 6)()
        _check(libc.capset(ctypes.byref(header), ctypes.byref(nothing)))
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if _effective():
        raise OSError("capabilities are still held")


def _effective() -> int:
    status = Path("/proc/thread-self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(line.split()[1], 16)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
