"""When a training will end, told once, as soon as its speed is known."""

import time

from jreid.progress import duration

STEPS, SECONDS = 20, 30.0  # measured: so many steps, or so long
LEAST = 3  # steps


class EndTime:
    """Measures the first steps after the one that waited for compilation.

    Args:
        total: the number of the last step.
    """

    def __init__(self, total: int):
        self._total = total
        self._first: tuple[int, float] | None = None
        self._told = False

    def after(self, step: int) -> str:
        """To be called after every step; once a line for the user, else ""."""
        now = time.monotonic()
        if self._first is None:
            self._first = step, now
        first, begun = self._first
        steps, seconds = step - first, now - begun
        if self._told or (steps < STEPS and not (steps >= LEAST and seconds > SECONDS)):
            return ""
        self._told = True
        if step >= self._total or not seconds:
            return ""
        left = (self._total - step) * seconds / steps
        return (
            f"training ends about {clock(left)}, in {duration(left)}, at "
            f"the speed of steps {first + 1} to {step} (validation not counted)"
        )


def clock(left: float) -> str:
    """When `left` seconds have passed: `14:05` today, else `Sat 28 Nov 14:05`."""
    now = time.time()
    then, today = time.localtime(now + left), time.localtime(now)
    is_today = (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M" if is_today else "%a %d %b %H:%M", then)
