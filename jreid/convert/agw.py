"""Turns a trained checkpoint of the AGW family into a run that can be scored here.

    python -m jreid.convert.agw sysu_agw_best.t runs/agw --root SYSU-MM01
    python -m jreid.evaluate --workdir runs/agw

    python -m jreid.convert.agw regdb_agw_trial_3.t runs/agw-3 --root RegDB \\
        --dataset regdb --split 3

IN holds the state dict that AGW's `model.py` (Ye et al., TPAMI 2022) yields, alone or
under "net": visible_module, thermal_module, base_resnet, NL_1 to NL_4, bottleneck and
classifier. Where the non-local blocks sit and how wide they are is read from it, and
its classes must be the training identities of the data set. What the weights do not
tell are options: pooling (GeM with p = 3 in AGW's form, or average) and how images are
resized (Lanczos, as AGW's code does). Embeddings agree to 1e-5, from image files on:
pixels were the same as Pillow's in the PNG and JPEG files that were tried.
"""

import argparse
import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path

import jax
import numpy as np

from jreid.config import Config
from jreid.config_files import load
from jreid.convert.tensor_files import Tensors, read_tensors
from jreid.convert.torchvision import resnet_depth
from jreid.data.data_sets import DATA_SETS
from jreid.data.datasets import drop_unpaired
from jreid.models.non_local import NonLocal
from jreid.models.pooling import Average, GeM
from jreid.models.torch_names import Conversion, agw_name, convert
from jreid.parts import check
from jreid.processes.sharding import data_mesh
from jreid.run.checkpoint import Checkpoints
from jreid.run.images import RunImages, described
from jreid.run.leaves import named_leaves
from jreid.run.training_set import write_training_set
from jreid.run.workdir import open_workdir
from jreid.training.build import network_maker
from jreid.training.plan import plan
from jreid.training.state import abstract_params_and_stats
from jreid.whole_files import write_text

# What a forward pass does not use: each of AGW's three parts holds a whole ResNet.
UNUSED = re.compile(
    r"(visible_module\.visible|thermal_module\.thermal)\.(layer\d|fc)\."
    r"|base_resnet\.base\.(conv1|bn1|fc)\."
    r"|bottleneck\.bias$"
    r"|.*\.num_batches_tracked$"
)


def main(arguments: list[str]) -> int:
    """Converts one checkpoint; bad input becomes one line and exit code 2."""
    given = parse_arguments(arguments)
    try:
        print(convert_checkpoint(given))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jreid.convert.agw",
        description="Turns a trained checkpoint of the AGW family into a run.",
    )
    add = parser.add_argument
    add("input", metavar="IN", type=Path, help="the checkpoint: .t, .pth, ...")
    add("output", metavar="OUT", type=Path, help="the run's folder, which is made")
    add("--root", required=True, help="the data set's folder")
    add("--dataset", choices=list(DATA_SETS), default="sysu_mm01")
    add("--split", type=int, default=1, help="RegDB's split (1)")
    add("--height", type=int, default=288, help="of its images, in pixels (288)")
    add("--width", type=int, default=144, help="of its images, in pixels (144)")
    add(
        "--pooling",
        choices=("gem", "average"),
        help="of its gm_pool: gem or average (gem if it has non-local blocks)",
    )
    add(
        "--resize",
        choices=("lanczos", "bicubic", "bilinear"),
        default="lanczos",
        help="the filter with which its images were resized (lanczos, as in AGW)",
    )
    return parser.parse_args(arguments)


