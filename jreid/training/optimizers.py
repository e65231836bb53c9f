"""Optimisers as gradient transformations, with learning rates by groups of parameters.

A path joins the keys of the parameter tree with "/": "trunk/layer1/0/conv1/kernel".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from jreid.bounds import at_least, between
from jreid.lazy import jax, optax
from jreid.training.adam_counts import scale_by_adam

Groups = tuple[tuple[str, float], ...]

PRETRAINED: Groups = (("stems|trunk", 0.1),)
"""What ImageNet weights fill learns at a tenth of the rate (AGW train.py)."""


@dataclass(slots=True)
class SGD:
    """torch.optim.SGD: weight decay is added to the gradient, then comes momentum."""

    lr: float = 0.1
    """The peak rate, not scaled with the batch. For 64 images 0.1 needs a warm-up of
    some 650 steps; one of 50 wants 0.01 to 0.03 (docs/ablation)."""
    momentum: float = 0.9
    """Fraction of the running sum of gradients that is kept."""
    nesterov: bool = True
    """Whether momentum looks one step ahead."""
    weight_decay: float = 5e-4
    """Coefficient of the L2 penalty's gradient; none on the exponents of GeM."""
    clip_norm: float = 0.0
    """Largest global norm of the gradients; 0: no clipping."""
    groups: Groups = PRETRAINED
    """Pairs of a path's pattern, searched from its start, and a factor on the learning
    rate; the first that matches counts."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        _check(self)
        between("momentum", self.momentum, 0, 1)

    def make(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """The transformation, whose updates are added to the parameters."""
        momentum = optax.trace(self.momentum, nesterov=self.nesterov)
        return _chain(self, schedule, _weight_decay(self), momentum)


@dataclass(slots=True)
class Adam:
    """torch.optim.Adam: weight decay is an L2 penalty, added to the gradient."""

    lr: float = 3.5e-4
    """The peak rate, not scaled with the batch."""
    beta1: float = 0.9
    """Fraction of the gradients' running mean that is kept."""
    beta2: float = 0.999
    """Fraction of the squared gradients' running mean that is kept."""
    epsilon: float = 1e-8
    """Added to the root of the squared gradients' mean."""
    weight_decay: float = 5e-4
    """Coefficient of the L2 penalty's gradient; none on the exponents of GeM."""
    clip_norm: float = 0.0
    """Largest global norm of the gradients; 0: no clipping."""
    groups: Groups = PRETRAINED
    """Pairs of a path's pattern, searched from its start, and a factor on the learning
    rate; the first that matches counts."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        _check(self)
        _check_adam(self)

    def make(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """The transformation, whose updates are added to the parameters."""
        return _chain(self, schedule, _weight_decay(self), _by_adam(self))


@dataclass(slots=True)
class AdamW:
    """torch.optim.AdamW: weight decay is apart from the gradient's running means."""

    lr: float = 3.5e-4
    """The peak rate, not scaled with the batch."""
    beta1: float = 0.9
    """Fraction of the gradients' running mean that is kept."""
    beta2: float = 0.999
    """Fraction of the squared gradients' running mean that is kept."""
    epsilon: float = 1e-8
    """Added to the root of the squared gradients' mean."""
    weight_decay: float = 5e-4
    """By which parameters shrink, times the learning rate; none for GeM's exponents."""
    clip_norm: float = 0.0
    """Largest global norm of the gradients; 0: no clipping."""
    groups: Groups = PRETRAINED
    """Pairs of a path's pattern, searched from its start, and a factor on the learning
    rate; the first that matches counts."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        _check(self)
        _check_adam(self)

    def make(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """The transformation, whose updates are added to the parameters."""
        return _chain(self, schedule, _by_adam(self), _weight_decay(self))


def check_groups(groups: Groups, paths: Iterable[str]) -> None:
    """Raises ValueError if a group is the first match of none of the paths."""
    paths = list(paths)
    used = {_group(groups, path) for path in paths}
    for index, (pattern, _) in enumerate(groups):
        if index not in used:
            top = dict.fromkeys(path.split("/")[0] for path in paths)
            raise ValueError(
                f"groups.{index} is {pattern!r}, which is the first match of no "
                f"parameter; their paths begin with {', '.join(top)}"
            )


def lr_factor(groups: Groups, path: str) -> float:
    """Factor on the learning rate of the parameter at `path`; 1 without a match."""
    index = _group(groups, path)
    return 1.0 if index is None else groups[index][1]


def decays(path: str) -> bool:
    """Whether weight decay applies: to everything but the exponent p of GeM pooling."""
    return not f"/{path}".endswith("/pool/p")


def _group(groups, path):
    return next((i for i, (p, _) in enumerate(groups) if re.match(p, path)), None)


def _chain(part, schedule, *direction):
    clip = (optax.clip_by_global_norm(part.clip_norm),) if part.clip_norm else ()
    by_group = optax.stateless(
        lambda updates, _: _map_paths(
            lambda path, update: lr_factor(part.groups, path) * update, updates
        )
    )
    return optax.chain(
        *clip, *direction, optax.scale_by_learning_rate(schedule), by_group
    )


def _weight_decay(part):
    return optax.add_decayed_weights(
        part.weight_decay,
        mask=lambda params: _map_paths(lambda path, _: decays(path), params),
    )


def _by_adam(part):
    return scale_by_adam(part.beta1, part.beta2, part.epsilon)


def _map_paths(function: Callable[[str, Any], Any], tree: Any) -> Any:
    def at(path, leaf):
        return function(jax.tree_util.keystr(path, simple=True, separator="/"), leaf)

    return jax.tree_util.tree_map_with_path(at, tree)


def _check(part):
    for field in ("lr", "weight_decay", "clip_norm"):
        at_least(field, getattr(part, field), 0)
    for index, (pattern, factor) in enumerate(part.groups):
        at_least(f"groups.{index}.1", factor, 0)
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"groups.{index}.0 is {pattern!r}; allowed is a regular expression "
                f"({error})"
            ) from error


def _check_adam(part):
    between("beta1", part.beta1, 0, 1)
    between("beta2", part.beta2, 0, 1)
    at_least("epsilon", part.epsilon, 0)
