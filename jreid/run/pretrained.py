"""Weights that a new run begins with: where they are from, and into which arrays.

They are those of another run, or of a file: an .npz of one stem and the trunk by our
own names ("stem/conv1/kernel", "trunk/layer1/0/bn1/mean"), or of a transformer, with
the text entry "about": JSON that says whence it is. `jreid.convert.torchvision`
writes it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jreid.config import Config
from jreid.models.modules.keys import WeightKeys
from jreid.models.resnet import ResNet
from jreid.models.vision_transformer import VisionTransformer
from jreid.processes.distributed import from_main
from jreid.run import transformer_weights
from jreid.run.checkpoint import Checkpoints
from jreid.run.further_channels import FIRST, further_channels, widened
from jreid.run.leaves import named_leaves
from jreid.run.published_weights import FROM_SCRATCH, TRANSFORMER, how_to_get
from jreid.run.weights_file import read_weights, write_weights
from jreid.run.workdir import CONFIG, saved_steps
from jreid.training.state import TrainState
from jreid.whole_files import write_text

FORMAT = "jreid ResNet weights, version 1"
RECORD = "pretrained.json"


def resnet_shapes(depth: int) -> dict[str, tuple[int, ...]]:
    """Shape of every array of a stem and a trunk of full width, by name."""
    part = ResNet(depth)  # pyright: ignore[reportArgumentType]

    def make():
        rngs, dtype = WeightKeys(0), jnp.float32
        return nnx.Dict(
            {"stem": part.make_stem(rngs, dtype), "trunk": part.make(rngs, dtype)}
        )

    params, stats = nnx.state(nnx.eval_shape(make), nnx.Param, nnx.BatchStat)
    leaves = named_leaves(nnx.to_pure_dict(params))
    leaves |= named_leaves(nnx.to_pure_dict(stats))
    return {name: tuple(leaf.shape) for name, leaf in leaves.items()}


@dataclass(frozen=True)
class Pretrained:
    """Weights to begin with, checked."""

    path: Path
    sha256: str  # of the file, or of the run's arrays
    about: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    names: Mapping[str, str] | None = None  # our subtrees and theirs; None: the same

    def source(self, name: str) -> str:
        """The name here of a network's array: "stems/visible/x" -> "stem/x"."""
        for ours, theirs in (self.names or {}).items():
            if name.startswith(f"{ours}/"):
                return theirs + name.removeprefix(ours)
        return name if self.names is None else ""

    def holds(self, name: str, leaf: Any) -> bool:
        """Whether there are values for a network's array of this shape."""
        return self.value(name, leaf) is not None

    def value(self, name: str, leaf: Any) -> np.ndarray | None:
        """The values of a network's array of this shape, if there are any."""
        found = self.arrays.get(self.source(name))
        if found is None or found.shape == leaf.shape:
            return found
        further = self.further(name, leaf)
        return widened(found, further) if further else None

    def further(self, name: str, leaf: Any) -> int:
        """How many channels of images a first convolution has beyond the file's."""
        if self.names is None or self.source(name) != FIRST:
            return 0
        return further_channels(self.arrays[FIRST], leaf.shape)


def weights_of_new_run(config: Config, workdir: Path) -> Pretrained | None:
    """What `config.pretrained` names; None if it is empty or the run is continued.

    Raises:
        FileNotFoundError: no such file; says how to get and convert the weights.
        ValueError: another kind of file or folder, or weights that do not fit.
    """
    step = config.checkpoint.step
    if step < 0:
        step = from_main(max(saved_steps(workdir / "checkpoints"), default=0))
    if step or not config.pretrained:
        return None
    path = Path(config.pretrained).expanduser()
    if path.is_dir():
        return read_run(path)
    if isinstance(config.network, VisionTransformer):
        return read_transformer(path, config.network)
    trunk = getattr(config.network, "trunk", None)
    if not isinstance(trunk, ResNet):
        raise ValueError(
            f"config.pretrained is {config.pretrained!r}, a file of a ResNet's weights,"
            " and the network has no such trunk; give a run's folder, or "
            + FROM_SCRATCH
        )
    found = read_pretrained(path, trunk.depth)
    return dataclasses.replace(found, names=config.network.torch_names())


