"""The images of a run: listed, read, checked, labelled."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jreid.config import Config
from jreid.data.datasets import Dataset, Images
from jreid.data.deep_images import deep_images
from jreid.data.grey16 import Grey16, window_of
from jreid.progress import Progress
from jreid.run.fingerprints import contents_of, crc32_of_names, fingerprint
from jreid.training.training_images import training_images


@dataclass(frozen=True)
class RunImages:
    """The images of a run, every file of them decoded once and found readable."""

    train: Images
    labels: np.ndarray  # of `train`: 0 to len(identities) - 1
    identities: np.ndarray  # the data set's numbers of the training identities
    names: list[str]  # of them, where the data set names them
    crc32_of_names: int  # of `train`; see `fingerprints`
    pixels: np.ndarray | None  # of `train`, if they are kept in memory
    val: Images
    test: Images
    contents: np.ndarray  # of `train`; see `fingerprints`
    content: str  # fingerprint of `train`
    test_content: str  # fingerprint of `test`


def read_images(config: Config, listed: Dataset | None = None) -> RunImages:
    """Checks all images, and lists them unless they are `listed`, before any work."""
    dataset: Dataset = listed or config.data.read()
    unread = training_images(config, dataset)
    grey16 = _grey16_of_images(config, unread)
    unread = replace(unread, grey16=grey16)
    train = readable(config, unread, "training", keep_pixels=config.loading.cache)
    val = replace(dataset.val, grey16=grey16)
    if config.evaluation.every_epochs:
        if not len(val):
            raise ValueError(
                "config.evaluation.every_epochs needs validation identities, and "
                f"{config.data.root} has no split val; add one, or set it to 0"
            )
        val = readable(config, val, "validation").images
    test = readable(config, replace(dataset.test, grey16=grey16), "test").images
    return described(dataset, train.images, val, test, train.pixels)


def described(
    dataset: Dataset,
    train: Images,
    val: Images,
    test: Images,
    pixels: np.ndarray | None = None,
) -> RunImages:
    """These images, with labels and the fingerprints that a run remembers."""
    identities, labels = np.unique(train.ids, return_inverse=True)
    contents = contents_of(train)
    return RunImages(
        train=train,
        labels=labels,
        identities=identities,
        names=[dataset.names[i] for i in identities.tolist() if dataset.names],
        crc32_of_names=crc32_of_names(train),
        pixels=pixels,
        val=val,
        test=test,
        contents=contents,
        content=fingerprint(train, contents),
        test_content=fingerprint(test, contents_of(test)),
    )


def _grey16_of_images(config: Config, train: Images) -> Grey16:
    """How 16-bit images are read, where need be by the range of the training ones."""
    if config.grey16.by != "set":
        return config.grey16
    found = deep_images(train.paths.tolist(), train.read)
    return window_of(values for _, values in found)


def readable(config: Config, images: Images, label: str, *, keep_pixels: bool = False):
    """Leaves out the files that cannot be decoded; see `reading.drop_unreadable`."""
    from jreid.data.reading import drop_unreadable  # imports TensorFlow

    with Progress(len(images), f"check {label} images", unit="images") as bar:
        return drop_unreadable(
            images,
            size=config.size,
            resize=config.resize,
            max_fraction=config.loading.max_unreadable,
            keep_pixels=keep_pixels,
            workers=config.loading.workers,
            progress=lambda done, _: bar.update(done),
        )


def facts(images: RunImages, weights: Any) -> dict[str, Any]:
    """What several processes must have found alike."""
    return {
        "the names of the training images": images.crc32_of_names,
        "the contents of the training images": images.content,
        "the names of the test images": crc32_of_names(images.test),
        "the pretrained weights": weights and weights.sha256,
    }
