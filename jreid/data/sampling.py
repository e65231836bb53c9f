"""Which images a batch holds: parts that make a function from the step to rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.data.views import View, check_views, families, modality_of
from jreid.shapes import Int

# A step's rows of every view, which depend on the step alone; as many in every step.
Sampler = Callable[[int], dict[str, Int[np.ndarray, " n"]]]


@dataclass(slots=True)
class PerModality:
    """P identities with K images of each view (AGW `utils.py`, IdentitySampler).

    The identities are distinct, drawn uniformly from those with images of all
    modalities that are needed; an identity's K rows follow each other, and row i of
    all views shows one identity. The K images are distinct where the identity has that
    many; where it has fewer, each is used as evenly as can be. (AGW draws with
    replacement always.) Views of one modality share what is drawn, so that they show
    distinct images where there are enough.
    """

    identities: int = 8
    """P, identities in a batch."""
    images: int = 4
    """K, images per identity in every view."""
    epoch: Literal["larger", "pairs", "identities"] = "larger"
    """larger: in an epoch are as many batches as the larger modality fills; pairs: as
    many as are filled by K images of each modality, of every identity for as long as
    its rarer modality lasts (MPANet); identities: each identity is in one batch, the
    last ones that fill none apart (VSD)."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        _check_counts(self.identities, self.images)

    def make(
        self,
        images: Images,
        views: Mapping[str, View],
        seed: int,
        labels: Int[np.ndarray, " n"] | None = None,
    ) -> Sampler:
        """A function from the step to the rows of `images` in each view.

        Args:
            images: the training images.
            views: the columns of a batch, each of one modality.
            seed: of the whole run, not negative.
            labels: what is drawn as an identity instead of `images.ids`; images with
                -1 are not drawn.

        Raises:
            ValueError: a field, a seed or a view that is not allowed, or fewer than P
                identities with images of all modalities.
        """
        ids = _prepared(self, images, views, seed, labels)
        shown = _views_by_modality(views)
        if "" in shown:
            raise ValueError(
                f"views.{shown[''][0]} has no modality, which PerModality needs; set "
                "modality, or use the sampling ByIdentity"
            )
        candidates = [
            _rows_by_identity(ids, images.modality == MODALITY_NAMES.index(modality))
            for modality in shown
        ]
        shared = sorted(set.intersection(*(set(rows) for rows in candidates)))
        self._check_enough(len(shared), ids, tuple(shown))

        def sample(step: int) -> dict[str, np.ndarray]:
            rng = np.random.default_rng([seed, step])
            chosen = self._chosen(rng, len(shared), seed, step)
            drawn: dict[str, list] = {name: [] for name in families(views)}
            for identity in (shared[i] for i in chosen):
                for names, rows in zip(shown.values(), candidates, strict=True):
                    _draw_for(rng, names, rows[identity], self.images, drawn)
            return _with_repeats(views, drawn)

        return sample

    def _chosen(self, rng, there: int, seed: int, step: int) -> Int[np.ndarray, " p"]:
        if self.epoch != "identities":
            return rng.choice(there, self.identities, replace=False)
        turn, place = divmod(step, there // self.identities)
        order = np.random.default_rng([seed, 0, turn]).permutation(there)
        return order[place * self.identities :][: self.identities]

    def steps_per_epoch(self, images: Images) -> int:
        """Batches after which the larger modality has been drawn once on average.

        floor(N / (P K)) + 1 with N the larger of the two counts (AGW `utils.py` and
        `train.py`): 696 on SYSU-MM01 with P = 8, K = 4; 65 on RegDB, 86 with P = 6.
        With `epoch` "pairs", the sum of floor(n / K) over identities, n the smaller of
        their two counts, over P: 34 on RegDB with P = 12, K = 5. With "identities",
        floor(identities / P): 24 on SYSU-MM01 with P = 16.
        """
        if self.epoch == "identities":
            there = [set(images.ids[images.modality == m]) - {-1} for m in (0, 1)]
            return max(len(set.intersection(*there)) // self.identities, 1)
        if self.epoch == "pairs":
            numbers = np.unique(images.ids, return_inverse=True)[1]
            counts = [
                np.bincount(numbers[images.modality == m], minlength=numbers.max() + 1)
                for m in range(len(MODALITY_NAMES))
            ]
            groups = int((np.minimum(*counts) // self.images).sum())
            return max(groups // self.identities, 1)
        largest = int(np.bincount(images.modality, minlength=2).max())
        return largest // (self.identities * self.images) + 1

    def _check_enough(self, there: int, ids: np.ndarray, shown: Sequence[str]) -> None:
        what = f"{' and '.join(shown)} images"
        count = len(np.unique(ids[ids != -1]))
        if not there:
            raise ValueError(
                f"none of the {count} training identities has {what}; a batch needs "
                f"identities with {'both' if len(shown) > 1 else 'them'}"
            )
        _check_identities(self.identities, there, count, what)


@dataclass(slots=True)
class ByIdentity:
    """P identities with K images of whatever modality, blind to it.

    Views of mixed columns share P distinct identities, drawn uniformly, and what is
    drawn of their images, as in `PerModality`. A view of one modality draws its
    identities among those with such images, apart from the views of others (ADCA's two
    samplers, where clusters are found in each modality on its own).
    """

    identities: int = 8
    """P, identities in a view."""
    images: int = 8
    """K, images per identity in a view."""
    epoch: Literal["images", "groups"] = "images"
    """images: in an epoch are as many batches as all images fill; groups: as many as
    are filled by an identity's images in groups of K, of which one with fewer than K
    has one (MCJA)."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        _check_counts(self.identities, self.images)

    def make(
        self,
        images: Images,
        views: Mapping[str, View],
        seed: int,
        labels: Int[np.ndarray, " n"] | None = None,
    ) -> Sampler:
        """A function from the step to the rows of `images` in each view.

        Args and Raises: as `PerModality.make`, but views may be mixed.
        """
        ids = _prepared(self, images, views, seed, labels)
        shown = _views_by_modality(views)
        candidates = {}
        for modality in shown:
            used = np.ones(len(ids), bool)
            if modality:
                used = images.modality == MODALITY_NAMES.index(modality)
            candidates[modality] = list(_rows_by_identity(ids, used).values())
            there, what = len(candidates[modality]), f"{modality} images".strip()
            count = len(np.unique(ids[ids != -1]))
            _check_identities(self.identities, there, count, what)

        def sample(step: int) -> dict[str, np.ndarray]:
            rng = np.random.default_rng([seed, step])
            drawn: dict[str, list] = {name: [] for name in families(views)}
            for modality, names in shown.items():
                rows = candidates[modality]
                for i in rng.choice(len(rows), self.identities, replace=False):
                    _draw_for(rng, names, rows[i], self.images, drawn)
            return _with_repeats(views, drawn)

        return sample

    def steps_per_epoch(self, images: Images) -> int:
        """Batches of P K images after which all were drawn once on average, and one.

        With `epoch` "groups", the sum of max(floor(n / K), 1) over identities of n
        images, over P: 243 on SYSU-MM01 with P = 8, K = 16; 51 on RegDB with P = 4,
        K = 32. MCJA's sampler goes through the groups themselves, so that an identity
        is in as many batches of an epoch as it has groups, no image in two of them, and
        ends where fewer than P identities have one left (242 or 243 on SYSU-MM01); here
        all identities are as likely in every batch.
        """
        if self.epoch == "groups":
            counts = np.unique(images.ids, return_counts=True)[1]
            groups = int(np.maximum(counts // self.images, 1).sum())
            return max(groups // self.identities, 1)
        return len(images) // (self.identities * self.images) + 1


def _check_counts(identities: int, images: int) -> None:
    for name, value in (("identities", identities), ("images", images)):
        if value < 1:
            raise ValueError(f"{name} is {value}; allowed is 1 and more")


def _check_identities(asked: int, there: int, count: int, what: str) -> None:
    if there < asked:
        raise ValueError(
            f"a batch of identities = {asked} (P) is asked for, but only {there} of "
            f"the {count} training identities have {what}; set identities to at most "
            f"{there}, on the command line with --config.sampling.identities={there}"
        )


def _prepared(
    part: "PerModality | ByIdentity",
    images: Images,
    views: Mapping[str, View],
    seed: int,
    labels: np.ndarray | None,
) -> np.ndarray:
    """What is drawn as an identity, per image, after a look at the arguments."""
    part.check()
    check_views(views)
    if seed < 0:
        raise ValueError(f"seed is {seed}; allowed is 0 and more")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"there are {len(labels)} labels for {len(images)} images")
    return images.ids if labels is None else labels


def _views_by_modality(views: Mapping[str, View]) -> dict[str, list[str]]:
    """Modality ("": mixed) -> the views with images of their own, both in order."""
    shown: dict[str, list[str]] = {}
    for name in families(views):
        shown.setdefault(modality_of(views[name]), []).append(name)
    return shown


def _rows_by_identity(
    ids: Int[np.ndarray, " n"], used: np.ndarray
) -> dict[int, Int[np.ndarray, " m"]]:
    """Identity, by number -> its rows among the used ones; -1 is no identity."""
    rows = np.flatnonzero(used & (ids != -1))
    rows = rows[np.argsort(ids[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(ids[rows])) + 1
    return {int(ids[own[0]]): own for own in np.split(rows, starts) if len(own)}


def _draw_for(
    rng: np.random.Generator,
    names: Sequence[str],
    rows: Int[np.ndarray, " n"],
    count: int,
    drawn: dict[str, list],
) -> None:
    """`count` of `rows` for each view: random, repeated only after all were used."""
    order = drawn_evenly(rng, rows, count * len(names))
    for i, name in enumerate(names):
        drawn[name].append(order[i * count : (i + 1) * count])


def drawn_evenly(
    rng: np.random.Generator, values: Int[np.ndarray, " n"], count: int
) -> Int[np.ndarray, " c"]:
    """`count` of the values in random order, repeated only after all were drawn."""
    rounds = -(-count // len(values))
    return np.concatenate([rng.permutation(values) for _ in range(rounds)])[:count]


def _with_repeats(
    views: Mapping[str, View], drawn: Mapping[str, list]
) -> dict[str, np.ndarray]:
    """Every view's rows, in the views' order."""
    rows = {name: np.concatenate(parts) for name, parts in drawn.items()}
    return {name: rows[view.same_image_as or name] for name, view in views.items()}
