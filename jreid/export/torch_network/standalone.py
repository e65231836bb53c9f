"""What an exported model.py does with the network: load, read images, embed, a demo."""

import argparse
import functools
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor  # pyright: ignore[reportMissingImports]

from jreid.export.torch_network.head import Branch
from jreid.export.torch_network.network import (
    STREAMS,
    TwoStreamNetwork,
    fused_embedding,
    normalise,
)

# Replaced in an exported file: arguments of the network, and how images are embedded.
NETWORK: dict[str, Any] = {}
EMBEDDING: dict[str, Any] = {}


@functools.cache
def load(path: str = "") -> TwoStreamNetwork:
    """The trained network in evaluation mode; by default model.pth beside this file.

    Raises:
      OSError, ValueError: the file is missing, damaged or of another network.
    """
    weights = Path(path) if path else Path(__file__).with_name("model.pth")
    arguments = dict(NETWORK)
    arguments["branches"] = tuple(Branch(**branch) for branch in NETWORK["branches"])
    network = TwoStreamNetwork(**arguments)
    try:
        # weights_only: nothing in the file is executed.
        state_dict = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict(state_dict)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{weights.name} is damaged, or of another network than this file; export "
            "both again"
        ) from error
    return network.eval()


def read(paths: Sequence[str]) -> Tensor:
    """Image files as uint8 [b h w 3], resized to the size of training; needs Pillow.

    As a viewer shows them: upright by EXIF, of 16 bits as the run read them. The
    resizing is within one grey level of jreid's.
    """
    from PIL import Image, ImageOps

    size = (EMBEDDING["width"], EMBEDDING["height"])
    resampling = Image.Resampling[EMBEDDING["resize"].upper()]
    rows = []
    for path in paths:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):  # 16 bits, which convert would clip
            upright = Image.frombytes("L", upright.size, _in_8_bits(upright))
        small = upright.convert("RGB").resize(size, resampling)
        pixels = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)
        rows.append(pixels.view(size[1], size[0], 3))
    return torch.stack(rows)


def _in_8_bits(picture: Any) -> bytes:
    """Of 16-bit grey, 256 equal steps from low to high, or of the picture's range."""
    how = EMBEDDING["grey16"]
    octets = bytearray(picture.convert("I").tobytes())
    values = torch.frombuffer(octets, dtype=torch.int32).long()
    low, high = how["low"], how["high"]
    if how["by"] == "image":
        low, high = int(values.min()), int(values.max())
    steps = (values - low) * 256 // (high - low + 1)
    return bytes(steps.clamp(0, 255).tolist())


def embed(
    images: Any, modality: str, network: TwoStreamNetwork | None = None
) -> Tensor:
    """L2-normalised embeddings, float32 [b d], whose products are cosine similarities.

    The fused embedding that jreid.evaluate scores. `images` is uint8 [b h w 3], a
    tensor or an array, all of one modality: "visible" or "infrared".

    Raises:
      ValueError: images of another shape or type, or an unknown modality.
    """
    images = images if isinstance(images, Tensor) else torch.tensor(images)
    shape = (EMBEDDING["height"], EMBEDDING["width"], 3)
    if images.ndim != 4 or images.shape[1:] != shape or images.dtype != torch.uint8:
        raise ValueError(
            f"images are {images.dtype} {tuple(images.shape)}; give uint8 [b, "
            f"{shape[0]}, {shape[1]}, 3], as `read` does"
        )
    if modality not in STREAMS:
        raise ValueError(f"modality is {modality!r}; allowed are {STREAMS}")
    network = network or load()
    pixels = normalise(images.to(device_of(network)).permute(0, 3, 1, 2))
    options = {name: EMBEDDING[name] for name in ("feature", "flip")}
    with torch.no_grad():
        return fused_embedding(network, pixels, modality, **options)["fused"]


def device_of(network: TwoStreamNetwork) -> torch.device:
    """Where the network's parameters lie."""
    return next(network.parameters()).device


def main(arguments: Sequence[str]) -> int:
    """Ranks gallery images of one modality for queries of the other."""
    parser = argparse.ArgumentParser(
        description="Ranks the gallery by cosine similarity for each query; without a "
        "gallery, the queries among themselves."
    )
    parser.add_argument("queries", nargs="+", metavar="IMAGE")
    parser.add_argument("--modality", choices=STREAMS, required=True, help="of queries")
    parser.add_argument(
        "--gallery", nargs="+", metavar="IMAGE", help="of the other modality"
    )
    given = parser.parse_args(arguments)
    (other,) = (name for name in STREAMS if name != given.modality)
    try:
        queries = embed(read(given.queries), given.modality)
        paths, gallery = given.queries, queries
        if given.gallery:
            paths, gallery = given.gallery, embed(read(given.gallery), other)
    except (OSError, ImportError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for query, row in zip(given.queries, queries @ gallery.T, strict=True):
        print(query)
        for index in row.argsort(descending=True, stable=True).tolist():
            print(f"  {row[index]:.4f}  {paths[index]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
