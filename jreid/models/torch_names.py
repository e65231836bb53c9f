"""PyTorch's names and layouts of our arrays, and the strict step from one to the other.

NumPy only: whoever has read a file's tensors can convert them without torch.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "p": "p",
    "mean": "running_mean",
    "var": "running_var",
}


def torch_name(path: str) -> str:
    """The name PyTorch gives a leaf of a module whose children are named alike.

    "layer1/0/downsample/layers/0/kernel" -> "layer1.0.downsample.0.weight".
    """
    *modules, leaf = (part for part in path.split("/") if part != "layers")
    if leaf not in _LEAVES:
        raise ValueError(f"{path} ends in {leaf!r}; known are {sorted(_LEAVES)}")
    return ".".join([*modules, _LEAVES[leaf]])


def agw_name(path: str, places: Iterable[tuple[int, int]]) -> str:
    """The name of a leaf of the one-branch network in AGW's `model.py`.

    The non-local blocks of stage s are the list `NL_s` there, in the order of the
    blocks they follow: `places` names all of them as (stage, block).
    """
    part, *rest = path.split("/")
    if part == "stems":
        stream, *rest = rest
        theirs = {"visible": "visible", "infrared": "thermal"}[stream]
        return f"{theirs}_module.{theirs}.{torch_name('/'.join(rest))}"
    if part == "branches":
        _, head, leaf = rest
        theirs = {"neck": "bottleneck", "classifier": "classifier"}[head]
        return torch_name(f"{theirs}/{leaf}")
    if rest[0] != "after":
        return f"base_resnet.base.{torch_name('/'.join(rest))}"
    _, place, module, leaf = rest
    stage, block = map(int, place.removeprefix("layer").split("_"))
    index = sorted(b for s, b in places if s == stage).index(block)
    theirs = {"out": "W/0", "bn": "W/1", "g": "g/0"}.get(module, module)
    return torch_name(f"NL_{stage}/{index}/{theirs}/{leaf}")


_TRANSFORMER = {
    "timm": {
        "patches": "patch_embed/proj",
        "class_token": "cls_token",
        "positions": "pos_embed",
        "attention/qkv": "attn/qkv",
        "attention/out": "attn/proj",
        "perceptron/hidden": "mlp/fc1",
        "perceptron/out": "mlp/fc2",
    },
    "torchvision": {
        "patches": "conv_proj",
        "positions": "encoder/pos_embedding",
        "norm1": "ln_1",
        "attention/qkv": "self_attention/in_proj",
        "attention/out": "self_attention/out_proj",
        "norm2": "ln_2",
        "perceptron/hidden": "mlp/0",
        "perceptron/out": "mlp/3",
        "norm": "encoder/ln",
    },
}


def transformer_name(path: str, library: str) -> str:
    """The name that a leaf of a Vision Transformer has in "timm" or "torchvision".

    "blocks/0/norm1/scale" -> "blocks.0.norm1.weight" or
    "encoder.layers.encoder_layer_0.ln_1.weight".
    """
    names = _TRANSFORMER[library]
    if "/" not in path:  # tokens, which are no module's
        return names.get(path, path).replace("/", ".")
    module, _, leaf = path.rpartition("/")
    block = ""
    if module.startswith("blocks/"):
        _, number, module = module.split("/", 2)
        layer = f"encoder.layers.encoder_layer_{number}."
        block = f"blocks.{number}." if library == "timm" else layer
    name = block + torch_name(f"{names.get(module, module)}/{leaf}")
    # its queries, keys and values are no module of their own
    return name.replace("in_proj.", "in_proj_")


def from_torch_layout(array: np.ndarray) -> np.ndarray:
    """Kernels: OIHW to HWIO, [out, in] to [in, out]; everything else as it is."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 else array


def to_torch_layout(array: np.ndarray) -> np.ndarray:
    """The inverse of `from_torch_layout`."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if array.ndim == 2 else array


@dataclass(frozen=True)
class Conversion:
    """float32 arrays by our path, and the source's tensors left out on purpose."""

    arrays: dict[str, np.ndarray]
    dropped: list[str]


def convert(
    source: Mapping[str, np.ndarray],
    targets: Mapping[str, tuple[int, ...]],
    name_of: Callable[[str], str],
    may_drop: Callable[[str], bool],
) -> Conversion:
    """Fills every target from the source and accounts for every tensor of the source.

    Args:
        source: tensors in PyTorch's layout, by PyTorch's name.
        targets: shape of each of our arrays, by path.
        name_of: PyTorch's name of a path.
        may_drop: whether a tensor that no target asks for may be left out.

    Raises:
        ValueError: tensors are missing, unknown, of another shape, not of a floating
            type, or hold NaN, infinities or negative variances; names the first.
    """
    names = {path: name_of(path) for path in targets}
    left = sorted(source.keys() - set(names.values()))
    _refuse("are missing", sorted(set(names.values()) - source.keys()))
    _refuse("are not known", [name for name in left if not may_drop(name)])
    shapes, values = [], []
    arrays = {}
    for path, shape in targets.items():
        name = names[path]
        if not np.issubdtype(source[name].dtype, np.floating):
            values.append(f"{name} of type {source[name].dtype}")
            continue
        array = from_torch_layout(source[name])
        array = np.ascontiguousarray(array, dtype=np.float32)
        if array.shape != tuple(shape):
            given = "x".join(map(str, source[name].shape)) or "a scalar"
            shapes.append(f"{name} ({given}; its layer needs {_torch_shape(shape)})")
        elif not np.isfinite(array).all():
            values.append(f"{name} with NaN or infinity")
        elif path.endswith("/var") and (array < 0).any():
            values.append(f"{name} with negative variances")
        arrays[path] = array
    _refuse("have another shape", shapes)
    _refuse("cannot be used", values)
    return Conversion(arrays, left)


def _torch_shape(shape):
    order = {4: (3, 2, 0, 1), 2: (1, 0)}.get(len(shape), range(len(shape)))
    return "x".join(str(shape[axis]) for axis in order)


def _refuse(what, names):
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise ValueError(f"tensors that {what}: {', '.join(names[:3])}{more}")