def convert_checkpoint(given: argparse.Namespace) -> str:
    """Writes the run; returns a summary. Nothing is written where it refuses.

    Raises:
        OSError: a file is missing, or the folder cannot be written.
        ValueError: not AGW's layout, another data set, or OUT holds a run.
    """
    if (given.output / "checkpoints").exists():
        raise ValueError(f"{given.output} holds a run already; give another folder")
    tensors = read_tensors(given.input)
    try:
        config = make_config(tensors, given)
        classes = len(tensors["classifier.weight"])
        conversion, trees = convert_network(tensors, config, classes)
    except ValueError as error:
        raise ValueError(f"{given.input}: {error}") from error
    images = training_images(config, classes)
    with open(given.input, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    with open_workdir(given.output, config):
        write_training_set(given.output, images, plan(config, images.train))
        source = {"source": given.input.name, "sha256": sha256}
        write_text(given.output / "converted.json", json.dumps(source) + "\n")
        with Checkpoints(given.output / "checkpoints") as checkpoints:
            checkpoints.save(0, trees)
    return summary(given, config, tensors, conversion)


def make_config(tensors: Tensors, given: argparse.Namespace) -> Config:
    """The config of the network that the tensors are of.

    Raises ValueError if the names or widths are not those of AGW's `model.py`.
    """
    base = "base_resnet.base."
    needed = (f"{base}layer1.0.conv1.weight", "bottleneck.bias", "classifier.weight")
    if missing := [name for name in needed if name not in tensors]:
        raise ValueError(
            f"not AGW's layout: {missing[0]} is missing; its first tensors are "
            f"{', '.join(sorted(tensors)[:3])}"
        )
    if np.any(tensors["bottleneck.bias"] != 0):
        raise ValueError(
            "bottleneck.bias is not 0, where AGW freezes it; the neck here has none"
        )
    trunk_tensors = {
        n.removeprefix(base): t for n, t in tensors.items() if n.startswith(base)
    }
    places = non_local_places(tensors, trunk_tensors)
    pooling = given.pooling or ("gem" if places else "average")
    config = load("sysu:agw")
    config.resize = given.resize
    config.name, config.pretrained = f"agw-{given.dataset}", ""
    config.data = DATA_SETS[given.dataset](root=given.root)
    if given.dataset == "regdb":
        config.data.split = given.split
    config.size = (given.height, given.width)
    pool = GeM(p=3.0, learn=False, form="agw") if pooling == "gem" else Average()
    (branch,) = config.network.branches
    branch.pool = pool
    trunk = config.network.trunk
    trunk.depth = resnet_depth(trunk_tensors)
    inner = inner_channels(tensors)
    trunk.after = {
        f"{stage}.{block}": NonLocal(inner, init="uniform") for stage, block in places
    }
    check(config)
    return config


def non_local_places(tensors: Tensors, trunk: Tensors) -> list[tuple[int, int]]:
    """(stage, block) that each non-local block follows: the last ones of its stage."""
    names = {tuple(name.split(".")[:2]) for name in trunk}
    blocks = Counter(stage for stage, _ in names)
    found = Counter(
        int(match[1])
        for name in tensors
        if (match := re.fullmatch(r"NL_([1-4])\.\d+\.theta\.weight", name))
    )
    return [
        (stage, blocks[f"layer{stage}"] - count + index)
        for stage, count in sorted(found.items())
        for index in range(count)
    ]


def inner_channels(tensors: Tensors) -> int:
    """The config's inner width of the non-local blocks: 0 is half the channels."""
    shapes = {
        tensor.shape[:2]
        for name, tensor in tensors.items()
        if re.fullmatch(r"NL_\d\.\d+\.theta\.weight", name)
    }
    widths = {inner for inner, _ in shapes}
    if all(2 * inner == channels for inner, channels in shapes):
        return 0 if shapes else 1
    if len(widths) == 1:
        return widths.pop()
    raise ValueError(
        f"non-local blocks of widths {sorted(shapes)}: no config has these"
    )


def convert_network(
    tensors: Tensors, config: Config, classes: int
) -> tuple[Conversion, dict]:
    """The network's parameters and statistics; see `torch_names.convert`."""
    params, stats = abstract_params_and_stats(
        network_maker(config, classes), data_mesh()
    )
    shapes = {n: leaf.shape for n, leaf in named_leaves(params).items()}
    shapes |= {n: leaf.shape for n, leaf in named_leaves(stats).items()}
    parts = [place.split(".") for place in config.network.trunk.after]
    places = [(int(stage), int(block)) for stage, block in parts]
    try:
        conversion = convert(
            # some of the family hold g in a list, as W, some alone
            {re.sub(r"\.g\.(?=[wb])", ".g.0.", name): t for name, t in tensors.items()},
            shapes,
            name_of=lambda path: agw_name(path, places),
            may_drop=lambda name: UNUSED.match(name) is not None,
        )
    except ValueError as error:
        raise ValueError(
            f"not AGW's ResNet-{config.network.trunk.depth}: {error}"
        ) from error

    def fill(path, _):
        return conversion.arrays[jax.tree_util.keystr(path, simple=True, separator="/")]

    trees = {"params": params, "stats": stats}
    filled = {
        name: jax.tree_util.tree_map_with_path(fill, t) for name, t in trees.items()
    }
    return conversion, filled


def training_images(config: Config, classes: int) -> RunImages:
    """The data set's training images, of which the classes must be the identities."""
    dataset = config.data.read()
    train = drop_unpaired(dataset.train, dataset.names)
    images = described(dataset, train, dataset.val, dataset.test)
    if len(images.identities) != classes:
        raise ValueError(
            f"the classifier has {classes} classes, but {config.data.root} has "
            f"{len(images.identities)} training identities; give the --root, --dataset "
            "and --split that the checkpoint was trained on"
        )
    return images


def summary(given, config, tensors, conversion) -> str:
    """What was used, dropped and written, to read."""
    counts = Counter(
        "num_batches_tracked"
        if name.endswith("num_batches_tracked")
        # visible_module.visible.layer3.0.conv1.weight -> visible_module.visible.layer3
        else ".".join(name.split(".")[:3])
        for name in conversion.dropped
    )
    dropped = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    trunk = config.network.trunk
    pool = config.network.branches[0].pool
    pooling = "gem" if isinstance(pool, GeM) else "average"
    places = ", ".join(trunk.after) or "none"
    classes = len(tensors["classifier.weight"])
    return (
        f"{given.input}: ResNet-{trunk.depth}, {len(tensors)} tensors, {classes} "
        f"classes, {pooling} pooling, non-local after {places}\n"
        f"  used     {len(tensors) - len(conversion.dropped)}\n"
        f"  dropped  {len(conversion.dropped)}: {dropped or 'none'}\n"
        "  new      0\n"
        f"{given.output}: score it with python -m jreid.evaluate --workdir "
        f"{given.output}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
