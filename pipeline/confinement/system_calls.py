"""System calls that a process which only decodes has no use for: refused from then on, for good (seccomp(2)).

A list of what is refused rather than of what is allowed: which calls the C library, Python and FFmpeg make
differs with their versions, and a call that is refused by mistake would cost a recording.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2  # linux/prctl.h, linux/seccomp.h
RET_ALLOW, RET_ERRNO, RET_KILL_PROCESS = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # linux/bpf_common.h: opcodes
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data, little endian
OTHER_NUMBERS = 0x4000_0000  # x86_64: the x32 interface begins there

# name: number on x86_64, on aarch64 (asm/unistd_64.h, asm-generic/unistd.h)
REFUSED = {
    # speaking with anybody
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # becoming another program, or another namespace's
    "execve": (59, 221), "execveat": (322, 281), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
    # touching other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    # memory and queues that no limit of this process counts, or that outlive it
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    # ways into the kernel that have been holes before
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
}  # fmt: skip
FORK = (57, 58)  # and vfork: x86_64 alone has them
# calls whose flags lie in memory, where no filter sees them: the C library then takes the older call
HIDDEN = {"clone3": (435, 435), "openat2": (437, 437)}
CLONE_THREAD = 0x1_0000  # linux/sched.h: a thread; without it a process, which would outlive its call
SHARED_WITHOUT_FILE = 0x21  # asm/mman.h: MAP_SHARED | MAP_ANONYMOUS: counted by no limit
WITHOUT_NAME = 0x40_0000  # asm/fcntl.h: O_TMPFILE: found in no folder
# name: on x86_64, on aarch64; which argument; allowed where its BITS are VALUE (True), or are not (False)
CHECKED: dict[str, tuple[tuple[int, int], int, int, int, bool]] = {
    "prlimit64": ((302, 261), 0, 0xFFFF_FFFF, 0, True),  # of itself alone
    "clone": ((56, 220), 0, CLONE_THREAD, CLONE_THREAD, True),
    "mmap": ((9, 222), 3, SHARED_WITHOUT_FILE, SHARED_WITHOUT_FILE, False),
    "open": ((2, -1), 1, WITHOUT_NAME, WITHOUT_NAME, False),  # x86_64 alone has it
    "openat": ((257, 56), 2, WITHOUT_NAME, WITHOUT_NAME, False),
}
MACHINES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}  # column above, AUDIT_ARCH_*


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def can_refuse() -> bool:
    """Whether this kind of machine has its numbers of calls above."""
    return sys.platform == "linux" and platform.machine() in MACHINES


def refuse_system_calls() -> bool:
    """From now on those calls fail with EPERM here and in children; False where the system has no filters.

    After `give_up`: without the right to new privileges any process may filter its own calls.
    """
    if not can_refuse():
        return False
    program = _program(*MACHINES[platform.machine()])
    held = _Program(len(program) // 8, program)
    return bool(ctypes.CDLL(None).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(held), 0, 0) == 0)


def _program(column: int, machine: int) -> bytes:
    """The filter in classic BPF; a jump tells how many instructions are passed over."""

    def step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    def only(number: int, argument: int, bits: int, value: int, so: bool) -> bytes:
        """A call that is allowed where those bits of its argument are so, or where they are not."""
        checked = [
            step(LOAD, ARGUMENTS_AT + 8 * argument),
            step(AND, bits),
            step(EQUAL, value, yes=int(so), no=int(not so)),
            refuse,
            allow,
        ]
        return step(EQUAL, number, no=len(checked)) + b"".join(checked)

    refuse, allow = step(RETURN, RET_ERRNO | errno.EPERM), step(RETURN, RET_ALLOW)
    numbers = [row[column] for row in REFUSED.values()] + ([] if column else list(FORK))
    parts = [
        step(LOAD, MACHINE_AT),
        step(EQUAL, machine, yes=1),
        step(RETURN, RET_KILL_PROCESS),
        step(LOAD, NUMBER_AT),
        step(AT_LEAST, OTHER_NUMBERS, no=1),
        refuse,
        *(step(EQUAL, number, no=1) + refuse for number in numbers),
        *(only(one[0][column], *one[1:]) for one in CHECKED.values() if one[0][column] >= 0),
        *(step(EQUAL, row[column], no=1) + step(RETURN, RET_ERRNO | errno.ENOSYS) for row in HIDDEN.values()),
        allow,
    ]
    return b"".join(parts)
