"""Published systems made so narrow that tests can afford them."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jreid.config import Config
from jreid.config_files import load
from jreid.data.cluster_sampling import PerCluster
from jreid.data.datasets import MODALITY_NAMES
from jreid.data.sampling import PerModality
from jreid.data.views import modality_of
from jreid.losses.swapped_teacher import SwappedTeacher
from jreid.models.aligned import AlignedNetwork, Generator, PatchDiscriminator
from jreid.models.content_style import (
    ContentStyleNetwork,
    Decoder,
    StyleEncoder,
    TwoScales,
)
from jreid.models.counterparts import CounterpartNetwork
from jreid.models.disentangled import DisentangledNetwork
from jreid.models.expansion import DiverseExpansion
from jreid.models.modules.keys import WeightKeys
from jreid.models.multispectral import (
    LatentCoder,
    MultispectralNetwork,
    ThreeScales,
)
from jreid.models.part_classifiers import PartClassifiers
from jreid.models.prototype_pool import PrototypePool
from jreid.models.resnet import ResNet
from jreid.models.two_stream import TwoStream
from jreid.models.vision_transformer import VisionTransformer
from jreid.training.cluster_matching import MatchedClusters
from jreid.training.cluster_memory import ClusterMemory
from jreid.training.clusters import Clusters
from jreid.training.pace import Pace

systems = importlib.import_module("jreid.configs.systems")
PAPER = importlib.import_module("jreid.configs.systems.paper").SYSTEMS
NAMES = tuple(name for name in systems.systems() if name not in PAPER)
CLASSES, IDS, WIDTH = 5, 3, 8


def narrow(name: str) -> Config:
    """The demo's system with an eighth of the channels and small batches."""
    return narrowed(load(f"demo:{name}"))


def narrowed(config: Config) -> Config:
    """A system that was made small for the demo, made as narrow."""
    config.size = (96, 24)
    network = config.network
    if isinstance(network, VisionTransformer):
        return _narrow_transformer(config)
    network.trunk.width = 1 / 8
    if isinstance(network, TwoStream):
        for branch in network.branches:
            if branch.project is not None:
                branch.project.features = WIDTH
            if isinstance(branch.pool, PrototypePool):
                branch.pool.size = (6, 2)
        for block in network.trunk.before.values():
            if isinstance(block, DiverseExpansion) and block.between is not None:
                block.between.reduction, block.between.kernel = 4, 7
    elif isinstance(network, AlignedNetwork):
        network.generator = Generator(channels=4, blocks=1)
        network.discriminator = PatchDiscriminator(4, levels=3, joined=4)
        network.features, network.size = WIDTH, config.size
        for player in config.players.values():
            if player.sampling is not None:
                player.sampling = PerModality(identities=IDS, images=2)
        for phase in config.phases:
            phase.epochs = 1
    elif isinstance(network, CounterpartNetwork):
        network.generator = Generator(channels=4, blocks=1)
        network.discriminator = PatchDiscriminator(4, levels=3)
        config.phases[0].sampling = PerModality(identities=IDS, images=2)
        for phase, epochs in zip(config.phases, (1, 2), strict=True):
            phase.epochs = epochs
    elif isinstance(network, MultispectralNetwork):
        network.size = (32, 16)
        network.coder = LatentCoder(channels=4, blocks=1)
        network.discriminator = ThreeScales(channels=4, levels=2)
        config.phases[0].sampling = PerModality(identities=IDS, images=2)
        for phase in config.phases:
            phase.epochs = 1
    elif isinstance(network, DisentangledNetwork):
        network.prototype.channels = network.discriminator.channels = 2
        network.prototype.blocks = network.discriminator.blocks = 1
        network.decoder.hidden, network.hidden = WIDTH, 16
        network.features = WIDTH
    elif isinstance(network, ContentStyleNetwork):
        network.size = (32, 16)
        network.style = StyleEncoder(channels=4, halvings=2, features=WIDTH)
        network.decoder = Decoder(blocks=1, hidden=WIDTH)
        network.discriminator = TwoScales(channels=4, levels=2)
        config.players["encoder"].sampling = PerModality(identities=IDS, images=2)
        for phase, epochs in zip(config.phases, (1, 2), strict=True):
            phase.epochs = epochs
    else:
        network.hidden, network.features, network.head = (16,), WIDTH, WIDTH
    _few_images(config)
    if isinstance(config.between_epochs, Clusters):
        _narrow_clusters(config)
    elif config.phases:
        config.schedule.drops = ((2, 0.1),)
    return config


