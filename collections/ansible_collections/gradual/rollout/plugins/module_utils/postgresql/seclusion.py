# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Keep a process and its children from connecting to anything: to other hosts, and to the live server's Unix socket.

By a seccomp filter (Linux, no privileges needed), because a restored database runs code of its own: a materialized view
may read another server by postgres_fdw or dblink, a function by a library of any language. A network namespace needs
root, and leaves the Unix sockets. Numbers: linux/audit.h, asm/unistd.h; instructions: linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

# What a refused call returns, as it would on a host without any network.
REFUSED = errno.ENETUNREACH
# machine: (its number for audit, the number of socket(), the numbers of the calls that are refused in any case).
# 425 is io_uring_setup(), because a filter does not see the operations of io_uring; 102 is socketcall().
_MACHINES = {
    "x86_64": (0xC000003E, 41, (42, 425)),
    "aarch64": (0xC00000B7, 198, (203, 425)),
    "ppc64le": (0xC0000015, 326, (328, 102, 425)),
    "riscv64": (0xC00000F3, 198, (203, 425)),
}
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
# struct seccomp_data: the call's number, the machine, and after the instruction pointer the first argument.
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
# Calls of the other interface of x86_64 have this bit.
_X32 = 0x40000000
# AF_UNIX: the server listens on such a socket.
_UNIX = 1


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def program(machine: str | None = None) -> bytes:
    """The filter for this machine (or another one); DatabaseError where its numbers are not known."""
    name = machine or platform.machine()
    if name not in _MACHINES:
        raise DatabaseError(
            f"a throwaway cluster must not reach other systems, and on a machine of the kind {name!r} Gradual cannot"
            f" prevent it; verify this backup on one of {', '.join(sorted(_MACHINES))}"
        )
    audit, socket, refused = _MACHINES[name]
    refuse, allow = (_RETURN, 0, 0, _ERROR | REFUSED), (_RETURN, 0, 0, _ALLOW)
    steps = [
        (_LOAD, 0, 0, _MACHINE),
        (_IF_EQUAL, 1, 0, audit),
        refuse,
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, 0, 1, _X32),
        refuse,
        *(step for number in refused for step in ((_IF_EQUAL, 0, 1, number), refuse)),
        (_IF_EQUAL, 1, 0, socket),
        allow,
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IF_EQUAL, 1, 0, _UNIX),
        refuse,
        allow,
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def enter(instructions: bytes) -> None:
    """Apply the filter to this process, for good. OSError when the kernel does not take it."""
    given = _Program(len(instructions) // 8, instructions)
    for call in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _FILTER, ctypes.byref(given), 0, 0)):
        if _LIBC.prctl(*call) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"the kernel does not take a seccomp filter ({os.strerror(number)})")
