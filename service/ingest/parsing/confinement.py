"""What the fork server and its children give up: the network, privileges, the file system, and more than their share.

Each step is one that cannot be taken back. Python 3.11 has none of these system calls, hence ctypes.
"""

import ctypes
import os
import platform
import resource
import signal
import socket
import struct

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_CAPABILITY_VERSION_3 = 0x20080522
# landlock(7); the numbers are those of every architecture.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_ASK_VERSION = 1
_EXTRA_CPU_S = 1  # between SIGXCPU, which says why, and SIGKILL

_libc = ctypes.CDLL(None, use_errno=True)


class ConfinementError(Exception):
    """The system does not allow a step."""


def leave_network() -> str | None:
    """Move this process, which has one thread, into a network namespace where there is nothing.

    Returns:
        Why it was not possible; None where it was.
    """
    try:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    except ConfinementError as without_privileges:
        try:
            _unshare(_CLONE_NEWNET)  # where user namespaces are turned off, but this process may do without
        except ConfinementError:
            return str(without_privileges)
    interfaces = [name for _, name in socket.if_nameindex() if name != "lo"]
    return f"the new namespace has the interfaces {', '.join(interfaces)}" if interfaces else None


def renounce_privileges() -> None:
    """Give up every capability, and gain none by running programs.

    Raises:
        ConfinementError: the system does not allow it.
    """
    _control(_PR_SET_NO_NEW_PRIVS, 1)
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0))
    if _libc.capset(header, ctypes.create_string_buffer(24)):
        raise _refused("capset")


def end_with(parent: int) -> None:
    """Be killed when the process ``parent``, which forked this one, ends.

    Raises:
        ConfinementError: it has ended already.
    """
    _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise ConfinementError("the process that forked this one has ended")


def leave_file_system() -> bool:
    """Open no file any more, connect to nothing, signal no process; False where the system has no Landlock.

    Needs ``renounce_privileges``. Descriptors that are open stay so.
    """
    version = landlock_version()
    if not version:
        return False
    rules = _every_right(version)
    ruleset = _libc.syscall(_LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    if ruleset < 0:
        return False
    try:
        return not _libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def landlock_version() -> int:
    """What Landlock of this system can do; 0 where there is none."""
    version: int = _libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_ASK_VERSION)
    return max(version, 0)


def take_no_more(cpu_seconds: int, memory_bytes: int, descriptors: int) -> None:
    """Limit this process, for good.

    Args:
        memory_bytes: of address space.
        descriptors: that may be open at once; those that are open already stay so.
    """
    _control(_PR_SET_DUMPABLE, 0)  # a core pattern that is a pipe takes no notice of RLIMIT_CORE
    for name, soft, hard in (
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + _EXTRA_CPU_S),
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_NOFILE, descriptors, descriptors),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
    ):
        most = resource.getrlimit(name)[1]
        within = hard if most == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(name, (min(soft, within), within))


def address_space_bytes() -> int:
    """What this process has of it now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _every_right(version: int) -> bytes:
    """All that this version of Landlock can deny, as a struct landlock_ruleset_attr."""
    file_rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    attributes = [(1 << file_rights) - 1, 0b11, 0b11]  # files; TCP bind and connect; abstract sockets and signals
    known = 1 if version < 4 else 2 if version < 6 else 3  # noqa: PLR2004  versions that added one
    return struct.pack(f"{known}Q", *attributes[:known])


def _unshare(flags: int) -> None:
    if _libc.unshare(flags):
        raise _refused("unshare")


def _control(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        raise _refused(f"prctl {option}")


def _refused(call: str) -> ConfinementError:
    return ConfinementError(f"{call}: {os.strerror(ctypes.get_errno())} (Linux {platform.release()})")
