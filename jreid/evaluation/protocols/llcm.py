"""LLCM: all images seek one per identity and camera, in both directions."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jreid.evaluation.protocols.protocol import (
    DIRECTIONS,
    INFRARED,
    VISIBLE,
    Columns,
    Options,
    Setting,
    check_one_draw,
    check_trials,
    needed,
)
from jreid.evaluation.protocols.trial import (
    Trial,
    check_both_modalities,
    check_lengths,
    draw_from,
    files_of,
)
from jreid.shapes import Int


@dataclass(frozen=True, slots=True)
class LLCMProtocol:
    """LLCM's, in both directions: all images seek one per identity and camera.

    As on SYSU-MM01 the CMC counts each identity of the gallery once. See `llcm_trial`.

    With the option `legacy`, from visible to infrared, query and gallery are exchanged,
    as released code does (`AGW/test.py` and `DEEN/test.py` of the LLCM authors, where
    `test_mode` is [2, 1]: all visible images and one infrared image per identity and
    camera are embedded, then the transposed similarities go into `eval_llcm` with the
    drawn infrared images as queries). Its visible-to-infrared numbers thus say how
    infrared images find visible ones. From infrared to visible there is no difference.
    That the numbers printed in papers come from this branch cannot be checked without
    the images.
    """

    key: ClassVar[str] = "llcm"
    name: ClassVar[str] = "LLCM"
    options: ClassVar[tuple[str, ...]] = ("trials", "legacy")
    count_identities: ClassVar[bool] = True

    @property
    def splits(self) -> tuple[int, ...]:
        """There are none."""
        return ()

    def check(self, options: Options) -> None:
        """See `Protocol`."""
        check_trials(options)
        check_one_draw(self.name, options)

    def settings(self, columns: Columns, options: Options) -> list[Setting]:
        """See `Protocol`."""
        self.check(options)
        draw = "one per identity and camera"
        swapped = f"{draw}, query and gallery swapped"
        return [
            Setting(
                direction,
                swapped if _swapped(modality, options) else draw,
                [
                    self._trial(columns, trial, modality, options)
                    for trial in range(options.trials)
                ],
            )
            for direction, modality in DIRECTIONS.items()
        ]

    def example_trials(self, columns: Columns, options: Options) -> list[Trial]:
        """See `Protocol`."""
        return [
            self._trial(columns, 0, modality, options)
            for modality in (INFRARED, VISIBLE)
        ]

    def _trial(
        self, columns: Columns, trial: int, query_modality: int, options: Options
    ) -> Trial:
        return llcm_trial(
            ids=columns.ids,
            cameras=needed(columns, "cameras", self),
            modality=needed(columns, "modality", self),
            paths=columns.paths,
            trial=trial,
            query_modality=query_modality,
            swapped=_swapped(query_modality, options),
        )


def _swapped(query_modality: int, options: Options) -> bool:
    return options.legacy and query_modality == VISIBLE


def llcm_trial(
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    paths: np.ndarray | None = None,
    trial: int,
    query_modality: int,
    swapped: bool = False,
) -> Trial:
    """All images of one modality against one drawn image per identity and camera.

    The gallery is drawn from the other modality: `random.seed(trial)`; then, for each
    identity and each camera in ascending order, `random.choice` of the files sorted by
    path (Zhang and Wang, CVPR 2023, `DEEN/data_manager.py: process_gallery_llcm`;
    identities are sorted as four digits, which is their order as numbers). For a query
    the gallery images of its own identity and camera are dropped
    (`AGW/eval_metrics.py: eval_llcm`). Queries left without a match are skipped.

    Args:
        ids, cameras, modality, paths: columns of the test images, in any order. Without
            paths, the files of an identity, camera and modality are taken to be sorted.
        trial: 0 to 9 in the published protocol.
        query_modality: the value of `modality` of the query images.
        swapped: exchange the two lists, so that the drawn images seek among all images
            of `query_modality`.
    """
    check_lengths(ids=ids, cameras=cameras, modality=modality, paths=paths)
    query = np.flatnonzero(modality == query_modality)
    candidates = np.flatnonzero(modality != query_modality)
    check_both_modalities(query, candidates, query_modality)
    gallery = draw_from(files_of(candidates, ids, cameras, paths), 1, trial)
    if swapped:
        query, gallery = gallery, np.concatenate(files_of(query, ids, cameras, paths))
    places = np.unique(np.stack([ids, cameras]), axis=1, return_inverse=True)[1].ravel()
    return Trial(
        query=query,
        gallery=gallery,
        query_place=places[query],
        gallery_place=places[gallery],
    )
