# SPDX-License-Identifier: MIT
"""Rules for system calls, as the kernel takes them: classic BPF over a call's number and arguments.

Written by hand, since the interpreter that starts a confined program has no packages.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence

Rule = tuple[int, int, int, int]
"""One instruction: code, how many to skip if true and if false, value."""
LOAD, EQUAL, AT_LEAST, ANY_OF, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, MACHINE, ARGUMENT_0, ARGUMENT_1 = 0, 4, 16, 24
"""Where the call's number, its machine, and the low halves of its arguments are; little-endian."""
ALLOW: Rule = (RETURN, 0, 0, 0x7FFF0000)
NAMESPACES = 0x7E020000
"""The flags of clone that make namespaces: CLONE_NEWUSER and its like."""
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_X32 = 0x40000000

_X86_64 = platform.machine() == "x86_64"
_AUDIT_MACHINE = 0xC000003E if _X86_64 else 0xC00000B7
CLONE, CLONE3, IOCTL = (56, 435, 16) if _X86_64 else (220, 435, 29)
FORBIDDEN = {
    # The network: a program has what descriptors it was given.
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200),
    # Other processes. LeakSanitizer traces its own threads by ptrace, which for a user without
    # rights reaches no others.
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # Mounts and namespaces.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    # Names for other users' files; files by handles.
    "linkat": (265, 37), "mknodat": (259, 33), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    # What stays when its process has ended.
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # Much of the kernel that no test needs.
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "kexec_load": (246, 104), "init_module": (175, 105), "finit_module": (313, 273), "syslog": (103, 116),
    "quotactl": (179, 60), "acct": (163, 89),
}
"""What a confined program may not call: numbers on x86-64 and on arm64 [linux, asm/unistd.h]."""
_ONLY_X86_64 = {"link": 86, "mknod": 133, "iopl": 172, "ioperm": 173, "modify_ldt": 154}


def refuse(number: int = errno.EPERM) -> Rule:
    """The call fails with this error."""
    return RETURN, 0, 0, 0x00050000 | number


def confined() -> list[Rule]:
    """The rules for a program of an answer, and for the compiler that reads one."""
    numbers = [pair[0 if _X86_64 else 1] for pair in FORBIDDEN.values()]
    rules = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, _AUDIT_MACHINE), refuse(), (LOAD, 0, 0, NUMBER)]
    if _X86_64:
        numbers += _ONLY_X86_64.values()
        rules += [(AT_LEAST, 0, 1, _X32), refuse()]
    for number in numbers:
        rules += [(EQUAL, 0, 1, number), refuse()]
    rules += [(EQUAL, 0, 1, CLONE3), refuse(errno.ENOSYS)]  # its flags are in memory: programs take clone
    rules += [(EQUAL, 0, 4, CLONE), (LOAD, 0, 0, ARGUMENT_0), (ANY_OF, 0, 1, NAMESPACES), refuse(), ALLOW]
    # Words that the program would put into a terminal's input.
    rules += [(EQUAL, 0, 5, IOCTL), (LOAD, 0, 0, ARGUMENT_1), (EQUAL, 1, 0, _TIOCSTI), (EQUAL, 0, 1, _TIOCLINUX), refuse(),
              ALLOW]
    return [*rules, ALLOW]


def obey(rules: Sequence[Rule]) -> None:
    """Puts this process and all that it starts under the rules, for good. Raises OSError."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(rules), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _FILTER, program, 0, 0)):
        if libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), "the kernel takes no rules for system calls")
