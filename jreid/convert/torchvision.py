"""Converts a ResNet or Vision Transformer to the weights that a run can start from.

    python -m jreid.convert.torchvision resnet50-0676ba61.pth weights/resnet50.npz
    python -m jreid.train --config configs/sysu.py \\
        --config.pretrained=weights/resnet50.npz ...

IN is a .pth (any of PyTorch's formats since 2017; needs torch), .safetensors or .npz
file of a ResNet-18, -34, -50 or -101 by torchvision's names, or of a Vision Transformer
(ViT-B/16, say) by torchvision's or timm's. Every tensor of it must be used or be one of
those that a person's features do not need (fc, heads, num_batches_tracked). A run
interpolates a transformer's positions to its own images.
"""

import argparse
import hashlib
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from jreid.convert.tensor_files import Tensors, read_tensors
from jreid.convert.transformer_tensors import convert_transformer, library_of
from jreid.models.resnet import BLOCK_COUNTS
from jreid.models.torch_names import Conversion, convert, torch_name
from jreid.run.pretrained import resnet_shapes, write_pretrained
from jreid.run.transformer_weights import write_transformer


def main(arguments: list[str]) -> int:
    """Converts one file; bad input becomes one line and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m jreid.convert.torchvision",
        description="Converts a ResNet or Vision Transformer for a run to start from.",
    )
    parser.add_argument(
        "input", metavar="IN", type=Path, help=".pth, .safetensors, ..."
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="ends with .npz")
    given = parser.parse_args(arguments)
    try:
        print(convert_file(given.input, given.output))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def convert_file(source: Path, target: Path) -> str:
    """Writes `target` from `source`, whole or not at all; returns a summary.

    Raises:
        FileNotFoundError: `source` is missing.
        ValueError: it is not a whole file of a network's tensors; see `convert`.
    """
    if target.suffix != ".npz":
        raise ValueError(f"OUT is {target}; give a name that ends with .npz")
    if target.exists() and source.exists() and target.samefile(source):
        raise ValueError(f"OUT is IN, {source}; give another name")
    tensors = read_tensors(source)
    try:
        if library_of(tensors):
            kinds, conversion = convert_transformer(tensors)
            name, kept = f"transformer of {kinds['blocks']} blocks", "all but its head"
            write = write_transformer
        else:
            kinds = {"depth": resnet_depth(tensors)}
            conversion = convert_resnet(tensors, kinds["depth"])
            name, kept = f"ResNet-{kinds['depth']}", "one stem and the trunk"
            write = write_pretrained
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    with open(source, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    about = {"source": source.name, "source_sha256": digest}
    write(target, conversion.arrays, kinds | about)
    return summary(source, target, (name, kept), digest, tensors, conversion)


def convert_resnet(tensors: Tensors, depth: int) -> Conversion:
    """One stem and the trunk from torchvision's tensors; see `convert`."""
    try:
        return convert(
            tensors,
            resnet_shapes(depth),
            name_of=lambda path: torch_name(path.partition("/")[2]),
            may_drop=lambda n: (
                n.startswith("fc.") or n.endswith(".num_batches_tracked")
            ),
        )
    except ValueError as error:
        raise ValueError(f"not torchvision's ResNet-{depth}: {error}") from error


def resnet_depth(tensors: Tensors) -> int:
    """The depth by the number of blocks in each stage and their kind.

    Raises ValueError if the names are not those of a ResNet in BLOCK_COUNTS.
    """
    matches = [re.match(r"layer([1-4])\.(\d+)\.", name) for name in tensors]
    blocks = {(match[1], int(match[2])) for match in matches if match}
    stages = Counter(stage for stage, _ in blocks)
    counts = tuple(stages[stage] for stage in "1234")
    is_basic = "layer1.0.conv3.weight" not in tensors
    for depth, expected in BLOCK_COUNTS.items():
        if counts == expected and is_basic == (depth < 50):
            return depth
    what = f"four stages of {counts} blocks" if blocks else "no layer1, layer2, ..."
    depths = ", ".join(map(str, BLOCK_COUNTS))
    raise ValueError(
        f"no ResNet of depth {depths} by torchvision's names: {what}; its first "
        f"tensors are {', '.join(sorted(tensors)[:3])}"
    )


def summary(source, target, told, digest, tensors, conversion) -> str:
    """What was used, dropped and written, to read."""
    name, kept = told
    counted = sum(name.endswith(".num_batches_tracked") for name in conversion.dropped)
    others = [n for n in conversion.dropped if not n.endswith(".num_batches_tracked")]
    dropped = [f"{counted} num_batches_tracked"] * bool(counted) + others
    statistics = sum(
        np.size(a) for n, a in conversion.arrays.items() if _is_statistic(n)
    )
    values = sum(np.size(a) for a in conversion.arrays.values())
    return (
        f"{source}: {name}, {len(tensors)} tensors, SHA-256 {digest[:12]}\n"
        f"  used     {len(conversion.arrays)}: {values - statistics:,} parameters and "
        f"{statistics:,} running statistics of {kept}\n"
        f"  dropped  {len(conversion.dropped)}: {', '.join(dropped) or 'none'}\n"
        f"  new      0 here; necks, heads and non-local blocks start anew in a run\n"
        f"{target}: for --config.pretrained={target}"
    )


def _is_statistic(name: str) -> bool:
    return name.endswith(("/mean", "/var"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
