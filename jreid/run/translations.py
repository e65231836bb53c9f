"""A picture of what a network that translates images makes of the run's test images.

A generator that has collapsed still gives a score; here it is seen.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jreid.config import Config
from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.run.workdir import TRANSLATIONS
from jreid.shapes import Int, UInt8
from jreid.training.build import build_translate
from jreid.training.state import TrainState
from jreid.whole_files import replacing

_PEOPLE = 8
_CELL, _GAP, _LEFT, _TOP = (64, 128), 6, 110, 34  # pixels
_INK = "#202020"


def save_translations(
    config: Config, folder: Path, state: TrainState, images: Images, classes: int
) -> Path | None:
    """Writes translations.png, where the network's part says that it translates.

    Its rows are real images of some people, in the other modality, and brought back;
    `classes` is the network's number of identities.
    """
    if not getattr(config.network, "translates", False):
        return None
    translate = build_translate(config, classes)
    arrays = jax.tree.map(np.asarray, (state.params, state.stats))
    rows: list[tuple[str, Any]] = []
    for number, name in enumerate(MODALITY_NAMES):
        chosen = first_of_people(images, number)
        if not len(chosen):
            continue
        real = _pixels(config, images.take(chosen))
        made = translate(*arrays, real, modality=name)
        other = MODALITY_NAMES[1 - number]
        rows += [(name, real), (f"as {other}", made["translated"])]
        rows.append((f"{name} again", made["cycle"]))
    path = folder / TRANSLATIONS
    with replacing(path) as temporary:
        _draw(temporary, [(label, np.asarray(x)) for label, x in rows])
    return path


def first_of_people(images: Images, modality: int) -> Int[np.ndarray, " n"]:
    """The first image of this modality of each of up to eight people."""
    rows = np.flatnonzero(images.modality == modality)
    _, first = np.unique(images.ids[rows], return_index=True)
    return rows[first[:_PEOPLE]]


def _pixels(config: Config, images: Images) -> UInt8[np.ndarray, "n h w 3"]:
    from jreid.data import pipeline  # imports TensorFlow

    (batch,) = pipeline.test_batches(
        images, size=config.size, resize=config.resize, batch_size=len(images)
    )
    return batch


def _draw(path: str | Path, rows: list[tuple[str, UInt8[np.ndarray, "n h w 3"]]]):
    from PIL import Image, ImageDraw, ImageFont

    width = _LEFT + max(len(x) for _, x in rows) * (_CELL[0] + _GAP)
    step = _CELL[1] + _GAP
    sheet = Image.new("RGB", (width, _TOP + len(rows) * step), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    draw.text((_GAP, _GAP), "real images and their translations", _INK, font=font)
    for number, (label, images) in enumerate(rows):
        y = _TOP + number * step
        draw.text((_GAP, y + _CELL[1] // 2), label, _INK, font=font)
        for place, pixels in enumerate(images):
            small = Image.fromarray(pixels).resize(_CELL, Image.Resampling.BICUBIC)
            sheet.paste(small, (_LEFT + place * (_CELL[0] + _GAP), y))
    sheet.save(path, format="png")
