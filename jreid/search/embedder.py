"""Images to vectors that are compared: one picture or many, without TensorFlow."""

import concurrent.futures
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.grey16 import HIGH_BYTES, Grey16
from jreid.data.single_image import AnyImage, read_image
from jreid.shapes import Float, Float32, UInt8

BATCH = 32  # images embedded at once where there are many

# Pixels of one modality to vectors of any length.
Network = Callable[[UInt8[np.ndarray, "b h w 3"], str], Float[np.ndarray, "b d"]]


def listed(images: AnyImage | Sequence[AnyImage]) -> list[Any]:
    """One image, or several in a list, tuple or array of paths, as a list."""
    if isinstance(images, np.ndarray) and images.dtype.kind in "OU":
        return images.tolist()
    return list(images) if isinstance(images, list | tuple) else [images]


def of_each(modality: Any, count: int) -> list[Any]:
    """The modality, or None for unknown, of each of `count` images.

    Raises ValueError where neither one is given nor one for each.
    """
    if modality is None or isinstance(modality, str):
        return [modality] * count
    given = list(modality)
    if len(given) != count:
        raise ValueError(
            f"{count} images and {len(given)} modalities: give one for all, or one for "
            "each"
        )
    return given


class Embedder:
    """A network with the way it reads images: `embedder(images, modality)`.

    Args:
        network: pixels uint8 [b h w 3] and their modality to vectors [b d].
        dim: d.
        fingerprint: of the network and all that its vectors depend on.
        size: height and width of its images, in pixels.
        resize: how they are brought to it, "bilinear", "bicubic" or "lanczos".
        grey16: how grey values of 16 bits get 8.
        workdir: of the run, where it is one.
        about: more to know of it, in values that JSON can hold.
        frozen: gives the `FrozenRun` whose vectors these are, where it is one.
    """

    def __init__(
        self,
        network: Network,
        *,
        dim: int,
        fingerprint: str,
        size: tuple[int, int],
        resize: Any = "bilinear",
        grey16: Grey16 = HIGH_BYTES,
        workdir: Path | None = None,
        about: Mapping[str, Any] | None = None,
        frozen: Callable[[], Any] | None = None,
    ):
        self.network, self.dim, self.fingerprint = network, dim, fingerprint
        self.size, self.resize, self.grey16 = size, resize, grey16
        self.workdir, self.about = workdir, dict(about or {})
        self.frozen = frozen

    @classmethod
    def from_run(
        cls,
        workdir: str | os.PathLike[str],
        step: int | None = None,
        kind: str = "fused",
        config: str | os.PathLike[str] | None = None,
    ) -> "Embedder":
        """The network of a training run's checkpoint; errors: see `frozen.open_run`.

        Args:
            workdir: the run's folder.
            step: the checkpoint; None is the newest.
            kind: "fused", "plain", or the name of a branch.
            config: a file of one's own whose parts the run uses.
        """
        from jreid.run import kept  # imports nothing heavy
        from jreid.user_files import load_file

        workdir, file = Path(workdir), None if config is None else Path(config)
        if file:  # for all who read the run's config, and its neighbours for the key
            load_file(file)
        key = kept.key_of(workdir, step, kind, file)
        fast = kept.kept(key) if key else None
        if fast is None:
            from jreid.run import frozen  # imports JAX and all of Flax

            run = frozen.require_directions(frozen.open_run(workdir, step, kind, file))
            if key:
                kept.keep(run, key)
            return cls._of_run(run, run.about, workdir, lambda: run)

        def network(pixels: np.ndarray, modality: str) -> np.ndarray:
            if len(pixels) == 1:
                return fast(pixels, modality)
            return whole()(pixels, modality)

        @functools.cache
        def whole():
            from jreid.run.frozen import open_run

            return open_run(workdir, fast.about["step"], kind, file)

        return cls._of_run(network, fast.about, workdir, whole)

    @classmethod
    def from_onnx(cls, path: str | os.PathLike[str]) -> "Embedder":
        """The network of a file that `python -m jreid.export --format onnx` wrote.

        It needs onnxruntime, and no JAX; errors: see `onnx_network.OnnxNetwork`. Its
        fingerprint is that of the run it was made of, if that computes in float32.
        """
        from jreid.search.onnx_network import OnnxNetwork

        network = OnnxNetwork(Path(path))
        return cls._of_run(network, network.about, None)

    @classmethod
    def _of_run(
        cls,
        network: Network,
        about: Mapping[str, Any],
        workdir: Path | None,
        frozen: Callable[[], Any] | None = None,
    ) -> "Embedder":
        return cls(
            network,
            dim=about["dim"],
            fingerprint=about["fingerprint"],
            size=tuple(about["size"]),
            resize=about["resize"],
            grey16=Grey16(**about["grey16"]),
            workdir=workdir and workdir.absolute(),
            about=about,
            frozen=frozen,
        )

    def __call__(
        self,
        images: AnyImage | Sequence[AnyImage],
        modality: str | Sequence[str],
    ) -> Float32[np.ndarray, "n d"]:
        """Vectors of length 1, a row for each image.

        Args:
            images: one or several: a path, bytes of a file, an image of Pillow's, or an
                array, uint8 [h w 3] in the order red, green, blue (blue, green, red
                cannot be told from it), or grey, uint8 or uint16 [h w]; several in a
                list, a tuple, or an array of paths.
            modality: "visible" or "infrared", of all, or of each image its own.

        Raises:
            UnreadableImageError, TypeError: see `single_image.read_image`.
            ValueError: another modality, or not one for each image.
        """
        several = listed(images)
        given = of_each(modality, len(several))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            pixels = np.empty((len(several), *self.size, 3), np.uint8)
            for row, image in enumerate(pool.map(self.read, several)):
                pixels[row] = image
        vectors = np.empty((len(several), self.dim), np.float32)
        for name in dict.fromkeys(given):
            rows = np.array([own == name for own in given])
            vectors[rows] = self.embed(pixels[rows], name)
        return vectors

    def read(self, image: AnyImage) -> UInt8[np.ndarray, "h w 3"]:
        """The image as the network gets it."""
        return read_image(image, self.size, self.resize, self.grey16)

    def embed(
        self, pixels: UInt8[np.ndarray, "n h w 3"], modality: str
    ) -> Float32[np.ndarray, "n d"]:
        """Vectors of length 1 of images of one modality, as `read` gives them.

        They go through the network one by one or in batches of `BATCH`, the last of
        which is padded: two programs are compiled for a modality, not more.
        """
        if modality not in MODALITY_NAMES:
            raise ValueError(
                f"the modality is {modality!r}; allowed are {', '.join(MODALITY_NAMES)}"
            )
        size = 1 if len(pixels) == 1 else BATCH
        vectors = np.empty((len(pixels), self.dim), np.float32)
        for start in range(0, len(pixels), size):
            part = pixels[start : start + size]
            padded = np.zeros((size, *self.size, 3), np.uint8)
            padded[: len(part)] = part
            vectors[start : start + size] = self.network(padded, modality)[: len(part)]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise ValueError(
                "the network gives vectors without a direction (zero, NaN or "
                "infinity): look at the run's losses"
            )
        return vectors / lengths
