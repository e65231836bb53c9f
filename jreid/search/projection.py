"""Smaller embeddings: principal axes of a run's training set, and int8 vectors.

    smaller = with_projection(embedder, projection_of_run(embedder, dim=256))

is an embedder like the first, with vectors of 256 numbers, a fingerprint of its own,
and so galleries and calibrations of its own: `index --dim 256`, `calibrate --dim 256`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jreid.shapes import Float, Float32, Int8

if TYPE_CHECKING:
    from jreid.search.embedder import Embedder

MOST = 10_000  # training images that axes are fitted to, evenly chosen


@dataclass(frozen=True)
class Projection:
    """Principal axes: vectors of length 1 in, shorter ones of length 1 out."""

    mean: Float32[np.ndarray, " d"]
    axes: Float32[np.ndarray, "k d"]
    """Orthonormal, of the greatest variance first."""
    variance: float
    """The share of the variance that they keep."""

    @classmethod
    def fit(cls, vectors: Float[np.ndarray, "n d"], dim: int) -> "Projection":
        """Principal component analysis: the `dim` axes of the greatest variance.

        Raises ValueError unless 0 < dim <= d, or if there are fewer vectors than axes.
        """
        count, own = vectors.shape
        if not 0 < dim <= own:
            raise ValueError(f"the dimension is {dim}; the vectors have {own}")
        if dim > count:
            raise ValueError(
                f"{count} training images give {count} axes at most: ask for no more "
                f"than these, not {dim}"
            )
        wide = vectors.astype(np.float64)
        mean = wide.mean(axis=0)
        wide -= mean
        values, found = np.linalg.eigh(wide.T @ wide)  # ascending
        axes = found[:, ::-1][:, :dim].T
        axes *= np.sign(axes[np.arange(dim), np.abs(axes).argmax(axis=1)])[:, None]
        kept = float(values[::-1][:dim].sum() / values.sum())
        return cls(mean.astype(np.float32), axes.astype(np.float32), kept)

    def __call__(self, vectors: Float[np.ndarray, "n d"]) -> Float32[np.ndarray, "n k"]:
        """The coordinates of vectors on the axes, at length 1."""
        made = (vectors - self.mean) @ self.axes.T
        lengths = np.linalg.norm(made, axis=1, keepdims=True)
        return (made / np.maximum(lengths, 1e-12)).astype(np.float32)

    @property
    def digest(self) -> str:
        """12 hex digits of the axes and their origin."""
        told = self.mean.tobytes() + self.axes.tobytes()
        return hashlib.sha256(told).hexdigest()[:12]

    def save(self, path: Path) -> None:
        """Writes it as a whole."""
        from jreid.whole_files import replacing

        with replacing(path) as temporary:
            np.savez(temporary, mean=self.mean, axes=self.axes, variance=self.variance)

    @classmethod
    def load(cls, path: Path) -> "Projection":
        """Reads it. Raises FileNotFoundError, or ValueError if it is damaged."""
        try:
            with np.load(path, allow_pickle=False) as kept:
                return cls(kept["mean"], kept["axes"], float(kept["variance"]))
        except FileNotFoundError:
            raise
        except Exception as error:  # what a damaged file raises depends on the damage
            raise ValueError(
                f"{path} is damaged ({error}): delete it, and index once more"
            ) from error


def projection_of_run(embedder: "Embedder", dim: int) -> Projection:
    """The projection that RUN keeps for this network, fitted now if there is none.

    Raises ValueError for an embedder without a run, or a dimension that it has not.
    """
    if embedder.workdir is None:
        raise ValueError(
            "a smaller dimension is fitted to a run's training images, and this "
            "network is of no run that is here: leave out --dim"
        )
    path = embedder.workdir / f"projection-{dim}-{embedder.fingerprint}.npz"
    try:
        return Projection.load(path)
    except FileNotFoundError:
        made = Projection.fit(_training_vectors(embedder, dim), dim)
    made.save(path)
    return made


def with_projection(embedder: "Embedder", projection: Projection) -> "Embedder":
    """An embedder of the smaller vectors."""
    from jreid.search.embedder import Embedder

    def network(pixels: np.ndarray, modality: str) -> np.ndarray:
        vectors = embedder.network(pixels, modality)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return projection(vectors / np.maximum(lengths, 1e-12))

    told = f"{embedder.fingerprint} {projection.digest}"
    about: dict[str, Any] = {**embedder.about, "dim": len(projection.axes)}
    fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]
    about |= {"fingerprint": fingerprint, "projected": len(projection.axes)}
    return Embedder(
        network,
        dim=len(projection.axes),
        fingerprint=fingerprint,
        size=embedder.size,
        resize=embedder.resize,
        grey16=embedder.grey16,
        workdir=embedder.workdir,
        about=about,
    )


def _training_vectors(embedder: "Embedder", dim: int) -> Float32[np.ndarray, "n d"]:
    from jreid.config_json import from_json
    from jreid.run.workdir import read_config
    from jreid.search.calibrate import embed_images

    if not 0 < dim <= embedder.dim:  # before minutes of embedding
        raise ValueError(f"the dimension is {dim}; the network's is {embedder.dim}")
    assert embedder.workdir is not None
    config: Any = from_json(read_config(embedder.workdir))
    images = config.data.read().train
    rows = np.linspace(0, len(images) - 1, min(len(images), MOST)).astype(int)
    return embed_images(embedder, images.take(np.unique(rows)), "training")


def to_int8(
    vectors: Float[np.ndarray, "n d"],
) -> tuple[Int8[np.ndarray, "n d"], Float32[np.ndarray, " n"]]:
    """Each vector as whole numbers of -127 to 127, and its unit.

    A quarter of float32, half of float16: d + 4 bytes a vector.
    """
    largest = np.abs(vectors).max(axis=1)
    units = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(vectors / units[:, None]).astype(np.int8), units


def from_int8(
    codes: Int8[np.ndarray, "n d"], units: Float[np.ndarray, " n"]
) -> Float32[np.ndarray, "n d"]:
    """The vectors again, wrong by half a unit at most."""
    return codes.astype(np.float32) * units[:, None].astype(np.float32)
