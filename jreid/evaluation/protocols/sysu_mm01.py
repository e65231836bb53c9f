"""SYSU-MM01: infrared seeks visible, among all or indoor cameras, in two draws."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jreid.evaluation.official_draw import (
    OfficialDraw,
    official_gallery,
    read_permutations,
    shipped_draw,
)
from jreid.evaluation.protocols.protocol import (
    Columns,
    Options,
    Setting,
    check_no_legacy,
    check_trials,
    needed,
    rows_in_words,
)
from jreid.evaluation.protocols.trial import (
    NOWHERE,
    Trial,
    check_lengths,
    draw_from,
    files_of,
)
from jreid.shapes import Int

SYSU_QUERY_CAMERAS = (3, 6)  # infrared
SYSU_GALLERY_CAMERAS = {"all": (1, 2, 4, 5), "indoor": (1, 2)}  # visible


@dataclass(frozen=True, slots=True)
class SysuProtocol:
    """SYSU-MM01's: infrared seeks visible, single- and multi-shot, two sets of cameras.

    The CMC counts each identity of the gallery once. See `sysu_trial` for the draws.
    """

    key: ClassVar[str] = "sysu"
    name: ClassVar[str] = "SYSU-MM01"
    options: ClassVar[tuple[str, ...]] = (
        *("modes", "shots"),
        *("trials", "draw", "permutations"),
    )
    count_identities: ClassVar[bool] = True

    modes: tuple[str, ...] = ()  # "all", "indoor"; (): those that the images have
    shots: tuple[int, ...] = ()  # images per identity and camera; (): 1, and 10 if can

    @property
    def splits(self) -> tuple[int, ...]:
        """There are none."""
        return ()

    def check(self, options: Options) -> None:
        """See `Protocol`."""
        check_trials(options)
        if options.draw not in ("agw", "official"):
            raise ValueError(f"draw is {options.draw!r}; allowed are agw, official")
        if options.permutations and options.draw != "official":
            raise ValueError(
                f"permutations is {options.permutations!r}, which only the official "
                "draw reads: set draw to 'official', or leave permutations empty"
            )
        check_no_legacy(self.name, options)

    def settings(self, columns: Columns, options: Options) -> list[Setting]:
        """See `Protocol`."""
        self.check(options)
        cameras = needed(columns, "cameras", self)
        _check_cameras(cameras, columns.modality)
        modes = self.modes or sysu_modes(cameras)
        shots = self.shots or sysu_shots(options.draw, options.permutations)
        official = _official(options)
        names = {1: "single-shot", 10: "multi-shot"}
        return [
            Setting(
                f"{mode}-search {names.get(count, f'{count}-shot')}",
                options.draw,
                [
                    sysu_trial(
                        ids=columns.ids,
                        cameras=cameras,
                        paths=columns.paths,
                        trial=trial,
                        mode=mode,
                        shots=count,
                        official=official,
                    )
                    for trial in range(options.trials)
                ],
            )
            for mode in modes
            for count in shots
        ]

    def example_trials(self, columns: Columns, options: Options) -> list[Trial]:
        """See `Protocol`."""
        cameras = needed(columns, "cameras", self)
        return [
            sysu_trial(
                ids=columns.ids,
                cameras=cameras,
                paths=columns.paths,
                trial=0,
                official=_official(options),
            )
        ]


def _check_cameras(
    cameras: Int[np.ndarray, " n"], modality: Int[np.ndarray, " n"] | None
) -> None:
    known = (*SYSU_QUERY_CAMERAS, *SYSU_GALLERY_CAMERAS["all"])
    other = np.flatnonzero(~np.isin(cameras, known))
    if other.size:
        raise ValueError(
            f"cameras is {cameras[other[0]]} in {rows_in_words(other)}; SYSU-MM01's"
            " are 1 to 6, of which 3 and 6 are infrared"
        )
    if modality is None:
        return
    wrong = np.flatnonzero(np.isin(cameras, SYSU_QUERY_CAMERAS) != modality)
    if wrong.size:
        row = wrong[0]
        word = ("visible", "infrared")[modality[row]]
        raise ValueError(
            f"modality is {modality[row]} ({word}) but cameras "
            f"{cameras[row]} in {rows_in_words(wrong)}; in SYSU-MM01 cameras 3 and 6"
            " are infrared, the others visible: correct one, or leave modality out"
        )


def _official(options: Options) -> OfficialDraw | None:
    if options.draw != "official":
        return None
    given = options.permutations
    return read_permutations(given) if given else shipped_draw()


def sysu_modes(cameras: Int[np.ndarray, " n"]) -> tuple[str, ...]:
    """All-search, and indoor-search where an image is of its cameras.

    A small set in SYSU-MM01's layout may lack them.
    """
    return tuple(
        mode
        for mode, of_mode in SYSU_GALLERY_CAMERAS.items()
        if mode == "all" or np.isin(cameras, of_mode).any()
    )


def sysu_shots(draw: str, permutations: object) -> tuple[int, ...]:
    """Single- and multi-shot; the official draw has multi-shot in its file alone."""
    return (1,) if draw == "official" and not permutations else (1, 10)


def sysu_trial(
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    paths: np.ndarray | None = None,
    trial: int,
    mode: str = "all",
    shots: int = 1,
    official: OfficialDraw | None = None,
) -> Trial:
    """Queries and the gallery of one trial on SYSU-MM01's test identities.

    Queries are all images of cameras 3 and 6, in input order. For a query of camera 3
    the gallery images of camera 2, which stands in the same room, are dropped, whatever
    their identity.

    The gallery is the AGW family's draw: `random.seed(trial)`; then, for each identity
    and each visible camera in ascending order, `random.choice` of the files sorted by
    path (AGW, Ye et al., TPAMI 2022). For several shots `random.sample` takes the place
    of `random.choice`, which is our reading: AGW draws one image, so there is no
    published multi-shot draw of this family. With `official` it is the data set's own
    draw: for each camera, then each identity, the first files of the fixed permutation.
    Both draws take all images where there are not enough.

    Args:
        ids, cameras, paths: columns of the test images, in any order. Without paths,
            the files of an identity and camera are taken to be sorted already.
        trial: 0 to 9 in the published protocol.
        mode: "all" draws from cameras 1, 2, 4, 5, "indoor" from 1, 2.
        shots: images per identity and camera, 1 or 10 in the published protocol.
        official: from `shipped_draw` (single-shot) or `read_permutations`.

    Raises:
        ValueError: the columns differ in length, there is no query or no gallery, or
            the official draw is not of these images.
    """
    if mode not in SYSU_GALLERY_CAMERAS or shots < 1:
        raise ValueError(
            f"mode={mode!r}, shots={shots}: mode must be one of"
            f" {list(SYSU_GALLERY_CAMERAS)} and shots at least 1"
        )
    check_lengths(ids=ids, cameras=cameras, paths=paths)
    gallery_cameras = SYSU_GALLERY_CAMERAS[mode]
    query = np.flatnonzero(np.isin(cameras, SYSU_QUERY_CAMERAS))
    candidates = np.flatnonzero(np.isin(cameras, gallery_cameras))
    if not query.size or not candidates.size:
        raise ValueError(
            f"{mode}-search has {query.size} query images (cameras"
            f" {SYSU_QUERY_CAMERAS}) and {candidates.size} gallery images (cameras"
            f" {gallery_cameras}) among {len(ids)} images of cameras"
            f" {np.unique(cameras).tolist()}: at least one of each is needed"
        )
    files = files_of(candidates, ids, cameras, paths)
    if official is None:
        gallery = draw_from(files, shots, trial)
    else:
        slots = {
            (int(cameras[rows[0]]), int(ids[rows[0]])): np.array(rows) for rows in files
        }
        gallery = official_gallery(official, slots, gallery_cameras, trial, shots)
    return Trial(
        query=query,
        gallery=gallery,
        query_place=np.where(cameras[query] == 3, 2, NOWHERE),
        gallery_place=cameras[gallery],
    )
