"""What a run remembers of the images that it is trained on.

training_set.json holds whom and how many, training_images.npz the names and contents.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreid.config import Config
from jreid.data.grey16 import HIGH_BYTES, Grey16
from jreid.run.fingerprints import names_below
from jreid.run.images import RunImages
from jreid.run.workdir import TRAINING_SET
from jreid.training.plan import PlannedPhase
from jreid.whole_files import replacing, write_text

TRAINING_IMAGES = "training_images.npz"
GREY16 = "grey16"  # in training_set.json


def write_training_set(
    workdir: Path, images: RunImages, phases: Sequence[PlannedPhase]
) -> None:
    """Keeps with the run which identities and images it is trained on.

    Raises ValueError if the run began with others: labels and batches would differ.
    """
    path = workdir / TRAINING_SET
    now = {
        "identities": images.identities.tolist(),  # in the order of their labels
        "images": len(images.train),
        "crc32_of_names": images.crc32_of_names,
        "steps_per_epoch": phases[0].steps_per_epoch,
    }
    if images.names:
        now["names"] = images.names
    if images.train.grey16 != HIGH_BYTES:
        now[GREY16] = {
            n: getattr(images.train.grey16, n) for n in ("by", "low", "high")
        }
    now["content"] = images.content
    now["test_content"] = images.test_content
    now["last_step"] = phases[-1].last
    if path.exists():
        before = read_training_set(workdir)
        fixed = now.keys() - {"last_step", "test_content"}
        if any(before.get(name, now[name]) != now[name] for name in fixed):
            raise ValueError(
                f"{path} names other training images than can be read now, or of other "
                "contents, so the run cannot be continued as it began; restore the "
                "images, or give another --workdir"
            )
    with replacing(workdir / TRAINING_IMAGES) as temporary:
        names = np.array(names_below(images.train), np.str_)
        np.savez_compressed(temporary, names=names, contents=images.contents)
    write_text(path, json.dumps(now) + "\n")


def read_training_set(folder: str | Path) -> dict[str, Any]:
    """Which images the run in `folder` is trained on, as `write_training_set` left it.

    Raises:
        FileNotFoundError: training has not begun.
        ValueError: the file is damaged.
    """
    path = Path(folder) / TRAINING_SET
    try:
        values = json.loads(path.read_text())
        if not isinstance(values["identities"], list):
            raise TypeError("identities are no list")
        if missing := {"images", "crc32_of_names"} - values.keys():
            raise ValueError(f"{', '.join(sorted(missing))} missing")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing: training has not begun in this work directory"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it") from error
    return values


def grey16_of_run(config: Config, workdir: Path) -> Grey16:
    """How the run in `workdir` reads 16-bit images."""
    if config.grey16.by != "set":
        return config.grey16
    return Grey16(**read_training_set(workdir)[GREY16])
