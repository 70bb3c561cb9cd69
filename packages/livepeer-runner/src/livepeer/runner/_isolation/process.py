"""A model process: how it is started, watched and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from livepeer.runner._isolation.channel import MAX_MESSAGE_BYTES, Channel
from livepeer.runner._isolation.secrets import environment_without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livepeer.runner._isolation.codec import Codec

M = TypeVar("M")


class ModelProcess(Generic[M]):
    """A fresh interpreter, in a session (of the system's) of its own.

    So what a terminal sends to the runner does not reach it, and what it starts itself can be
    ended with it. It ends with the thread that made this object, which must be one that lives as
    long as the process should: Linux counts by threads.

    Args:
        module: What it runs; its arguments are the file descriptor of the socket, then `fds`, then
            the number of this process.
        codec: The messages.
        received: Called on a thread of this object's with each message; what it raises ends the
            process, which cannot be understood.
        broken: Called on that thread, before the process is ended for it, with what is wrong.
        ended: Called on that thread when the process is gone; with its status, as `Popen` has it.
        fds: What else it is handed.
        environment: Variables beside those of this process, or in their place.
        max_message_bytes: Largest message.
    """

    def __init__(
        self,
        module: str,
        codec: Codec[M],
        received: Callable[[M], None],
        broken: Callable[[str], None],
        ended: Callable[[int], None],
        *,
        fds: tuple[int, ...] = (),
        environment: Mapping[str, str] | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._lock = threading.Lock()
        self._reaped = False
        self.channel, socket = Channel[M].pair(codec, max_message_bytes)
        with contextlib.closing(socket):
            handed = (socket.fileno(), *fds)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, *map(str, handed), str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=handed,
                    start_new_session=True,
                    env={**environment_without_secrets(), **(environment or {})},
                )
            except OSError:
                self.channel.close()
                raise
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

    def _let_go(self) -> None:
        """Called when the process is gone: what a subclass has for it can go too."""

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
        received: Callable[[M], None],
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
            self._let_go()
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
