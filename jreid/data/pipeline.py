"""Batches of uint8 images with tf.data: read, decode, resize, augment, prefetch."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from jaxtyping import Int, UInt8

from jreid.data.augment import Augmentation, augment
from jreid.data.datasets import INFRARED, VISIBLE, Images
from jreid.data.decoding import (
    ALIGNMENT,
    aligned_empty,
    contents_of,
    cores,
    decode,
    resize,
    try_all,
)
from jreid.data.sampling import make_sampler

_PREFETCHED_BATCHES = 2


def train_batches(
    images: Images,
    labels: Int[np.ndarray, " b"],
    *,
    start_step: int,
    stop_step: int,
    seed: int,
    identities: int,
    images_per_identity: int,
    height: int,
    width: int,
    augmentations: tuple[Sequence[Augmentation], Sequence[Augmentation]] = ((), ()),
    pixels: UInt8[np.ndarray, "b h w 3"] | None = None,
    workers: int = 0,
    slots: slice | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """The batches of steps start_step to stop_step - 1.

    Batch n depends on `seed` and n only: not on start_step, on the number of workers,
    on which `slots` of it are made or on whether `pixels` are given. Its n = P K slots
    (see `sampling.make_sampler`) are rows, the modalities m = 2 columns, visible then
    infrared:

        images    uint8 [n, m, h, w, 3]
        ids       int32 [n, m]   labels
        modality  int32 [n, m]   0 visible, 1 infrared
        index     int32 [n, m]   row of `images`

    Args:
        images: the training images.
        labels: of each image, 0 to C - 1.
        start_step, stop_step: counted from the beginning of the run.
        seed: of the run.
        identities: P, identities in a batch.
        images_per_identity: K, images per identity and modality.
        height, width: of the batch, in pixels.
        augmentations: of visible and of infrared images; each image has its own seed.
        pixels: the images as `decoding.drop_unreadable` kept them, instead of files.
        workers: threads that decode and augment; 0 means one per core.
        slots: which of a batch's P K rows to make, for one of several processes; all
            by default.

    Raises:
        ValueError: see `make_sampler`; `pixels` of another shape; or, while
            iterating, a file that cannot be read any more, by name.
    """
    if pixels is not None and pixels.shape != (len(images), height, width, 3):
        raise ValueError(
            f"pixels has the shape {pixels.shape}; {len(images)} images of "
            f"{height} x {width} need {(len(images), height, width, 3)}"
        )
    sampler = make_sampler(
        images.ids,
        images.modality,
        identities=identities,
        images=images_per_identity,
        seed=seed,
    )
    load = _make_loader(images, height, width, pixels)
    own = slots or slice(0, identities * images_per_identity)

    def load_slot(slot: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.stack(
            [
                augment(slot["rng"][m], load(slot["index"][m]), augmentations[m])
                for m in (VISIBLE, INFRARED)
            ]
        )

    def batches() -> Iterator[dict[str, np.ndarray]]:
        elements = _slots(sampler, seed, range(start_step, stop_step), own)
        slots_per_batch = own.stop - own.start
        stacks = _mapped(
            elements, load_slot, slots_per_batch, workers, optimise=pixels is None
        )
        for step in range(start_step, stop_step):
            index = sampler(step)[own]
            yield {
                "images": _next_or_name(stacks, images.take(index.ravel())),
                "ids": labels[index].astype(np.int32),
                "modality": images.modality[index].astype(np.int32),
                "index": index.astype(np.int32),
            }

    return batches()


def test_batches(
    images: Images, *, height: int, width: int, batch_size: int, workers: int = 0
) -> Iterator[UInt8[np.ndarray, "b h w 3"]]:
    """`images` in their order, decoded and resized; the last batch may be shorter.

    Raises:
        ValueError: a file that cannot be read, by name.
    """
    load = _make_loader(images, height, width)
    dataset = tf.data.Dataset.range(len(images))
    batches = _mapped(dataset, load, batch_size, workers)
    for start in range(0, len(images), batch_size):
        rows = np.arange(start, min(start + batch_size, len(images)))
        yield _next_or_name(batches, images.take(rows))


def _slots(
    sampler: Callable[[int], np.ndarray], seed: int, steps: range, own: slice
) -> tf.data.Dataset:
    """Elements {"index" [m], "rng" [m, 2]} of every own slot of every step in order."""

    def draw(step: np.int64) -> tuple[np.ndarray, np.ndarray]:
        index = sampler(int(step))
        # A number that no other image of the run has, beside the run's seed.
        number = int(step) * index.size + np.arange(index.size).reshape(index.shape)
        rng = np.stack([np.full_like(number, seed), number], axis=-1)
        return index[own], rng[own]

    @tf.autograph.experimental.do_not_convert
    def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
        index, rng = tf.numpy_function(draw, [step], (tf.int64, tf.int64))
        return {
            "index": tf.ensure_shape(index, (None, 2)),
            "rng": tf.ensure_shape(rng, (None, 2, 2)),
        }

    return tf.data.Dataset.range(steps.start, steps.stop).map(batch).unbatch()


def _make_loader(
    images: Images, height: int, width: int, pixels: np.ndarray | None = None
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from a row of `images` to its uint8 [height, width, 3]."""
    if pixels is not None:
        kept = _tensor_without_copy(pixels)
        return lambda row: tf.ensure_shape(kept[row], (height, width, 3))
    paths, contents = tf.constant(images.paths.tolist(), tf.string), contents_of(images)
    return lambda row: resize(decode(contents(paths[row])), height, width)


def _mapped(
    dataset: tf.data.Dataset,
    load: Callable[..., tf.Tensor],
    batch_size: int,
    workers: int,
    optimise: bool = True,
) -> Iterator[np.ndarray]:
    """Batches of `load` of every element, made in `workers` threads, in order.

    `optimise` lets tf.data rewrite its graph: some per cent faster, but it copies every
    tensor that `load` holds.
    """
    threads = workers or cores()
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_optimization.apply_default_optimizations = optimise
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    load = tf.autograph.experimental.do_not_convert(load)
    batches = dataset.map(load, num_parallel_calls=threads).batch(batch_size)
    batches = batches.prefetch(_PREFETCHED_BATCHES).with_options(options)
    return batches.as_numpy_iterator()


def _next_or_name(batches: Iterator[np.ndarray], images: Images) -> np.ndarray:
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


def _tensor_without_copy(array: np.ndarray) -> tf.Tensor:
    """A tensor in the memory of `array`; tf.constant would hold it twice."""
    if array.ctypes.data % ALIGNMENT or not array.flags.c_contiguous:
        aligned = aligned_empty(array.shape)
        aligned[...] = array
        array = aligned
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