def _few_images(config: Config) -> None:
    """Small batches, and few of them."""
    if hasattr(config.sampling, "identities"):
        config.sampling.identities = IDS
        config.sampling.images = min(config.sampling.images, 2)
    elif isinstance(config.sampling, PerCluster):
        config.sampling = PerCluster(IDS, IDS, images=2)
    else:
        config.sampling.pairs = 6
    config.loading.workers, config.loading.cache = 1, False
    config.log.every_steps, config.log.writers = 1, ()
    config.steps_per_epoch = 2
    config.schedule.epochs = 3


def _narrow_transformer(config: Config) -> Config:
    """Two blocks of two heads, and phases of one and two epochs."""
    config.network = VisionTransformer(
        config.size, patch=16, stride=12, width=WIDTH, blocks=2, heads=2, hidden=12
    )
    _few_images(config)
    for phase, epochs in zip(config.phases, (1, 2), strict=True):
        phase.epochs = epochs
    return config


def shrink(config: Config) -> None:
    """AlignGAN's programs smaller still: most of a test's time is to compile them."""
    config.size = config.network.size = (32, 16)
    config.network.trunk.stages = 2
    config.network.discriminator.levels = 2


def _narrow_clusters(config: Config) -> None:
    """Clusters of few images that are noise, and stages of one and two epochs."""
    config.memory.classes = CLASSES
    hook: Clusters = replace(
        config.between_epochs, classes=CLASSES, eps=0.5, samples=2, k1=3, k2=2
    )
    hook.alike, config.between_epochs = -1.0, hook
    if isinstance(hook, MatchedClusters):
        hook.match_from = config.memory.cross_from = 1
        config.objective["cross"].cross_from = 1
    else:
        hook.aggregate_from = 1
    for phase, epochs in zip(config.phases, (1, 2), strict=True):
        phase.epochs = epochs


def structure_of(config: Config) -> tuple[Any, Any, Any]:
    """A config's network, and the shapes of its parameters and statistics."""
    network = nnx.eval_shape(
        lambda: config.network.make(CLASSES, WeightKeys(0), jnp.float32)
    )
    graph, params, stats = nnx.split(network, nnx.Param, nnx.BatchStat)
    return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(stats)


def random_structure(config: Config) -> tuple[Any, Any, Any]:
    """A config's network, and random parameters and statistics, made by no program."""
    graph, *shapes = structure_of(config)
    rng = np.random.default_rng(0)

    def numbers(path, leaf):
        name = jax.tree_util.keystr(path)
        if "var" in name or "scale" in name:
            return jnp.float32(rng.uniform(0.5, 1.5, leaf.shape))
        return jnp.float32(rng.normal(size=leaf.shape) * 0.2)

    first, second = (jax.tree_util.tree_map_with_path(numbers, t) for t in shapes)
    return graph, first, second


def one_by_one(
    terms: Mapping[str, Any], slopes: Callable[..., Any], params: Any
) -> dict[str, tuple[float, Any]]:
    """Of each term its value and its slopes.

    Args:
      slopes: the values of all terms, and the slopes of their sum with these factors.
    """
    found = {}
    for number, name in enumerate(terms):
        values, moved = slopes(params, jnp.eye(len(terms))[number])
        found[name] = float(values[number]), moved
    return found


