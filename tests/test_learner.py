"""The jitted step: normalisation, one device against four, embeddings."""

import json
import os
import pathlib
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx

from jreid.config import Config
from jreid.config_files import load
from jreid.data.rows import joined
from jreid.data.views import View
from jreid.losses.identity import Identity
from jreid.models.modules import layers, non_local, resnet
from jreid.processes.sharding import data_mesh
from jreid.training.build import build_system
from jreid.training.forward import make_forward
from jreid.training.learner import System, Work
from jreid.training.normalisation import normalise
from jreid.training.plan import plan
from jreid.training.state import TrainState

SIZE = (32, 16)


def tiny_config() -> Config:
    config = tiny.made_tiny(load("sysu"))
    config.schedule.warmup, config.schedule.drops = 0, ()
    return config


def make_batch(seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Four identities, two visible and two infrared images each."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (8, 2, *SIZE, 3), dtype=np.uint8)
    ids = np.repeat(np.arange(4, dtype=np.int32), 2)
    return {
        "images": {"visible": pixels[:, 0], "infrared": pixels[:, 1]},
        "ids": {"visible": ids, "infrared": ids},
        "modality": {
            "visible": np.zeros(8, np.int32),
            "infrared": np.ones(8, np.int32),
        },
    }


def make_system(config: Config, devices=None) -> System:
    mesh = data_mesh(devices or jax.devices()[:1])
    return build_system(config, 4, plan(config, None), mesh)


def train_on(
    devices, steps: int = 3, **changes
) -> tuple[TrainState, list[dict[str, float]]]:
    """A few steps of the tiny network with the batch divided over `devices`."""
    config = tiny_config()
    config.precision = changes.get("precision", "float32")
    config.network.trunk.rematerialise = changes.get("rematerialise", False)
    system = make_system(config, devices)
    state = system.init(0)
    sharding = jax.NamedSharding(data_mesh(devices), jax.P("data"))
    scalars = []
    for seed in range(steps):
        batch = jax.device_put(make_batch(seed), sharding)
        state, values = system.step(state, batch)
        scalars.append({name: float(value) for name, value in values.items()})
    assert system.step._cache_size() == 1
    return state, scalars


class ClassesOfMeans(nnx.Module):
    """No more than the step asks of any network."""

    def __init__(self, classes, *, rngs):
        self.classifier = nnx.Linear(3, classes, rngs=rngs)

    def embed(self, images, stems):
        means = joined([x.mean((1, 2)) for x in images.values()])
        return {"features": {"v1": means}, "embeddings": {"v1": means}}

    def __call__(self, images, stems, rng=None):
        outputs = self.embed(images, stems)
        logits = self.classifier(outputs["features"]["v1"])
        return outputs | {"logits": {"v1": logits}}


@dataclass(slots=True)
class Smallest:
    def names(self):
        return ("features.v1", "embeddings.v1", "logits.v1")

    def make(self, classes, rngs, dtype):
        return ClassesOfMeans(classes, rngs=rngs)


def test_a_network_need_not_ask_for_the_modality():
    config = tiny_config()
    config.network, config.objective = Smallest(), {"identity": Identity()}
    config.optimizer.groups = ()
    system = make_system(config)
    state = system.init(0)
    before = np.array(state.params["classifier"]["kernel"])
    state, scalars = system.step(state, make_batch())
    assert np.isfinite(float(scalars["loss"]))
    assert (before != state.params["classifier"]["kernel"]).all()


def test_normalise_equals_the_formula():
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3) * 10
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (images / 255 - mean) / std
    np.testing.assert_allclose(normalise(jnp.asarray(images)), expected, atol=1e-6)


