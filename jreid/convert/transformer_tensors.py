"""A Vision Transformer's tensors by timm's or torchvision's names, to our arrays."""

import math
import re

from jreid.convert.tensor_files import Tensors
from jreid.models.torch_names import Conversion, convert, transformer_name
from jreid.models.vision_transformer import VisionTransformer
from jreid.run.transformer_weights import KINDS, on_grid, transformer_shapes

TOKENS = {"cls_token": "timm", "class_token": "torchvision"}
"""A class token's name tells the library."""
HEADS = ("head.", "heads.", "pre_logits.")
"""How names of tensors begin that a person's features do not need."""
OLD = {".mlp.linear_1.": ".mlp.0.", ".mlp.linear_2.": ".mlp.3."}
"""What torchvision's published file calls what its network calls otherwise now."""


def library_of(tensors: Tensors) -> str:
    """By whose names a transformer's tensors are; "" if they are none's."""
    return next((TOKENS[name] for name in tensors if name in TOKENS), "")


def convert_transformer(tensors: Tensors) -> tuple[dict[str, int], Conversion]:
    """The transformer's numbers and all its arrays but the head's; see `convert`.

    The numbers are those of KINDS and "grid", patches on a side of its images.
    """
    library = library_of(tensors)
    tensors = {_renamed(name): tensor for name, tensor in tensors.items()}
    try:
        part, side = _part_and_side(tensors, library)
        conversion = convert(
            tensors,
            transformer_shapes(on_grid(part, side)),
            name_of=lambda path: transformer_name(path, library),
            may_drop=lambda name: name.startswith(HEADS),
        )
    except ValueError as error:
        raise ValueError(f"no Vision Transformer of {library}'s: {error}") from error
    return {name: getattr(part, name) for name in KINDS} | {"grid": side}, conversion


def _part_and_side(tensors, library) -> tuple[VisionTransformer, int]:
    def size(path, axis):
        name = transformer_name(path, library)
        if name not in tensors or tensors[name].ndim <= axis:
            raise ValueError(f"{name} is missing, or has no axis {axis}")
        return tensors[name].shape[axis]

    first = transformer_name("blocks/0/norm1/scale", library)
    pattern = re.escape(first).replace("0", r"(\d+)", 1)
    blocks = sum(bool(re.fullmatch(pattern, name)) for name in tensors)
    tokens, patch = size("positions", 1), size("patches/kernel", 3)
    side = math.isqrt(tokens - 1)
    if side**2 != tokens - 1 or not side:
        raise ValueError(f"it has {tokens - 1} positions, which are no square")
    width = size("class_token", 2)
    hidden = size("blocks/0/perceptron/hidden/kernel", 0)
    sizes = {"patch": patch, "width": width, "blocks": blocks, "hidden": hidden}
    return VisionTransformer(heads=1, **sizes), side


def _renamed(name: str) -> str:
    for old, new in OLD.items():
        name = name.replace(old, new)
    return name
