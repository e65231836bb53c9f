"""How many people and images the published data sets have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jreid.data.datasets import INFRARED, VISIBLE, Dataset, Images

Counts = tuple[int, int, int]  # people, visible images, infrared images


@dataclass(frozen=True)
class Published:
    """A data set's own numbers."""

    name: str
    source: str
    parts: Mapping[str, Counts]
    is_meant: Callable[[Path], bool]
    """Whether the lists in a folder are those of the data set, not of a look-alike."""


def _words(path: Path) -> int:
    return len(path.read_text().replace(",", " ").split())


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _is_sysu(root: Path) -> bool:
    lists = (("train", 296), ("val", 99), ("test", 96))
    return all(_words(root / "exp" / f"{part}_id.txt") == n for part, n in lists)


SYSU = Published(
    "SYSU-MM01",
    "Wu et al., ICCV 2017, and the data set's own lists",
    {
        "train": (395, 22_258, 11_909),
        "val": (99, 1_974, 1_980),
        "test": (96, 6_775, 3_803),
    },
    _is_sysu,
)
REGDB = Published(
    "RegDB",
    "Nguyen et al., Sensors 2017, and the ten splits of Ye et al., AAAI 2018",
    {"train": (206, 2_060, 2_060), "test": (206, 2_060, 2_060)},
    lambda root: _lines(root / "idx" / "train_visible_1.txt") == 2_060,
)
LLCM = Published(
    "LLCM",
    "Zhang and Wang, CVPR 2023",
    {"train": (713, 16_946, 13_975), "test": (351, 8_680, 7_166)},
    lambda root: _words(root / "idx" / "test_id.txt") == 351,
)
WITHOUT_VAL = {"train": (296, 20_284, 9_929)}


def published_for(part: Any) -> Published | None:
    """The numbers that a config's data set is to have; None: it is one's own."""
    found = {"sysu_mm01": SYSU, "regdb": REGDB, "llcm": LLCM}.get(part.key)
    if found is SYSU and not part.train_on_val:
        parts = {**SYSU.parts, **WITHOUT_VAL}
        return Published(SYSU.name, SYSU.source, parts, SYSU.is_meant)
    return found


def differences(published: Published, dataset: Dataset) -> list[str]:
    """In words, each part that has other numbers."""
    told = []
    for name, expected in published.parts.items():
        found = counts_of(getattr(dataset, name))
        kinds = ("people", "visible images", "infrared images")
        differ = [
            f"{here:,} of {there:,} {kind}"
            for here, there, kind in zip(found, expected, kinds, strict=True)
            if here != there
        ]
        if differ:
            told.append(f"{name} has {', '.join(differ)}")
    return told


def counts_of(images: Images) -> Counts:
    """People, visible and infrared images."""
    people = len({int(identity) for identity in images.ids})
    modality = images.modality
    return people, int((modality == VISIBLE).sum()), int((modality == INFRARED).sum())
