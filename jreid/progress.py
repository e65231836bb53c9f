"""Progress of a long loop: a bar on a terminal, now and then a line elsewhere.

Not tqdm's, which where there is no terminal writes its bar anew behind carriage
returns, and counts the compilation of the first step into the speed.
"""

import collections
import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from jreid import stopping
from jreid.streams import Stream, say

T = TypeVar("T")

REDRAW = 0.1  # seconds between two pictures of the bar
LINES = 10.0  # seconds between two lines where there is no terminal
SAMPLES = 60  # over which the speed is measured ...
SPACING = 0.25  # ... this many seconds apart


class Progress:
    """Shows how far a loop is; a context manager that ends the line.

    Args:
        total: number of steps.
        label: what is going on ("train").
        per_step, unit: speed is shown as `per_step` times the steps per second.
        stream: standard error by default. On a terminal one line is redrawn, never
            wider than the terminal; elsewhere a line is written every ten seconds.
            Where it cannot be written any more, the loop goes on without.
    """

    shown = True  # of several processes of one run all but the first are silent

    def __init__(
        self,
        total: int,
        label: str,
        *,
        per_step: int = 1,
        unit: str = "steps",
        stream: Stream | None = None,
    ):
        self.total, self.label = total, label
        self.per_step, self.unit = per_step, unit
        default = sys.stderr if self.shown else io.StringIO()
        self._stream = default if stream is None else stream
        self._terminal = self._stream.isatty()
        self._step, self._text = 0, ""
        self._samples = collections.deque[tuple[float, int]](maxlen=SAMPLES)
        self._shown = -float("inf")  # when
        self._shown_line = ""

    def update(self, step: int, text: str = "") -> None:
        """Notes that `step` steps are done; `text` ("loss 5.1") stays until changed."""
        stopping.check()  # a library may have swallowed it
        now = time.monotonic()
        self._step, self._text = step, text or self._text
        # The first update starts the clock: the time before it is compilation.
        if not self._samples or now - self._samples[-1][0] >= SPACING:
            self._samples.append((now, step))
        if now - self._shown >= (REDRAW if self._terminal else LINES):
            self._shown = now
            self._show()

    def restart(self, per_step: int) -> None:
        """Measures the speed anew, of steps of another kind."""
        self.per_step = per_step
        self._samples.clear()

    def message(self, text: str) -> None:
        """Writes a line of its own above the bar."""
        say(self._blank() + text, self._stream)
        if self._terminal and self._shown_line:
            self._show()

    def close(self) -> None:
        """Shows the last state and ends the line."""
        if self._step and self._line(0) != self._shown_line:
            self._show()
        if self._terminal and self._shown_line:
            say("", self._stream)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _show(self) -> None:
        if not self._terminal:
            self._shown_line = self._line(0)
            say(self._shown_line, self._stream)
            return
        # One column stays free: a full line would wrap on some terminals.
        width = self._columns() - 1
        line = self._line(20)
        line = (line if len(line) <= width else self._line(0))[:width]
        say(self._blank() + line, self._stream, end="")
        self._shown_line = line

    def _blank(self) -> str:
        """Takes what is shown off a terminal."""
        if not (self._terminal and self._shown_line):
            return ""
        return f"\r{' ' * min(len(self._shown_line), self._columns() - 1)}\r"

    def _columns(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        return 80

    def _line(self, bar: int) -> str:
        done = self._step / self.total if self.total else 1.0
        filled = int(bar * min(done, 1.0))
        word = "step " if self.unit == "steps" or self.per_step > 1 else ""
        parts = [f"{self.label} {done:4.0%}", f"{word}{self._step}/{self.total}"]
        if bar:
            parts.insert(1, f"[{'#' * filled}{'.' * (bar - filled)}]")
        if self._text:
            parts.append(self._text)
        if speed := self._speed():
            rate = speed * self.per_step
            digits = 0 if rate >= 100 else 1 if rate >= 10 else 2
            parts.append(f"{rate:.{digits}f} {self.unit}/s")
            if self._step < self.total:
                parts.append(f"ETA {duration((self.total - self._step) / speed)}")
        return "  ".join(parts)

    def _speed(self) -> float:
        """Steps per second over the last samples, 0 while it is unknown."""
        if not self._samples:
            return 0.0
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start else 0.0


@contextlib.contextmanager
def counted_tables(total: int) -> Iterator[Callable[[str, float], None]]:
    """A bar over tables of scores; the protocols tell of each how much is done."""
    begun = -1
    with Progress(total, "score", unit="tables") as bar:

        def tell(name: str, share: float) -> None:
            nonlocal begun
            begun += share == 0
            bar.update(begun, f"{name} {share:.0%}" if share else name)

        yield tell
        bar.update(total, "done")


def duration(seconds: float) -> str:
    """`0:07`, `12:34` or `1:02:03`, rounded to seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
