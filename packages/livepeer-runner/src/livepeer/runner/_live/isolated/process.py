"""A model process: how it is started, watched and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

from livepeer.runner._live.isolated.arena import Arena
from livepeer.runner._live.isolated.channel import Channel
from livepeer.runner._live.isolated.secrets import environment_without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._live.isolated.messages import Message

_MODULE: Final = "livepeer.runner._live.isolated.worker"


class ModelProcess:
    """A fresh interpreter, in a session (of the system's) of its own.

    So what a terminal sends to the runner does not reach it, and what it starts itself can be
    ended with it. It ends with the thread that made this object, which must be one that lives as
    long as the process should: Linux counts by threads.

    Args:
        slots: How many frames may be under way in each direction.
        received: Called on a thread of this object's with each message; what it raises ends the
            process, which cannot be understood.
        broken: Called on that thread, before the process is ended for it, with what is wrong.
        ended: Called on that thread when the process is gone; with its status, as `Popen` has it.
    """

    def __init__(
        self,
        slots: int,
        received: Callable[[Message], None],
        broken: Callable[[str], None],
        ended: Callable[[int], None],
    ) -> None:
        self._lock = threading.Lock()
        self._reaped = False
        with contextlib.ExitStack() as stack:
            there, back = Arena.create(slots), Arena.create(slots)
            stack.callback(os.close, there)
            stack.callback(os.close, back)
            self.outbound = Arena(there, slots)
            self.inbound = Arena(back, slots)
            self.channel, socket = Channel.pair()
            stack.callback(socket.close)
            fds = (socket.fileno(), there, back)
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, *map(str, fds), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=fds,
                start_new_session=True,
                env=environment_without_secrets(),
            )
        self.pid = self._process.pid
        self._waiter = threading.Thread(target=self._wait, name="model process", daemon=True)
        self._waiter.start()
        # Not attributes: they lead back here, and memory is not to wait for a search of cycles.
        threading.Thread(
            target=self._receive,
            args=(received, broken, ended),
            name="model messages",
            daemon=True,
        ).start()

    def kill(self) -> None:
        """End it, and what it started, at once. Idempotent, from any thread."""
        with self._lock:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)

    def _wait(self) -> None:
        if sys.platform == "linux":
            # Not reaped yet, so that its number is nobody else's.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        self.kill()  # what it left behind would keep the socket open
        with self._lock:
            self._process.wait()
            self._reaped = True
        self.channel.end()

    def _receive(
        self,
        received: Callable[[Message], None],
        broken: Callable[[str], None],
        ended: Callable[[int], None],
    ) -> None:
        try:
            while (message := self.channel.receive()) is not None:
                received(message)
        except Exception as error:  # noqa: BLE001 - a supervisor: what runs there is not trusted
            broken(f"the model process cannot be understood: {error!r:.500}")
        finally:
            self.kill()
            self._waiter.join()
            self.channel.close()
            self.outbound.close()
            self.inbound.close()
            ended(self._process.returncode)


def describe_end(status: int) -> str:
    """What became of a process, for a person."""
    if status >= 0:
        return f"the model process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = "; is the memory used up?" if status == -signal.SIGKILL else ""
    return f"the model process was ended by {name}{hint}"
