"""From a jreid Config to the PyTorch network, objective and optimiser it describes.

The PyTorch side is the paper's system with its options, and no other: a part that it
has not is refused by name.
"""

from typing import Any

from jreid.config import Config
from jreid.losses.centres import HeteroCenterTriplet
from jreid.losses.distillation import SelfDistillation
from jreid.losses.identity import Identity
from jreid.losses.weighted_triplet import WeightedTriplet
from jreid.models.non_local import NonLocal
from jreid.models.pooling import Average, GeM, Maximum
from jreid.models.two_stream import Branch as BranchPart
from jreid.models.two_stream import TwoStream
from jreid.training.optimizers import PRETRAINED, SGD
from tools.torch_reference.network import Branch, TwoStreamNetwork
from tools.torch_reference.step import Objective, Term, make_optimizer


def network_arguments(config: Config, classes: int) -> dict[str, Any]:
    """Arguments of `TwoStreamNetwork` for `classes` training identities.

    Raises:
      ValueError: the network has a part that PyTorch's has not.
    """
    part = config.network
    if not isinstance(part, TwoStream):
        raise _refused("network", part)
    trunk, refine = part.trunk, part.refine
    blocks = list(trunk.after.values())
    widths = {block.inner_channels for block in blocks if isinstance(block, NonLocal)}
    if trunk.before or trunk.stages != 4:
        raise _refused("network.trunk", trunk)
    if not all(isinstance(block, NonLocal) for block in blocks) or len(widths) > 1:
        raise _refused("network.trunk.after", trunk.after)
    if refine is not None and refine.neck:
        raise _refused("network.refine", refine)
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


def build_objective(config: Config) -> Objective:
    """The configured objective.

    Raises:
      ValueError: a term is none of the paper's.
    """
    return Objective(
        {name: _term(name, part) for name, part in config.objective.items()}
    )


def build_optimizer(
    config: Config, network: TwoStreamNetwork, *, fused: bool | None = None
):
    """The configured SGD; its learning rate is set by `step.make_step`.

    Raises:
      ValueError: another optimiser, other groups than stems and trunk, or clipping.
    """
    part = config.optimizer
    if not isinstance(part, SGD) or part.clip_norm or not part.nesterov:
        raise _refused("optimizer", part)
    if part.groups and [pattern for pattern, _ in part.groups] != [PRETRAINED[0][0]]:
        raise _refused("optimizer.groups", part.groups)
    return make_optimizer(
        network,
        pretrained=part.groups[0][1] if part.groups else 1.0,
        weight_decay=part.weight_decay,
        momentum=part.momentum,
        fused=fused,
    )


def _refused(field: str, part: Any) -> ValueError:
    return ValueError(f"config.{field} is {part!r}, which the PyTorch side has not")


def _place(place: str) -> tuple[int, int]:
    stage, dot, block = place.partition(".")
    if not dot:
        raise _refused("network.trunk.after", place)
    return int(stage), int(block)


def _branch(part: BranchPart) -> Branch:
    pool = part.pool
    if part.project is not None or not part.neck or part.added != "whole":
        raise _refused(f"network.branches ({part.name})", part)
    if isinstance(pool, GeM):
        kind = "gem" if pool.form == "clamp" else "gem_agw"
        return Branch(part.name, kind, pool.p, pool.learn, part.adds)
    if not isinstance(pool, Average | Maximum):
        raise _refused(f"network.branches ({part.name})", pool)
    return Branch(
        part.name, "average" if isinstance(pool, Average) else "max", adds=part.adds
    )


def _term(name: str, part: Any) -> Term:
    if not isinstance(part.on, str):
        raise _refused(f"objective.{name}.on", part.on)
    kinds = {
        Identity: ("identity", {"label_smoothing": "smoothing"}),
        WeightedTriplet: ("weighted_regularized_triplet", {"form": "form"}),
        HeteroCenterTriplet: (
            "hetero_center_triplet",
            {"margin": "margin", "reduction": "reduction"},
        ),
        SelfDistillation: (
            "variational_self_distillation",
            {"temperature": "temperature", "stop_gradient": "stop_gradient"},
        ),
    }
    if type(part) not in kinds:
        raise _refused(f"objective.{name}", part)
    loss, fields = kinds[type(part)]
    options = {theirs: getattr(part, ours) for theirs, ours in fields.items()}
    return Term(loss, part.weight, part.on, getattr(part, "teacher", ""), options)
