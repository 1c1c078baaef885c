"""Two Linux system calls that Python does not wrap, with what to do where they are missing.

`openat2` opens a directory without ever leaving another one; `renameat2` exchanges two names.
"""

import ctypes
import errno
import os
from functools import cache

__all__ = ["DIRECTORY", "RENAME_EXCHANGE", "RENAME_NOREPLACE", "open_beneath", "rename"]

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
_OPENAT2 = 437  # the same number on every Linux architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def open_beneath(root: int, parts: tuple[str, ...]) -> int:
    """A handle on a directory beneath `root`. Raises OSError: a link on the way is ELOOP."""
    if not parts:
        return os.open(".", DIRECTORY, dir_fd=root)
    if _has_openat2():
        return _openat2(root, "/".join(parts))
    return _walk(root, parts)


@cache
def _has_openat2() -> bool:
    if os.uname().sysname != "Linux":
        return False
    root = os.open("/", DIRECTORY)
    try:
        os.close(_openat2(root, "."))
    except OSError:
        return False  # an old kernel, or a seccomp filter that does not know the call
    finally:
        os.close(root)
    return True


def _openat2(root: int, path: str) -> int:
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    how = _OpenHow(flags=DIRECTORY, mode=0, resolve=resolve)
    for _ in range(16):  # EAGAIN: a rename raced with us; the kernel asks for another try
        handle = _libc().syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if handle >= 0:
            return int(handle)
        code = ctypes.get_errno()
        if code != errno.EAGAIN:
            break
    raise OSError(code, os.strerror(code), path)


def _walk(root: int, parts: tuple[str, ...]) -> int:
    handle = os.open(".", DIRECTORY, dir_fd=root)
    for part in parts:
        try:
            inner = os.open(part, DIRECTORY, dir_fd=handle)
        finally:
            os.close(handle)
        handle = inner
    return handle


def rename(parent: int, source: str, target: str, flags: int) -> bool:
    """Call renameat2, both names in one directory. False where it is not supported."""
    call = getattr(_libc(), "renameat2", None) if os.uname().sysname == "Linux" else None
    if call is None:
        return False
    if call(parent, os.fsencode(source), parent, os.fsencode(target), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), target)
