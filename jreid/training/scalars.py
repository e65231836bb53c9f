"""The scalars of the last steps: left on the device, then averaged and checked."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np
from absl import logging

T = TypeVar("T")


COLLAPSED = 20  # steps with next to no gradient after which a player is said dead
FAINT = 1e-6  # next to none: of the largest gradient that the player has had


class DivergedError(ArithmeticError):
    """A term of the objective became NaN or infinite, or a player stopped learning."""


class ScalarWindow:
    """Collects each step's scalars since the last report, without waiting for them."""

    def __init__(
        self,
        first_step: int,
        explain: Callable[[int], str] | None = None,
        players: Mapping[str, str] | None = None,
    ):
        """What a run's scalars are checked for.

        Args:
          first_step: its number.
          explain: gives what the error of a diverged step says besides.
          players: in the order of their turns, with the path of each one's optimiser.
        """
        self._first_step, self._explain = first_step, explain
        self._players = dict(players or {})
        # of each player the gradient's norm in the last steps, and its largest level
        self._norms = {name: deque(maxlen=COLLAPSED) for name in self._players}
        self._levels = dict.fromkeys(self._players, 0.0)
        self._leaps: dict[str, str] = {}  # what threw a player away, earliest first
        self._images = 0
        self._steps: list[dict[str, jax.Array]] = []
        self._reported = False
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leaves out of the speed whatever took time since the last report."""
        self._start = time.monotonic()
        self._waited = 0.0

    def timed(
        self, batches: Iterable[T], aside: Callable[[], float] = lambda: 0.0
    ) -> Iterator[T]:
        """The batches, with the time noted that the device had to wait for each.

        A wait that ends before the last step does costs nothing and is not counted; one
        that ends later is counted whole. `aside()` are the seconds so far that went
        into something else, as clustering, and that no speed is to hold.
        """
        iterator = iter(batches)
        while True:
            start, before = time.monotonic(), aside()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            spent = aside() - before
            self._start += spent
            if all(x.is_ready() for x in jax.tree.leaves(self._steps[-1:])):
                self._waited += time.monotonic() - start - spent
            yield batch

    def add(self, scalars: dict[str, jax.Array], images: int) -> None:
        """Notes one step of so many images, which count for the speed.

        Waits for the step before it, so that one is in flight.
        """
        if self._steps:
            jax.block_until_ready(self._steps[-1])
        self._steps.append(scalars)
        self._images += images

    def means(self) -> dict[str, float]:
        """Means since the last call; waits for the device.

        Besides `images_per_second`, and `input_wait`, the fraction of the time in which
        the device waited for the next batch, in [0, 1].

        Raises:
          DivergedError: naming the first step and term that is not finite, or the
            player whose gradient was in `COLLAPSED` steps in a row at most `FAINT` of
            its largest level in this process: the median of as many steps, since a
            single one may be far too large. A rest interrupts the row.
        """
        fetched = jax.device_get(self._steps)  # the sync point
        seconds = time.monotonic() - self._start
        for step, scalars in enumerate(fetched, start=self._first_step):
            self._check_finite(step, scalars)
            self._check_players(step, scalars)
        # Phases of a run may have different terms.
        names = dict.fromkeys(name for scalars in fetched for name in scalars)
        means = {
            name: float(np.mean([s[name] for s in fetched if name in s]))
            for name in names
        }
        if not self._reported:
            self._reported = True
            _warn_of_idle_terms(fetched)
        speed = {
            "images_per_second": self._images / seconds,
            "input_wait": min(self._waited / seconds, 1.0),
        }
        self._first_step += len(fetched)
        self._steps, self._images = [], 0
        self.restart_clock()
        return means | speed

    def _check_finite(self, step: int, scalars: dict[str, np.ndarray]) -> None:
        # Terms before their sum, which is not finite because one of them is not; and
        # players in the order of their turns, as each sees what those before it did.
        turns = list(self._players)

        def order(name):
            player = name.partition("/")[0]
            turn = turns.index(player) if player in turns else len(turns)
            return turn, "loss/" not in name

        for name in sorted(scalars, key=order):
            value, player = scalars[name], name.partition("/")[0]
            if not np.isfinite(value):
                raise DivergedError(self._exploded(step, name, value))
            if player in turns and name.endswith("/update_ratio") and value > 1:
                told = f"step {step} moved its parameters by {value:.1e} times their"
                self._leaps.setdefault(player, f"{told} norm")

    def _exploded(self, step: int, name: str, value: np.ndarray) -> str:
        # who was thrown away first: others, whose turn is earlier, may be first to see
        player, *_ = *self._leaps, name.partition("/")[0]
        is_player = player in self._players
        optimizer = self._players[player] if is_player else "optimizer"
        who = f"the player {player} has exploded: " if is_player else ""
        return (
            f"{who}{self._leap(player)}{name} is {value} at step {step}. Lower "
            f"--config.{optimizer}.lr or set --config.{optimizer}.clip_norm, in "
            f"another --workdir{self._more(step)}"
        )

    def _leap(self, player: str) -> str:
        return f"{self._leaps[player]}, and " if player in self._leaps else ""

    def _check_players(self, step: int, scalars: dict[str, np.ndarray]) -> None:
        for player, optimizer in self._players.items():
            norm, last = scalars.get(f"{player}/grad_norm"), self._norms[player]
            if norm is None:  # it rests in this phase
                last.clear()
                continue
            last.append(float(norm))
            middle = sorted(last)[(len(last) - 1) // 2]
            level = self._levels[player] = max(self._levels[player], middle)
            largest = max(last)
            if len(last) < COLLAPSED or largest > FAINT * level:
                continue
            remedy = (
                f"Lower --config.{optimizer}.lr"
                if player in self._leaps
                else "Lower the rate of what it plays against, or raise "
                f"--config.{optimizer}.lr"
            )
            size = f"at most {largest:.1e}, once {level:.1e}," if largest else "0"
            raise DivergedError(
                f"the player {player} has collapsed: {self._leap(player)}"
                f"{player}/grad_norm is {size} in the {COLLAPSED} steps up to {step}. "
                f"{remedy}, in another --workdir{self._more(step)}"
            )

    def _more(self, step: int) -> str:
        return f". {self._explain(step)}" if self._explain else ""


def _warn_of_idle_terms(steps: Sequence[Mapping[str, np.ndarray]]) -> None:
    """One warning of the terms that were exactly 0 in each of the first steps."""
    names = dict.fromkeys(n for scalars in steps for n in scalars if "loss/" in n)
    idle = [n for n in names if not any(scalars.get(n, 0) for scalars in steps)]
    if idle:
        logging.warning(
            "%s was 0 in each of the first %d steps: it does not act. With one identity"
            " in a batch (--config.sampling.identities=) terms that compare people "
            "cannot",
            ", ".join(idle),
            len(steps),
        )
