"""Batches of uint8 images with tf.data: read, decode, resize, augment, prefetch."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf

from jreid.data.aligned_memory import tensor_without_copy
from jreid.data.augmentations import augment
from jreid.data.batch_plan import BatchPlan, Family
from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.data.decoding import contents_of, decode
from jreid.data.reading import try_all
from jreid.data.resizing import Resize, resize_image
from jreid.data.sampling import Sampler
from jreid.data.views import View
from jreid.processes.cores import cores
from jreid.shapes import Int, UInt8

PREFETCHED_BATCHES = 2


def train_batches(
    images: Images,
    sampler: Sampler,
    *,
    views: Mapping[str, View],
    start_step: int,
    stop_step: int,
    seed: int,
    size: tuple[int, int],
    resize: Resize = "bilinear",
    labels: Int[np.ndarray, " n"],
    pixels: UInt8[np.ndarray, "n h w 3"] | None = None,
    workers: int = 0,
    groups: slice | None = None,
) -> Iterator[dict[str, dict[str, np.ndarray]]]:
    """The batches of steps start_step to stop_step - 1, a column per view.

    Batch n depends on `seed`, `sampler` and n only: not on start_step, on the number
    of workers, on which `groups` of it are made or on whether `pixels` are given:

        images    {view: uint8 [n_v h w 3]}
        ids       {view: int32 [n_v]}   labels
        modality  {view: int32 [n_v]}   0 visible, 1 infrared
        index     {view: int32 [n_v]}   row of `images`

    Args:
        images: the training images.
        sampler: gives a step's rows of every view, see jreid/data/sampling.py.
        views: the columns; each image of each has its own seed.
        start_step, stop_step: counted from the beginning of the run.
        seed: of the run.
        size: height and width of the batch's images, in pixels.
        resize: how they are brought to it.
        labels: of each image, 0 to C - 1, or -1 for one that is never drawn.
        pixels: the images as `reading.drop_unreadable` kept them, instead of files.
        workers: threads that decode and augment; 0 means one per core.
        groups: which of a batch's `rows.groups` to make, for one of several
            processes; all by default. The rows of each column are then fewer.

    Raises:
        ValueError: `pixels` of another shape; or, while iterating, a file that cannot
            be read any more, by name.
    """
    if pixels is not None and pixels.shape != (len(images), *size, 3):
        raise ValueError(
            f"pixels has the shape {pixels.shape}; {len(images)} images of "
            f"{size[0]} x {size[1]} need {(len(images), *size, 3)}"
        )
    load = _make_loader(images, size, resize, pixels)
    plan = BatchPlan(sampler, views, seed, start_step, groups)

    def loader_of(block: Sequence[Family]) -> Callable[[dict], dict[str, tf.Tensor]]:
        def load_images(element: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            made, seeds = {}, iter(tf.unstack(element["seeds"]))
            for column, family in enumerate(block):
                image = load(element["rows"][column])  # once for the whole family
                modality = element["modality"][column]
                for name in family:
                    pipe = views[name].pipe
                    made[name] = _augmented(image, next(seeds), pipe, modality)
            return made

        return load_images

    def batches() -> Iterator[dict[str, dict[str, np.ndarray]]]:
        steps = range(start_step, stop_step)
        stacks = _mapped(
            [
                (plan.elements(block, steps, images.modality), loader_of(block), count)
                for count, block in plan.blocks.items()
            ],
            workers,
            optimise=pixels is None,
        )
        for step in steps:
            index = plan.rows(step)
            every = images.take(np.concatenate(list(index.values())))
            made: dict[str, np.ndarray] = {}
            for columns in _next_or_name(stacks, every):
                made |= columns
            yield {
                "images": {name: made[name] for name in views},
                "ids": _int32(index, labels),
                "modality": _int32(index, images.modality),
                "index": _int32(index),
            }

    return batches()


def test_batches(
    images: Images,
    *,
    size: tuple[int, int],
    resize: Resize = "bilinear",
    batch_size: int,
    workers: int = 0,
) -> Iterator[UInt8[np.ndarray, "b h w 3"]]:
    """`images` in their order, decoded and resized; the last batch may be shorter.

    Raises:
        ValueError: a file that cannot be read, by name.
    """
    load = _make_loader(images, size, resize)
    elements = tf.data.Dataset.range(len(images))
    batches = _mapped([(elements, load, batch_size)], workers)
    for start in range(0, len(images), batch_size):
        rows = np.arange(start, min(start + batch_size, len(images)))
        (stack,) = _next_or_name(batches, images.take(rows))
        yield stack


def _augmented(
    image: tf.Tensor, seed: tf.Tensor, pipe: Any, modality: tf.Tensor
) -> tf.Tensor:
    """The image of a column whose pipe may be a dict of pipes by modality."""
    if not isinstance(pipe, Mapping):
        return augment(image, seed, pipe)
    ways = [functools.partial(augment, image, seed, pipe[m]) for m in MODALITY_NAMES]
    return tf.ensure_shape(
        tf.switch_case(tf.cast(modality, tf.int32), ways), image.shape
    )


def _int32(
    index: Mapping[str, np.ndarray], column: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Each view's rows, or what a column has in them."""
    return {
        name: (rows if column is None else column[rows]).astype(np.int32)
        for name, rows in index.items()
    }


def _make_loader(
    images: Images,
    size: tuple[int, int],
    resize: Resize,
    pixels: np.ndarray | None = None,
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from a row of `images` to its uint8 [height, width, 3]."""
    if pixels is not None:
        kept = tensor_without_copy(pixels)
        return lambda row: tf.ensure_shape(kept[row], (*size, 3))
    names = [os.fsencode(path) for path in images.paths.tolist()]
    paths, contents = tf.constant(names, tf.string), contents_of(images)

    def load(row: tf.Tensor) -> tf.Tensor:
        return resize_image(decode(contents(paths[row]), images.grey16), size, resize)

    return load


def _mapped(
    columns: Sequence[tuple[tf.data.Dataset, Callable[..., Any], int]],
    workers: int,
    optimise: bool = True,
) -> Iterator[tuple[Any, ...]]:
    """Of each of `columns`, elements, function and count, that many results, in order.

    They are made in `workers` threads for all columns together. `optimise` lets tf.data
    rewrite its graph: some per cent faster, but it copies every tensor that a function
    holds.
    """
    threads = workers or cores()
    options = tf.data.Options()
    options.deterministic = True
    # Nothing is left to tune, and the tuner's thread is waited for up to a minute when
    # an iterator is dropped: at the end of a training, at a signal, between phases.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = optimise
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    batches = tf.data.Dataset.zip(
        tuple(
            elements.map(
                tf.autograph.experimental.do_not_convert(load),
                num_parallel_calls=threads,
            ).batch(count)
            for elements, load, count in columns
        )
    )
    batches = batches.prefetch(PREFETCHED_BATCHES).with_options(options)
    return cast(Iterator[tuple], batches.as_numpy_iterator())


def _next_or_name(batches: Iterator[tuple], images: Images) -> tuple:
    """The next batch, or an error that names which of its images is unreadable."""
    try:
        return next(batches)
    except tf.errors.OpError as error:
        for path, reason in zip(images.paths, try_all(images), strict=True):
            if reason is not None:
                raise ValueError(
                    f"{path} has become unreadable since the run began: {reason}; "
                    "restore the file, or start anew to have it left out"
                ) from error
        raise
