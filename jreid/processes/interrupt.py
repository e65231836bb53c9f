"""Turns signals into a request that a loop can answer between two steps."""

import signal
from types import FrameType

from jreid.stopping import SIGNALS

HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


class Interrupt:
    """While the block runs, the first of `stopping.SIGNALS` is only noted.

    A second one has its usual effect, so that a hanging step can still be ended; but
    not SIGHUP, which a closed terminal sends twice, through its shell and by itself.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._previous: dict[int, object] = {}

    @property
    def number(self) -> int:
        """Of the signal that has come, 0 while there is none."""
        return self._signal or 0

    def __enter__(self) -> "Interrupt":
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = self._signal or number
        for other, handler in self._previous.items():
            if other != HANGUP:
                signal.signal(other, handler)  # type: ignore[arg-type]
