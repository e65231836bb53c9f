"""From a jreid Config to the PyTorch network, objective and optimiser it describes.

The PyTorch side is the paper's system with its options, and no other: a part that it
has not is refused by name.
"""

from typing import Any

from jreid.config import Config
from jreid.export.torch_network.from_config import (
    build_network,
    network_arguments,
    refused,
)
from jreid.export.torch_network.network import TwoStreamNetwork
from jreid.losses.centres import HeteroCenterTriplet
from jreid.losses.distillation import SelfDistillation
from jreid.losses.identity import Identity
from jreid.losses.weighted_triplet import WeightedTriplet
from jreid.training.optimizers import PRETRAINED, SGD
from tools.torch_reference.step import Objective, Term, make_optimizer

__all__ = [
    "build_network",
    "build_objective",
    "build_optimizer",
    "network_arguments",
]


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
        raise refused("optimizer", part)
    if part.groups and [pattern for pattern, _ in part.groups] != [PRETRAINED[0][0]]:
        raise refused("optimizer.groups", part.groups)
    return make_optimizer(
        network,
        pretrained=part.groups[0][1] if part.groups else 1.0,
        weight_decay=part.weight_decay,
        momentum=part.momentum,
        fused=fused,
    )


def _term(name: str, part: Any) -> Term:
    if not isinstance(part.on, str):
        raise refused(f"objective.{name}.on", part.on)
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
        raise refused(f"objective.{name}", part)
    loss, fields = kinds[type(part)]
    options = {theirs: getattr(part, ours) for theirs, ours in fields.items()}
    return Term(loss, part.weight, part.on, getattr(part, "teacher", ""), options)
