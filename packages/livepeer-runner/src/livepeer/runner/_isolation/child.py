"""A model process's own side: it ends with the process that started it, whatever happens."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import select
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, NoReturn

from livepeer.runner._isolation.faults import sendable
from livepeer.runner._isolation.messages import Failed

if TYPE_CHECKING:
    from livepeer.runner._isolation.channel import Channel

BROKEN: Final = 70
"""The status of a process that nobody is left to work for, or that cannot go on."""

_PR_SET_PDEATHSIG: Final = 1
_FLUSH_S: Final = 1.0


def connect(socket_fd: int, other_fds: tuple[int, ...], parent: int) -> socket.socket:
    """The socket to the parent, with whose end, or whose process's end, this process ends too.

    Args:
        socket_fd: Its file descriptor.
        other_fds: Others that were handed over; like that one they go to no process from here.
        parent: The number of the process that started this one.
    """
    end_with(parent)
    faulthandler.enable()
    for fd in (socket_fd, *other_fds):
        os.set_inheritable(fd, False)
    runner = socket.socket(fileno=socket_fd)
    threading.Thread(target=_end_with_peer, args=(runner,), name="runner", daemon=True).start()
    return runner


def tell_failure(channel: Channel[Any], reason: str, *, definition: bool = False) -> None:
    """Say why this process ends, and wait until that is out; arguments as for `Failed`."""
    channel.send(Failed(sendable(reason), definition))
    channel.flush(_FLUSH_S)


def end_with(parent: int) -> None:
    """End this process when its parent does, however that ended, within a second; Linux only.

    Everywhere, the end of the socket tells sooner, so that what the process has started is ended
    with it; unless a hook keeps the interpreter, and then there is this.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        # No handler in Python, which waits for the interpreter: that of SIGHUP, whose number is 1,
        # is libc's alarm(1), and nobody handles the alarm.
        libc.signal(signal.SIGHUP, ctypes.cast(libc.alarm, ctypes.c_void_p))
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
    if os.getppid() != parent:
        end_group()


def end_group() -> NoReturn:
    """End this process at once, and what it has started and is in its process group."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(BROKEN)


def _end_with_peer(runner: socket.socket) -> None:
    ended = select.poll()
    ended.register(runner, 0)  # the end is told without being asked for
    ended.poll()
    end_group()