@pytest.mark.long
def test_four_devices_give_the_result_of_one():
    """BatchNorm statistics, triplets and centres are over the whole batch."""
    environment = dict(os.environ)
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    code = (
        "import jax, json, test_learner\n"
        "assert len(jax.devices()) == 4\n"
        "print(json.dumps(test_learner.train_on(jax.devices())[1]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parent,
        env=environment | {"PYTHONPATH": str(pathlib.Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    parallel = json.loads(result.stdout)
    _, alone = train_on(jax.devices()[:1])
    for one, four in zip(alone, parallel, strict=True):
        assert one.keys() == four.keys()
        for name, value in one.items():
            np.testing.assert_allclose(four[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_step_changes_every_parameter_and_statistic():
    before = make_system(tiny_config()).init(0)
    before = jax.tree.map(np.asarray, (before.params, before.stats))
    after, _ = train_on(jax.devices()[:1])
    assert int(after.step) == 3
    old = jax.tree_util.tree_leaves_with_path(before)
    new = jax.tree.leaves((after.params, after.stats))
    for (path, leaf), changed in zip(old, new, strict=True):
        assert not np.array_equal(leaf, changed), jax.tree_util.keystr(path)


@pytest.mark.long
def test_bfloat16_trains_like_float32_and_keeps_a_float32_state():
    state, mixed = train_on(jax.devices()[:1], 2, precision="bfloat16")
    _, full = train_on(jax.devices()[:1], 2)
    for one, other in zip(mixed, full, strict=True):
        np.testing.assert_allclose(one["loss"], other["loss"], rtol=0.05)
    parts = (state.params, state.stats, state.opt_state)
    kinds = {leaf.dtype for leaf in jax.tree.leaves(parts)}
    assert kinds <= {jnp.dtype("float32"), jnp.dtype("int32")}


@pytest.mark.slow
@pytest.mark.long
def test_rematerialising_changes_no_result():
    again, scalars = train_on(jax.devices()[:1], 2, rematerialise=True)
    kept, expected = train_on(jax.devices()[:1], 2)
    for one, other in zip(scalars, expected, strict=True):
        for name, value in other.items():
            np.testing.assert_allclose(one[name], value, rtol=1e-4, atol=1e-6)
    for one, other in zip(
        jax.tree.leaves(again.stats), jax.tree.leaves(kept.stats), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_folding_frozen_norms_into_convolutions_leaves_the_embedding(monkeypatch):
    """The form of accelerators, run on a CPU."""
    state, _ = train_on(jax.devices()[:1])
    rng = np.random.default_rng(0)
    stats = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.5, 2, leaf.shape), leaf.dtype),
        state.stats,
    )
    images = jnp.asarray(make_batch()["images"]["visible"])
    plain = make_system(tiny_config()).embed(state.params, stats, images, "visible")
    calls = []
    for module in (resnet, non_local):
        monkeypatch.setattr(
            module,
            "conv_norm",
            lambda conv, norm, x: calls.append(norm) or layers.folded(conv, norm, x),
        )
    folded = make_system(tiny_config()).embed(state.params, stats, images, "visible")
    # A stem, two norms in each of four blocks, a shortcut, a non-local block.
    assert len(calls) == 1 + 8 + 1 + 1
    for name, values in plain.items():
        np.testing.assert_allclose(folded[name], values, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("before_neck", "flip"), [(False, True), (True, False)])
def test_embeddings_are_unit_rows_of_the_frozen_network(before_neck, flip):
    config = tiny_config()
    config.embedding.features = float(before_neck)
    config.embedding.embeddings = float(not before_neck)
    config.embedding.flip = flip
    system = make_system(config)
    state = system.init(0)

    def embed(images):
        return system.embed(state.params, state.stats, images, "infrared")

    images = jnp.asarray(make_batch()["images"]["infrared"])
    vectors = embed(images)
    assert list(vectors) == ["fused", "v1", "v2"]
    for values in vectors.values():
        np.testing.assert_allclose(jnp.linalg.norm(values, axis=1), 1, rtol=1e-5)
    both = jnp.concatenate([vectors["v1"], vectors["v2"]], axis=1) / np.sqrt(2)
    np.testing.assert_allclose(vectors["fused"], both, rtol=1e-4, atol=1e-6)
    # a frozen network sees each image alone; a mirrored image only differs unflipped
    np.testing.assert_allclose(embed(images[:1])["v1"][0], vectors["v1"][0], atol=1e-5)
    mirrored = embed(images[:, :, ::-1])
    assert np.allclose(mirrored["v1"], vectors["v1"], atol=1e-5) == flip


class Seen(nnx.Module):
    def __call__(self, images, stems, rng: Any = None):
        return {"features": images, "noise": jax.random.uniform(rng, (3,))}


@dataclass
class Noise:
    """Every image is noise, behind what was there."""

    def __call__(self, images, rng):
        return jnp.concatenate([images, jax.random.uniform(rng, images.shape)], axis=-1)


def test_each_step_view_and_place_has_noise_of_its_own():
    views = {n: View("visible", device=(Noise(), Noise())) for n in ("one", "two")}
    column = {n: jnp.zeros(2, jnp.int32) for n in views}
    batch = {
        "images": {n: jnp.zeros((2, 4, 4, 3), jnp.uint8) for n in views},
        "ids": column,
        "modality": column,
    }
    run = make_forward(nnx.graphdef(Seen()), 0)

    def objective(outputs, rows, rng):
        return jnp.zeros(()), {}

    drawn, noise = [], []
    for step in (0, 1, 0):
        state = TrainState(jnp.int32(step), {}, {}, {}, {})
        outputs = run({}, {}, batch, state, Work({}, views), objective)[1][2]
        drawn.append(
            [
                np.asarray(x[..., k : k + 3])
                for x in outputs["features"].values()
                for k in (3, 6, 9)
            ]
        )
        noise.append(outputs["noise"])
    np.testing.assert_array_equal(drawn[0], drawn[2])
    every = np.stack(drawn[0] + drawn[1]).reshape(12, -1)
    assert len(np.unique(every, axis=0)) == 12 and (noise[0] != noise[1]).all()
