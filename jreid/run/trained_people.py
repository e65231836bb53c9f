"""Nobody whom a run is trained on may be tested on by it.

On the run's own data set a person is known by what the data set calls him; where its
numbers are only labels of its lists (`identified_by` is "image"), by the image's path.
Another data set may call other people the same, so there the contents of images tell.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jreid.config import Config
from jreid.data.datasets import Dataset, Images, some
from jreid.data.image_folders import composed
from jreid.run.fingerprints import names_below
from jreid.run.training_set import TRAINING_IMAGES, read_training_set
from jreid.run.workdir import read_config
from jreid.shapes import UInt64


def require_untrained(
    config: Config,
    workdir: Path,
    dataset: Dataset,
    test: Images,
    contents: UInt64[np.ndarray, " n"],
    tested_on: Any = None,
) -> None:
    """Raises ValueError, naming some, if a person was trained on who is to be tested.

    Args:
        config: of the run, with the data set's place to test in.
        workdir: the run's.
        dataset: in which the test images are.
        test, contents: the test images, and what `contents_of` gives of them.
        tested_on: the part of the data set, if it is another one than the run's.
    """
    roots = read_config(workdir)["data"].get("root"), getattr(config.data, "root", "")
    synthetic = [root == "synvi" for root in roots]
    other = tested_on is not None or synthetic[0] != synthetic[1]
    known_by = "content" if other else getattr(config.data, "identified_by", "content")
    if known_by in ("number", "name"):
        _require_other_people(workdir, dataset, test, known_by)
    elif known_by == "image":
        _require_other_images(workdir, "names", np.array(names_below(test)), test)
    if other or is_moved(config, workdir) or known_by == "content":
        _require_other_images(workdir, "contents", contents, test)


def is_moved(config: Config, workdir: Path) -> bool:
    """Whether the data set is in another place than where the run found it."""
    stored = read_config(workdir)["data"]
    places = ("root", "tfds")
    return any(
        stored.get(name, "") != getattr(config.data, name, "") for name in places
    )


def _require_other_people(
    workdir: Path, dataset: Dataset, test: Images, known_by: str
) -> None:
    trained = read_training_set(workdir)
    people = sorted(set(test.ids.tolist()))
    known = set(trained["identities"])
    if known_by == "name":
        known = {composed(name) for name in trained.get("names", ())}
    found = [
        name
        for person in people
        if (name := dataset.names.get(person, person) if known_by == "name" else person)
        in known
    ]
    if found:
        raise ValueError(
            f"{len(found)} of the {len(people)} test people are among those that "
            f"{workdir} was trained on: {some(found)}. Their scores would say nothing: "
            "test on others, or embed these images with jreid.embed"
        )


def _require_other_images(
    workdir: Path, kind: str, values: np.ndarray, test: Images
) -> None:
    """By "names" or "contents"; runs of earlier versions know neither."""
    path = workdir / TRAINING_IMAGES
    if not path.exists():
        return
    try:
        with np.load(path, allow_pickle=False) as stored:
            known = np.isin(values, stored[kind])
    except Exception as error:  # what a damaged file raises depends on the damage
        raise ValueError(f"{path} is damaged ({error}); restore it") from error
    if known.any():
        raise ValueError(
            f"{known.sum()} of the {len(test)} test images are images that {workdir} "
            f"was trained on: {some(test.paths[known].tolist(), 3)}. Their scores "
            "would say nothing: test on others"
        )
