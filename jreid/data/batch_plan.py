"""Which images with which seeds are in one process's share of every step's batch."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from jreid.data.rows import groups as groups_of
from jreid.data.rows import positions
from jreid.data.sampling import Sampler
from jreid.data.views import View, families
from jreid.shapes import Int

Family = tuple[str, ...]  # a view, and those that repeat its images


class BatchPlan:
    """Which rows with which seeds are in the own share of every step's columns.

    Args:
        sampler: gives a step's rows of every view.
        views: the columns.
        seed: of the run.
        step: whose columns tell how long those of every step are.
        groups: which of a batch's `rows.groups` are the own share; None: all.
    """

    def __init__(
        self,
        sampler: Sampler,
        views: Mapping[str, View],
        seed: int,
        step: int,
        groups: slice | None,
    ):
        self._sampler = functools.lru_cache(maxsize=8)(sampler)
        self._seed = seed
        self._lengths = {name: len(rows) for name, rows in sampler(step).items()}
        self._positions = positions(self._lengths)
        shares = range(groups_of(self._lengths.values()))
        own = shares[groups or slice(None)]
        self._own = {
            name: slice(*(length // len(shares) * i for i in (own.start, own.stop)))
            for name, length in self._lengths.items()
        }
        # Own length of columns -> those that have it, which are made row by row
        # together: fewer and larger elements are faster.
        self.blocks: dict[int, list[Family]] = {}
        for name, family in families(views).items():
            count = self._own[name].stop - self._own[name].start
            self.blocks.setdefault(count, []).append(family)

    def rows(self, step: int) -> dict[str, Int[np.ndarray, " n"]]:
        """The own rows of each view."""
        every = self._sampler(step)
        lengths = {name: len(rows) for name, rows in every.items()}
        if lengths != self._lengths:
            raise ValueError(
                f"the sampler gives columns of {lengths} images in step {step}, of "
                f"{self._lengths} before; a run's batches have one size"
            )
        return {name: rows[self._own[name]] for name, rows in every.items()}

    def elements(
        self, block: Sequence[Family], steps: range, modality: np.ndarray
    ) -> tf.data.Dataset:
        """{"rows" [f], "modality" [f], "seeds" [v 2]} of every row of the columns.

        They are f families of v views in all: an image for each family, a seed for
        each view.
        """
        batch = sum(self._lengths.values())
        names = [name for family in block for name in family]
        places = np.stack([self._positions[n][self._own[n]] for n in names], axis=1)

        def draw(step: np.int64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            own = self.rows(int(step))
            rows = np.stack([own[family[0]] for family in block], axis=1)
            # A number that no other image of the run has, beside the run's seed.
            numbers = int(step) * batch + places
            seeds = np.stack([np.full_like(numbers, self._seed), numbers], axis=-1)
            return rows.astype(np.int64), modality[rows].astype(np.int64), seeds

        @tf.autograph.experimental.do_not_convert
        def drawn(step: tf.Tensor) -> dict[str, tf.Tensor]:
            rows, kinds, seeds = tf.numpy_function(draw, [step], (tf.int64,) * 3)
            return {
                "rows": tf.ensure_shape(rows, (None, len(block))),
                "modality": tf.ensure_shape(kinds, (None, len(block))),
                "seeds": tf.ensure_shape(seeds, (None, len(names), 2)),
            }

        return tf.data.Dataset.range(steps.start, steps.stop).map(drawn).unbatch()
