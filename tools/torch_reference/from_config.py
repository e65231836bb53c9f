"""From a jreid Config to the PyTorch network, objective and optimiser it describes."""

from typing import Any

from jreid.config import Config
from tools.torch_reference.network import Branch, TwoStreamNetwork
from tools.torch_reference.step import Objective, make_optimizer


def network_arguments(config: Config, classes: int) -> dict[str, Any]:
    """Arguments of `TwoStreamNetwork` for `classes` training identities."""
    model = config.model
    places = [tuple(map(int, text.split("."))) for text in model.non_local_after]
    return {
        "depth": model.depth,
        "classes": classes,
        "width": model.width,
        "last_stride": model.last_stride,
        "non_local_after": tuple(places),
        "non_local_channels": model.non_local_channels,
        "branches": tuple(
            Branch(b.name, b.pooling, b.p, b.learn_p, b.adds) for b in model.branches
        ),
        "refined": tuple(model.refined),
        "bottleneck_hidden": tuple(model.bottleneck_hidden),
        "bottleneck_features": model.bottleneck_features,
    }


def build_network(config: Config, classes: int) -> TwoStreamNetwork:
    """The configured network with random weights, in training mode."""
    return TwoStreamNetwork(**network_arguments(config, classes))


def build_objective(config: Config) -> Objective:
    """The configured objective."""
    loss, model = config.loss, config.model
    return Objective(
        branches=tuple(branch.name for branch in model.branches),
        refined=tuple(model.refined),
        identity_weight=loss.identity,
        label_smoothing=loss.label_smoothing,
        vsd_weight=loss.vsd,
        temperature=loss.vsd_temperature,
        stop_gradient=loss.vsd_stop_gradient,
        wrt_weight=loss.wrt,
        wrt_form=loss.wrt_form,
        wrt_feature=loss.wrt_branch,
        hc_tri_weight=loss.hc_tri,
        hc_tri_margin=loss.hc_tri_margin,
        hc_tri_reduction=loss.hc_tri_reduction,
        hc_tri_feature=loss.hc_tri_branch,
    )


def build_optimizer(
    config: Config, network: TwoStreamNetwork, *, fused: bool | None = None
):
    """The configured SGD; its learning rate is set by `step.make_step`.

    Raises:
      ValueError: the config asks for another optimiser, or for clipping.
    """
    optim = config.optim
    if optim.optimizer != "sgd" or optim.clip_norm:
        raise ValueError(
            f"optim.optimizer is {optim.optimizer!r} and optim.clip_norm "
            f"{optim.clip_norm}; here is only 'sgd' without clipping (0)"
        )
    return make_optimizer(
        network,
        pretrained=optim.pretrained_lr_factor,
        weight_decay=optim.weight_decay,
        momentum=optim.momentum,
        fused=fused,
    )
