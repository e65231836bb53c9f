"""Ctrl-C, SIGTERM and a closed terminal: one line and an exit code, whenever they come.

A signal raises `Stopped` where the program is. Libraries may swallow that, in a
callback or a destructor; so it is noted too, and `check` raises it again.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

# Windows has no SIGHUP, which a terminal that is closed sends.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
)
_noted = 0


class Stopped(KeyboardInterrupt):
    """Ended by a signal."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """As a shell gives it for a process that a signal ended."""
        return 128 + self.number


def check() -> None:
    """Raises `Stopped` if a signal has come, also if that was swallowed before."""
    if _noted:
        raise Stopped(_noted)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """While the block runs, the signals raise `Stopped`; in the main thread only."""
    global _noted
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    print_unraisable, sys.unraisablehook = sys.unraisablehook, _print_other
    try:
        for number in SIGNALS:
            # What was told to be ignored, as by nohup, stays so.
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, _stop)
        yield
    finally:
        _noted = 0
        sys.unraisablehook = print_unraisable
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_other(unraisable: Any) -> None:
    """Of what cannot be raised, as in a destructor, signals are noted already."""
    if not isinstance(unraisable.exc_value, Stopped):
        sys.__unraisablehook__(unraisable)


def end_quietly() -> None:
    """From now on a signal ends the process with a line: nothing has been begun yet."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _stop(number: int, frame: FrameType | None) -> None:
    global _noted
    _noted = number
    raise Stopped(number)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{Stopped(number)}\n")
        sys.stderr.flush()
    os._exit(128 + number)
