"""A seccomp filter as BPF, for `bwrap --seccomp`: system calls a test suite has no use for.

They are refused with EPERM (or ENOSYS where a caller then falls back): tracing and reading other
processes, the kernel keyring, io_uring, new namespaces, mounts, bpf, perf, kexec and modules.
Numbers are from the kernel's tables for x86-64 and for the generic table that arm64 uses.
"""

import platform
import struct

X86_64 = 0xC000003E
AARCH64 = 0xC00000B7
X32_BIT = 0x40000000

EPERM, ENOSYS = 1, 38
ALLOW = 0x7FFF0000
ERRNO = 0x00050000

LOAD, JEQ, JGE, JSET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NR, ARCH, ARG0 = 0, 4, 16
"""Offsets in `struct seccomp_data`; the low half of the first argument on little-endian."""

CLONE_NEW = 0x7E020080
"""NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET, and NEWTIME."""

# name: (x86-64, arm64)
DENIED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "swapon": (167, 224),
    "reboot": (169, 142),
}
UNSHARE = (272, 97)
CLONE = (56, 220)
CLONE3 = (435, 435)


def program() -> bytes | None:
    """The filter for this machine; None on an architecture we have no numbers for."""
    machine = platform.machine()
    if machine == "x86_64":
        return _build(X86_64, 0)
    if machine == "aarch64":
        return _build(AARCH64, 1)
    return None


def _build(arch: int, column: int) -> bytes:
    code = [
        _op(LOAD, ARCH),
        _op(JEQ, arch, 1, 0),
        _op(RETURN, ERRNO | ENOSYS),  # another ABI has other numbers
        _op(LOAD, NR),
    ]
    if arch == X86_64:
        code += [_op(JGE, X32_BIT, 0, 1), _op(RETURN, ERRNO | ENOSYS)]
    # clone3 passes its flags by pointer, where a filter cannot look: libc falls back to clone
    code += [_op(JEQ, CLONE3[column], 0, 1), _op(RETURN, ERRNO | ENOSYS)]
    for numbers in DENIED.values():
        code += [_op(JEQ, numbers[column], 0, 1), _op(RETURN, ERRNO | EPERM)]
    for numbers in (CLONE, UNSHARE):
        code += [
            _op(JEQ, numbers[column], 0, 4),
            _op(LOAD, ARG0),
            _op(JSET, CLONE_NEW, 0, 1),
            _op(RETURN, ERRNO | EPERM),
            _op(RETURN, ALLOW),
        ]
    return b"".join([*code, _op(RETURN, ALLOW)])


def _op(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, k)
