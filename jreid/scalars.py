"""The scalars of the last steps: left on the device, then averaged and checked."""

import time

import jax
import numpy as np


class DivergedError(ArithmeticError):
    """A term of the objective became NaN or infinite."""


class ScalarWindow:
    """Collects each step's scalars since the last report, without waiting for them."""

    def __init__(self, first_step: int, images_per_step: int):
        self._images_per_step = images_per_step
        self._restart(first_step)

    def add(self, scalars: dict[str, jax.Array]) -> None:
        """Notes one step; waits for the step before it, so that one is in flight."""
        if self._steps:
            jax.block_until_ready(self._steps[-1])
        self._steps.append(scalars)

    def means(self) -> dict[str, float]:
        """Means since the last call and `images_per_second`; waits for the device.

        Raises:
          DivergedError: naming the first step and term that is not finite.
        """
        fetched = jax.device_get(self._steps)  # the sync point
        for step, scalars in enumerate(fetched, start=self._first_step):
            for name, value in _terms_first(scalars):
                if not np.isfinite(value):
                    raise DivergedError(
                        f"{name} is {value} at step {step}; the last checkpoint is "
                        "intact. Lower --config.optim.lr or set "
                        "--config.optim.clip_norm, in another --workdir"
                    )
        count = len(fetched)
        seconds = time.perf_counter() - self._start
        means = {
            name: float(np.mean([scalars[name] for scalars in fetched]))
            for name in fetched[0]
        }
        self._restart(self._first_step + count)
        return means | {"images_per_second": count * self._images_per_step / seconds}

    def _restart(self, first_step: int) -> None:
        self._first_step = first_step
        self._start = time.perf_counter()
        self._steps: list[dict[str, jax.Array]] = []


def _terms_first(scalars):
    """The terms before their sum, which is not finite because one of them is not."""
    return sorted(scalars.items(), key=lambda item: not item[0].startswith("loss/"))
