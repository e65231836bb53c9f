"""From a run's config to its system: network, objective, optimiser, schedules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from jreid.config import Config
from jreid.data.datasets import MODALITY_NAMES
from jreid.data.views import modality_of
from jreid.training.forward import make_embed, make_translate
from jreid.training.learner import System, Work, make_system
from jreid.training.plan import PlannedPhase, schedule_of_run
from jreid.training.state import network_structure


def build_system(
    config: Config, classes: int, phases: Sequence[PlannedPhase], mesh: Mesh
) -> System:
    """The config's system for `classes` training identities."""
    players = config.players
    works = [
        Work(p.objective, p.views, p.trainable, p.epoch, p.players) for p in phases
    ]
    return make_system(
        network_maker(config, classes),
        works,
        optimizers={n: p.optimizer or config.optimizer for n, p in players.items()}
        or {"": config.optimizer},
        schedules=schedules(config, phases),
        embedding=config.embedding,
        stem_of=stems(config.views),
        seed=config.seed,
        mesh=mesh,
        players=players or None,
        memory=config.memory,
        watched=config.log.by_part,
    )


def network_maker(config: Config, classes: int) -> Callable[[nnx.Rngs], nnx.Module]:
    """Makes the config's network from random numbers."""
    dtype = jnp.bfloat16 if config.precision == "bfloat16" else jnp.float32
    return lambda rngs: config.network.make(classes, rngs, dtype)


def schedules(config: Config, phases: Sequence[PlannedPhase]) -> dict[str, Any]:
    """The learning rate at each step, of each player; without players of "".

    A player's own schedule goes before a phase's, and that before the config's.
    """
    parts = {
        name: (player.schedule, player.optimizer or config.optimizer)
        for name, player in config.players.items()
    }
    parts = parts or {"": (None, config.optimizer)}
    return {
        name: schedule_of_run(
            schedule or config.schedule,
            phases,
            optimizer.lr,
            alone=schedule is not None,
        )
        for name, (schedule, optimizer) in parts.items()
    }


def rates_at(rates: Mapping[str, Any], step: int) -> dict[str, float]:
    """The learning rates of a step, counted from 0, as they are logged."""
    return {
        f"{name}/lr".lstrip("/"): float(np.asarray(rate(step)))
        for name, rate in rates.items()
    }


def optimizers_of(config: Config) -> dict[str, str]:
    """The path of each player's optimiser, in the order of their turns."""
    return {
        name: f"players.{name}.optimizer" if player.optimizer else "optimizer"
        for name, player in config.players.items()
    }


def build_embed(config: Config, classes: int) -> Callable[..., dict[str, Any]]:
    """The `embed` of a system alone, for a network that is not trained any more."""
    frozen = network_structure(network_maker(config, classes))[1]
    return make_embed(frozen, config.embedding, stems(config.views))


def build_translate(config: Config, classes: int) -> Callable[..., dict[str, Any]]:
    """`translate(params, stats, images, modality)` of a network that makes images."""
    return make_translate(network_structure(network_maker(config, classes))[1])


def stems(views: Mapping[str, Any]) -> dict[str, str]:
    """The stem of each modality's test images: that of the first view that shows it."""
    found = {}
    for modality in MODALITY_NAMES:
        for view in views.values():
            if modality_of(view) in (modality, ""):
                found.setdefault(modality, view.stem)
    return found


def classes_of(config: Config, identities: int) -> int:
    """Classes of the network: a hook between epochs declares how many it may find."""
    return getattr(config.between_epochs, "classes", 0) or identities
