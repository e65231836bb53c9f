"""The paper's system in parts, narrow; and a network's step without a run around it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jreid.losses.centres import HeteroCenterTriplet
from jreid.losses.distillation import SelfDistillation
from jreid.losses.identity import Identity
from jreid.losses.weighted_triplet import WeightedTriplet
from jreid.models.bottleneck import Bottleneck
from jreid.models.non_local import NonLocal
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream

STEMS = {"visible": "visible", "infrared": "infrared"}
DIAM = (Branch("v1"), Branch("v2", adds="v1"))


def narrow_trunk(depth: int = 18, **options) -> ResNet:
    """An eighth as wide as a ResNet."""
    part = ResNet(depth=18, width=1 / 8, **options)
    part.depth = depth  # pyright: ignore[reportAttributeAccessIssue] (or a test's own)
    return part


def network(
    branches: tuple[Branch, ...] = DIAM,
    refined: tuple[str, ...] = ("v1", "v2"),
    after: tuple[str, ...] = ("2.1", "3.1"),
    depth: int = 18,
    **options,
) -> TwoStream:
    """The paper's network, narrow, with non-local blocks at `after`."""
    blocks = {place: NonLocal() for place in after}
    refine = Bottleneck(hidden=(24, 16), features=12, of=refined) if refined else None
    trunk = narrow_trunk(depth, after=blocks, **options)
    return TwoStream(branches=branches, trunk=trunk, refine=refine)


def objective(
    branches: tuple[str, ...] = ("v1", "v2"), refined: tuple[str, ...] = ("v1", "v2")
) -> dict:
    """The terms of eq. 9; with one branch AGW's, without the hetero-centre triplet."""
    numbers = [name.removeprefix("v") for name in refined]
    heads = [*branches, *(f"z{number}" for number in numbers)]
    terms: dict[str, Any] = {
        f"identity_{name}": Identity(on=f"logits.{name}") for name in heads
    }
    for number in numbers:
        on, teacher = f"logits.z{number}", f"logits.v{number}"
        terms[f"vsd_{number}"] = SelfDistillation(on=on, teacher=teacher)
    terms["wrt"] = WeightedTriplet()
    if len(branches) > 1:
        terms["hc_tri"] = HeteroCenterTriplet()
    return terms


def state_of(made: nnx.Module) -> tuple[nnx.GraphDef, dict, dict]:
    """A network's structure, parameters and running statistics."""
    graphdef, params, stats = nnx.split(made, nnx.Param, nnx.BatchStat)
    return graphdef, nnx.to_pure_dict(params), nnx.to_pure_dict(stats)


def make_step(graphdef, objective, tx: optax.GradientTransformation):
    """`step(params, stats, opt_state, images, batch)`, one step of training."""

    def loss_and_stats(params, stats, images, batch):
        made = nnx.merge(graphdef, params, stats)
        loss, scalars = objective(made(images, STEMS), batch)
        return loss, (scalars, nnx.to_pure_dict(nnx.state(made, nnx.BatchStat)))

    @jax.jit
    def step(params, stats, opt_state, images, batch):
        gradient = jax.value_and_grad(loss_and_stats, has_aux=True)
        (_, (scalars, stats)), grads = gradient(params, stats, images, batch)
        updates, opt_state = tx.update(grads, opt_state, params)
        scalars |= {"grad_norm": optax.tree.norm(grads)}
        return optax.apply_updates(params, updates), stats, opt_state, scalars

    return step


def in_float64(made: nnx.Module, layers: tuple[type, ...]) -> nnx.Module:
    """The network with activations in float64."""
    for _, module in nnx.iter_modules(made):
        if isinstance(module, layers):
            module.dtype = np.float64  # pyright: ignore[reportAttributeAccessIssue]
    return made


def columns(images: np.ndarray) -> dict[str, jax.Array]:
    """[n 2 ...], slots of a visible and an infrared row, as views."""
    return {view: jnp.asarray(images[:, j]) for j, view in enumerate(STEMS)}
