"""Who of a run's processes is lost: each says so, by name, and ends.

JAX itself notices a lost process too, but then aborts without naming it, or, within a
collective, waits. Here every process holds one TCP connection to process 0. The
operating system closes it at once when a process ends in whatever way; where a machine
or the network fails, the bytes sent every second stay away.
"""

import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import socket
import threading
import time

from jreid.streams import say

PERIOD = 1.0  # seconds between two signs of life
GRACE = 3.0  # seconds to say oneself what another process has failed of as well

# Seconds between a last word and the end: bytes that arrive unread would reset the
# connection, and what was told with it.
UNREAD = PERIOD / 2

FAILED = 2  # exit code

REMEDY = (
    "Every process of the run has to stop: start the same command on all hosts again, "
    "it continues from the last checkpoint"
)


class Watch:
    """One process's part; `listen` or `connect` begins it, `leave` or `fail` ends it.

    Args:
        number: of this process.
        hosts: of all processes, in their order.
        timeout: seconds without a sign of life after which a process is lost.
    """

    def __init__(self, number: int, hosts: list[str], timeout: float):
        self.number, self.hosts, self.timeout = number, hosts, timeout
        self._peers: dict[int, socket.socket] = {}
        self._left: set[int] = set()  # processes that have done their work
        self._leaving = threading.Event()
        self._all_left = threading.Event()
        self._ending = threading.Lock()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def listen(self, server: socket.socket, token: str) -> None:
        """Process 0: waits on a bound socket for all others, then watches them."""
        server.settimeout(self.timeout)
        greetings = {_hello(n, token): n for n in range(1, len(self.hosts))}
        try:
            while len(self._peers) < len(self.hosts) - 1:
                connection, _ = server.accept()
                number = greetings.get(_first_line(connection))
                if number is None:  # a stranger
                    connection.close()
                else:
                    self._peers[number] = connection
        except TimeoutError as error:
            missing = set(greetings.values()) - self._peers.keys()
            names = ", ".join(self._name(number) for number in sorted(missing))
            raise ConnectionError(f"no connection from {names} ({error})") from error
        finally:
            server.close()
        self._start()

    def connect(self, host: str, port: int, token: str) -> None:
        """Any other process: connects to process 0 and watches it."""
        try:
            connection = socket.create_connection((host, port), self.timeout)
        except OSError as error:
            raise ConnectionError(
                f"no connection to {self._name(0)} at {host}:{port}: {error}"
            ) from error
        connection.sendall(_hello(self.number, token))
        self._peers[0] = connection
        self._start()

    def fail(self, reason: str) -> None:
        """Tells the others why this process ends."""
        self._leaving.set()
        self._tell({"failed": self.number, "reason": reason[:2000]})
        time.sleep(UNREAD)

    def leave(self) -> None:
        """Tells the others that this process is done, and watches until all are."""
        if self.number:
            self._tell({"left": self.number})
            self._leaving.wait()
        else:
            self._note_left(0)
            self._all_left.wait()
            self._leaving.set()
            self._tell({"left": 0})
        self._beating.join()
        faulthandler.cancel_dump_traceback_later()

    def _start(self) -> None:
        self._beating.start()
        for number, connection in self._peers.items():
            arguments = (number, connection)
            threading.Thread(target=self._read, args=arguments, daemon=True).start()

    def _beat(self) -> None:
        beating = True
        while beating:
            # Ends this process, printing where it is, unless called again in time: when
            # native code hangs, which keeps Python's threads from noticing anything,
            # and when it has failed but a thread of it waits for a lost process.
            faulthandler.dump_traceback_later(self.timeout, exit=True)
            self._tell({})
            beating = not self._leaving.wait(PERIOD)

    def _read(self, number: int, connection: socket.socket) -> None:
        """Follows one connection until it ends."""
        connection.settimeout(self.timeout)
        silence = "its connection was closed"
        try:
            for line in connection.makefile("r"):
                message = json.loads(line)
                if "left" in message:
                    self._note_left(number)
                elif message.get("failed", self.number) != self.number:
                    self._end(message["failed"], message["reason"], failed=True)
                elif "lost" in message:
                    self._end(message["lost"], message["reason"])
        except TimeoutError:
            silence = f"no sign of life for {self.timeout:g} seconds"
        except ConnectionError:
            pass  # reset, where bytes were on their way: closed as well
        except (OSError, ValueError) as error:
            silence = str(error)
        if not self._leaving.is_set():
            self._end(number, silence)

    def _note_left(self, number: int) -> None:
        self._left.add(number)
        if self.number:  # process 0 is the last to say so
            self._leaving.set()
        elif len(self._left) == len(self.hosts):
            self._all_left.set()

    def _end(self, number: int, reason: str, *, failed: bool = False) -> None:
        """Ends this process, after the others were told."""
        with self._ending:  # never released: the first reason counts
            self._tell({"failed" if failed else "lost": number, "reason": reason})
            time.sleep(GRACE if failed else UNREAD)
            what = "failed" if failed else "is lost"
            say(f"error: {self._name(number)} {what}: {reason}. {REMEDY}")
            os._exit(FAILED)

    def _name(self, number: int) -> str:
        count = len(self.hosts)
        return f"process {number} (of 0 to {count - 1}) on host {self.hosts[number]}"

    def _tell(self, message: dict[str, object]) -> None:
        for connection in list(self._peers.values()):
            with contextlib.suppress(OSError):  # its reader notices
                _send(connection, message)


def wait_for_verdict(timeout: float) -> None:
    """After a collective broke off: time for the watch to name the lost process."""
    time.sleep(timeout + 2 * PERIOD)


def _hello(number: int, token: str) -> bytes:
    return f"{number} {token}\n".encode()


def _first_line(connection: socket.socket) -> bytes:
    connection.settimeout(GRACE)
    line = b""
    with contextlib.suppress(OSError):
        while not line.endswith(b"\n") and len(line) < 100:
            part = connection.recv(1)
            if not part:
                break
            line += part
    return line


def _send(connection: socket.socket, message: dict[str, object]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def delay_abort() -> None:
    """Gives the watch six seconds before JAX's own abort when process 0 is lost.

    JAX's client ends its process by abort() a millisecond after the same event. The
    handler is the C library's sleep itself, which may be called in a signal handler
    and takes the signal's number for seconds; abort() goes on when it returns.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(signal.SIGABRT, ctypes.cast(libc.sleep, ctypes.c_void_p))