def read_run(folder: Path) -> Pretrained:
    """Parameters and statistics of a run's newest checkpoint, by their own names.

    Raises:
        FileNotFoundError: the folder holds no run with a checkpoint.
        ValueError: the checkpoint is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"config.pretrained is {str(folder)!r}, a folder without {CONFIG}: give a "
            "run's folder or a file of weights"
        )
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.latest_step()
        if step is None:
            raise FileNotFoundError(
                f"config.pretrained is {str(folder)!r}, a run without a checkpoint; "
                "give another"
            )
        wanted = {
            name: shape
            for name, shape in checkpoints.shapes(step).items()
            if name.split("/")[0] in ("params", "stats")
        }
        found = checkpoints.restore(wanted, step)
    arrays = {name.partition("/")[2]: np.asarray(x) for name, x in found.items()}
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    about = {"source": f"step {step} of the run {folder}", "step": step}
    return Pretrained(folder, digest.hexdigest(), about, arrays)


def write_pretrained(
    path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
    """Writes the file whole or not at all.

    Args:
        path: ends with .npz; its folder is made if missing.
        arrays: as `resnet_shapes` names them, float32.
        about: JSON values; `depth` is needed to read the file.
    """
    write_weights(path, arrays, {"format": FORMAT, **about})


def read_pretrained(path: Path, depth: int) -> Pretrained:
    """Reads and checks the weights of a ResNet of `depth`; runs nothing of the file.

    Raises:
        FileNotFoundError: no such file; says how to get and convert the weights.
        ValueError: another kind of file, a damaged one, or another depth.
    """
    if not path.exists():
        raise FileNotFoundError(how_to_get(path, depth))
    file = read_weights(path, FORMAT, ("depth",))
    found = file.about["depth"]
    if found != depth:
        raise ValueError(
            f"{path} holds a ResNet-{found}, but config.network.trunk.depth is {depth}:"
            f" set --config.network.trunk.depth={found}, give --config.pretrained= a "
            f"file of a ResNet-{depth}, or leave it empty to train from scratch"
        )
    there = {name: array.shape for name, array in file.arrays.items()}
    if differing := there.items() ^ resnet_shapes(depth).items():
        raise ValueError(
            f"{path} does not fit a ResNet-{depth}: {min(differing)[0]} is missing, "
            "unknown or of another shape; convert the original checkpoint anew"
        )
    return Pretrained(path, file.sha256, file.about, file.arrays)


def read_transformer(path: Path, part: VisionTransformer) -> Pretrained:
    """Reads and checks a transformer's weights, its positions for the part's images.

    Raises:
        FileNotFoundError: no such file; says how to get and convert the weights.
        ValueError: another kind of file, a damaged one, or another transformer.
    """
    if not path.exists():
        raise FileNotFoundError(how_to_get(path, TRANSFORMER))
    form = transformer_weights.FORMAT
    file = read_weights(path, form, (*transformer_weights.KINDS, "grid"))
    arrays = transformer_weights.fitted(file, part, path)
    return Pretrained(path, file.sha256, file.about, arrays)


def with_weights(
    state: TrainState, weights: Pretrained, memory: Any = None
) -> TrainState:
    """A new state with the found parameters and statistics in their places.

    Arrays for which there are no values, or of another shape, stay as they are given.
    The memory begins again, as its averages are of the parameters.
    """

    def fill(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        found = weights.value(name, leaf)
        if found is None:
            return leaf
        array = found.astype(leaf.dtype)
        # The step donates its state, and the stems get the same array.
        return jax.device_put(array, leaf.sharding, may_alias=False)

    params, stats = jax.tree_util.tree_map_with_path(fill, state.params), state.stats
    stats = jax.tree_util.tree_map_with_path(fill, stats)
    extra = state.extra
    if memory is not None:
        # Jitted, so that it is on all devices, and no array is also a parameter.
        begun = jax.jit(memory.init, out_shardings=state.step.sharding)
        extra = extra | begun(params)
    return state._replace(params=params, stats=stats, extra=extra)


def new_parts(weights: Pretrained, params: Any) -> list[str]:
    """The parts of the network for which there are no values.

    After them the channels of a first convolution that are the mean of the file's.
    """
    leaves = named_leaves(params).items()
    names = [name for name, leaf in leaves if not weights.holds(name, leaf)]
    parts = (name.split("/") for name in names)
    # trunk/after/layer2_2, branches/v1, reid/head
    levels = {"trunk": 3, "branches": 2, "reid": 2}
    if weights.names is None:
        levels["branches"] = 3  # of a run's branch only the classifier may be new
    found = dict.fromkeys("/".join(p[: levels.get(p[0], 1)]) for p in parts)
    return [*found, *_means(weights, leaves)]


def _means(weights, leaves):
    for name, leaf in leaves:
        if further := weights.further(name, leaf):
            yield f"{further} of {leaf.shape[2]} channels of {name} (the others' mean)"


def describe(weights: Pretrained, params: Any) -> str:
    """One line for the log: the file, its source, and what is not from it."""
    about = weights.about
    kind = f"ResNet-{about['depth']} from " if "depth" in about else ""
    return (
        f"pretrained: {weights.path} ({kind}{about.get('source')}, SHA-256 "
        f"{weights.sha256[:12]}); new: "
        + (", ".join(new_parts(weights, params)) or "nothing")
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
