"""Turns itself into a server that cannot outlive the process that asked for it.

Run as a script: `launch.py PARENT SIGNAL UID GID PID_FILE COMMAND...`. The kernel sends SIGNAL to the server
when PARENT ends in whatever way. A program of its own, because code between fork and exec is not safe in a
parent that has threads, and because the kernel forgets the wish when the account changes.
"""

import ctypes
import os
import pathlib
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main(arguments: list[str]) -> None:
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    pid_file, *command = arguments[4:]
    pathlib.Path(pid_file).write_text(f"{os.getpid()}\n", encoding="ascii")
    if uid != os.getuid():
        become(uid, gid)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    if os.getppid() != parent:
        sys.exit("the process that asked for this server is gone")
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted here


if __name__ == "__main__":
    main(sys.argv[1:])
