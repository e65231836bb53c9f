"""From a jreid Config to the PyTorch network that it describes.

The PyTorch side is the paper's system with its options, and no other: a part that it
has not is refused by name.
"""

from typing import Any

from jreid.config import Config
from jreid.export.torch_network.head import Branch
from jreid.export.torch_network.network import TwoStreamNetwork
from jreid.models.non_local import NonLocal
from jreid.models.pooling import Average, GeM, Maximum
from jreid.models.two_stream import Branch as BranchPart
from jreid.models.two_stream import Classifier, TwoStream


def network_arguments(config: Config, classes: int) -> dict[str, Any]:
    """Arguments of `TwoStreamNetwork` for `classes` training identities.

    Raises:
      ValueError: the network has a part that PyTorch's has not.
    """
    part = config.network
    if not isinstance(part, TwoStream) or (
        part.adapters is not None
        or part.tails
        or part.private_stages != 1
        or part.discriminators
    ):
        raise refused("network", part)
    trunk, refine = part.trunk, part.refine
    blocks = list(trunk.after.values())
    widths = {block.inner_channels for block in blocks if isinstance(block, NonLocal)}
    if trunk.before or trunk.stages != 4 or not trunk.stem_relu:
        raise refused("network.trunk", trunk)
    if not all(isinstance(block, NonLocal) for block in blocks) or len(widths) > 1:
        raise refused("network.trunk.after", trunk.after)
    if refine is not None and refine.neck:
        raise refused("network.refine", refine)
    arguments = {
        "depth": trunk.depth,
        "classes": classes,
        "width": trunk.width,
        "last_stride": trunk.last_stride,
        "non_local_after": tuple(_place(place) for place in trunk.after),
        "non_local_channels": widths.pop() if widths else 1,
        "branches": tuple(_branch(branch) for branch in part.branches),
        "refined": () if refine is None else tuple(refine.of),
        "streams": tuple(part.stems),
    }
    if refine is not None:
        arguments["bottleneck_hidden"] = tuple(refine.hidden)
        arguments["bottleneck_features"] = refine.features
    return arguments


def build_network(config: Config, classes: int) -> TwoStreamNetwork:
    """The configured network with random weights, in training mode."""
    return TwoStreamNetwork(**network_arguments(config, classes))


def refused(field: str, part: Any) -> ValueError:
    """The error of a part that only the Flax side has."""
    return ValueError(f"config.{field} is {part!r}, which the PyTorch side has not")


def _place(place: str) -> tuple[int, int]:
    stage, dot, block = place.partition(".")
    if not dot:
        raise refused("network.trunk.after", place)
    return int(stage), int(block)


def _branch(part: BranchPart) -> Branch:
    pool = part.pool
    plain = part.own is None and not part.shares and part.neck_of == "all"
    # however it started
    plain = plain and part.classifier in (Classifier(), Classifier(init="uniform"))
    if part.project is not None or not part.neck or part.added != "whole" or not plain:
        raise refused(f"network.branches ({part.name})", part)
    if isinstance(pool, GeM):
        kind = "gem" if pool.form == "clamp" else "gem_agw"
        return Branch(part.name, kind, pool.p, pool.learn, part.adds)
    if not isinstance(pool, Average | Maximum):
        raise refused(f"network.branches ({part.name})", pool)
    return Branch(
        part.name, "average" if isinstance(pool, Average) else "max", adds=part.adds
    )
