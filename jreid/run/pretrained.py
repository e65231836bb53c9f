"""ImageNet weights for a new run: the file that holds them, and into which arrays.

The file is an .npz of one stem and the trunk by our own names ("stem/conv1/kernel",
"trunk/layer1/0/bn1/mean"), with the text entry "about": JSON that says whence it is.
`tools/convert_torchvision.py` writes it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from jreid.models.resnet import Stem, Trunk
from jreid.run.leaves import named_leaves
from jreid.run.workdir import replacing, write_text

FORMAT = "jreid ResNet weights, version 1"
RECORD = "pretrained.json"
# depth -> the file of torchvision's IMAGENET1K_V1 weights
PUBLISHED = {
    18: "resnet18-f37072fd.pth",
    34: "resnet34-b627a593.pth",
    50: "resnet50-0676ba61.pth",
    101: "resnet101-63fe2227.pth",
}
FOLDER = "https://download.pytorch.org/models/"
FROM_SCRATCH = "train from scratch on purpose with --config.model.pretrained="


def resnet_shapes(depth: int) -> dict[str, tuple[int, ...]]:
    """Shape of every array of a stem and a trunk of full width, by name."""

    def make():
        rngs = nnx.Rngs(0)
        return nnx.Dict({"stem": Stem(rngs=rngs), "trunk": Trunk(depth, rngs=rngs)})

    params, stats = nnx.state(nnx.eval_shape(make), nnx.Param, nnx.BatchStat)
    leaves = named_leaves(nnx.to_pure_dict(params))
    leaves |= named_leaves(nnx.to_pure_dict(stats))
    return {name: tuple(leaf.shape) for name, leaf in leaves.items()}


@dataclass(frozen=True)
class Pretrained:
    """What a file of weights holds, checked."""

    path: Path
    sha256: str  # of the file
    about: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def write_pretrained(
    path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
    """Writes the file whole or not at all.

    Args:
        path: ends with .npz; its folder is made if missing.
        arrays: as `resnet_shapes` names them, float32.
        about: JSON values; `depth` is needed to read the file.
    """
    about = {"format": FORMAT, **about}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)


def read_pretrained(path: Path, depth: int) -> Pretrained:
    """Reads and checks the weights of a ResNet of `depth`; runs nothing of the file.

    Raises:
        FileNotFoundError: no such file; says how to get and convert the weights.
        ValueError: another kind of file, a damaged one, or another depth.
    """
    if not path.exists():
        raise FileNotFoundError(_how_to_get(path, depth))
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if "about" not in arrays:
            raise ValueError("it has no entry 'about'")
        about = json.loads(str(arrays.pop("about")))
        if about["format"] != FORMAT:
            raise ValueError(f"the format is {about['format']!r}, not {FORMAT!r}")
        found = about["depth"]
    except OSError as error:
        raise OSError(f"cannot read the pretrained weights {path}: {error}") from error
    except Exception as error:  # what a damaged file raises depends on the damage
        raise ValueError(
            f"{path} is not a whole file of weights as tools/convert_torchvision.py "
            f"writes them ({error}); convert the original checkpoint with it"
        ) from error
    if found != depth:
        raise ValueError(
            f"{path} holds a ResNet-{found}, but model.depth is {depth}: set "
            f"--config.model.depth={found}, give --config.model.pretrained= a "
            f"file of a ResNet-{depth}, or leave it empty to train from scratch"
        )
    there = {name: array.shape for name, array in arrays.items()}
    if differing := there.items() ^ resnet_shapes(depth).items():
        raise ValueError(
            f"{path} does not fit a ResNet-{depth}: {min(differing)[0]} is missing, "
            "unknown or of another shape; convert the original checkpoint anew"
        )
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Pretrained(path, digest, about, arrays)


def load_pretrained(weights: Pretrained, params: Any, stats: Any) -> tuple[Any, Any]:
    """New parameters and statistics with the file's in every stem and in the trunk.

    Arrays that the file has no values for are returned as they are given.
    """

    def fill(path, leaf):
        name = source_name(jax.tree_util.keystr(path, simple=True, separator="/"))
        if name not in weights.arrays:
            return leaf
        array = weights.arrays[name].astype(leaf.dtype)
        # The step donates its state, and the stems get the same array.
        return jax.device_put(array, leaf.sharding, may_alias=False)

    fill_all = jax.tree_util.tree_map_with_path
    return fill_all(fill, params), fill_all(fill, stats)


def new_parts(weights: Pretrained, params: Any) -> list[str]:
    """The parts of the network that the file has no values for."""
    names = [n for n in named_leaves(params) if source_name(n) not in weights.arrays]
    parts = (name.split("/") for name in names)
    levels = {"trunk": 3, "branches": 2}  # trunk/after/layer2_2, branches/v1
    return list(dict.fromkeys("/".join(p[: levels.get(p[0], 1)]) for p in parts))


def source_name(name: str) -> str:
    """The name in the file of a network's array: "stems/visible/x" -> "stem/x"."""
    part, _, rest = name.partition("/")
    return f"stem/{rest.partition('/')[2]}" if part == "stems" else name


def describe(weights: Pretrained, params: Any) -> str:
    """One line for the log: the file, its source, and what is not from it."""
    about = weights.about
    return (
        f"pretrained: {weights.path} (ResNet-{about['depth']} from "
        f"{about.get('source')}, SHA-256 {weights.sha256[:12]}); new: "
        + ", ".join(new_parts(weights, params))
    )


def write_record(workdir: Path, weights: Pretrained, params: Any) -> None:
    """Keeps with the run which weights it began with, whatever becomes of the file."""
    record = {
        "path": str(weights.path),
        "sha256": weights.sha256,
        "about": weights.about,
        "new": new_parts(weights, params),
    }
    write_text(workdir / RECORD, json.dumps(record, indent=2) + "\n")


def _how_to_get(path: Path, depth: int) -> str:
    source = PUBLISHED[depth]
    return (
        f"model.pretrained names {path}, which is missing. Get and convert "
        f"torchvision's ImageNet weights:\n"
        f"  curl -LO {FOLDER}{source}\n"
        f"  python tools/convert_torchvision.py {source} {path}\n"
        f"(the second needs torch: pip install torch), or {FROM_SCRATCH}"
    )