def terms_of(config: Config) -> dict[str, Any]:
    """The terms that count, by name; and of players' equal ones the first."""
    terms = {name: term for name, term in config.objective.items() if term.weight}
    for turn, player in config.players.items():
        for name, term in player.objective.items():
            if term not in terms.values():
                terms[f"{turn}/{name}"] = term
    return terms


def rows_of(config: Config, alike: bool = True) -> dict[str, Any]:
    """What terms know of a batch of three identities, two images in each view.

    Without `alike` half of the slots show different identities.
    """
    copies = _copies(config)
    columns: dict[str, list] = {}
    for number, (name, view) in enumerate(config.views.items()):
        for slot in range(2 * IDS):
            modality = modality_of(view)
            row = {
                "ids": slot // 2,
                "modality": MODALITY_NAMES.index(modality) if modality else slot % 2,
                "view": number,
                "slot": slot,
                "source": number * 2 * IDS + slot,
            }
            if not alike and row["modality"] and slot % 2:
                row["ids"] = (row["ids"] + 1) % IDS
            for copy in range(copies.get(name, 1)):
                for key, value in (row | {"copy": copy}).items():
                    columns.setdefault(key, []).append(value)
    rows = {key: jnp.asarray(values) for key, values in columns.items()}
    once = {"step": jnp.int32(0), "epoch": jnp.int32(1), "extra": _extra(config)}
    return rows | once


def _extra(config: Config) -> dict[str, Any]:
    """Made-up clusters, averages of the classifiers that teach, and a pace."""
    if isinstance(config.memory, ClusterMemory):
        vectors = np.random.default_rng(7).normal(size=(2, CLASSES, WIDTH))
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        match = jnp.asarray([[1, 2, 0, 4, -1], [2, 0, 1, -1, 3]])
        return {"clusters": jnp.asarray(vectors, jnp.float32), "match": match}
    if isinstance(config.memory, Pace):
        return {"pace": {"factor": jnp.float32(0.5)}}  # as of any epoch but the first
    teachers = [t for t in config.objective.values() if isinstance(t, SwappedTeacher)]
    if not teachers:
        return {}
    rng = np.random.default_rng(7)
    kernel: Any = jnp.asarray(rng.normal(size=(2, WIDTH, CLASSES)), jnp.float32)
    for key in reversed(teachers[0].average.split("/")):
        kernel = {key: kernel}
    return {"average": kernel}


def _copies(config: Config) -> dict[str, int]:
    network = config.network
    trunk = getattr(network, "trunk", ResNet())
    if any(isinstance(b, DiverseExpansion) for b in trunk.before.values()):
        return dict.fromkeys(config.views, 3)
    if isinstance(network, DisentangledNetwork):  # real and made rows of an image
        return dict.fromkeys(config.views, 2)
    adapters = getattr(network, "adapters", None)
    return {} if adapters is None else dict.fromkeys(adapters.of, 2)


def _parts(config: Config) -> dict[str, int]:
    """The number of parts that have logits each, by the name of these."""
    return {
        f"logits.{branch.name}": branch.classifier.parts
        for branch in getattr(config.network, "branches", ())
        if isinstance(branch.classifier, PartClassifiers)
    }


def outputs_of(config: Config, rows: Mapping[str, Any], seed: int = 0) -> dict:
    """Random outputs of all names that a term can stand on."""
    rng = np.random.default_rng(seed)
    outputs: dict[str, dict] = {}
    for name in config.network.names():
        kind, _, key = name.partition(".")
        width = CLASSES if kind == "logits" else WIDTH
        if key in getattr(config.network, "discriminators", {}):
            width = config.network.discriminators[key].outputs
        sizes = {"maps": (4, 3, width), "masks": (6, 2, 3)}
        if name in _parts(config):
            sizes["logits"] = (_parts(config)[name], width)
        shape = sizes.get(kind, (width,))
        values = rng.normal(size=(len(rows["ids"]), *shape))
        if kind == "masks":
            values = 1 / (1 + np.exp(-values))
        outputs.setdefault(kind, {})[key] = jnp.asarray(values, jnp.float32)
    return outputs
