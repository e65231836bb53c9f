"""The same weights and batches for jreid and tools/torch_reference, to be compared."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

pytest.importorskip("torch")  # before what needs it, so that tests are skipped

import torch  # pyright: ignore[reportMissingImports]

from jreid.config import Config
from jreid.config_files import load
from jreid.data.rows import joined
from jreid.export.torch_network import network, resnet, weights
from jreid.models.modules.layers import BatchNorm, Conv, Linear
from jreid.models.non_local import NonLocal
from jreid.models.resnet import BLOCK_COUNTS
from jreid.processes.sharding import data_mesh
from jreid.run.leaves import named_leaves
from jreid.training.build import network_maker
from jreid.training.normalisation import normalise
from jreid.training.objective import make_objective
from jreid.training.state import abstract_params_and_stats, network_structure
from tools.torch_reference import from_config

CLASSES = 5
SIZE = (48, 24)
STEMS = {"visible": "visible", "infrared": "infrared"}


@contextlib.contextmanager
def one_block_per_stage():
    """In the block, depth 10 is a ResNet with one block per stage in both programs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BLOCK_COUNTS, 10, (1, 1, 1, 1))
        patch.setitem(resnet.BLOCK_COUNTS, 10, (1, 1, 1, 1))
        yield


def tiny(variant: str = "full", depth: int = 18) -> Config:
    """A row of the paper, an eighth as wide, with non-local blocks."""
    config = load(f"sysu:{variant}")
    config.size, config.pretrained = SIZE, ""
    part = config.network
    part.trunk.depth, part.trunk.width = depth, 1 / 8
    if depth < 50:
        part.trunk.after = {place: NonLocal() for place in ("2.0", "3.0")}
    if part.refine is not None:
        part.refine.hidden = (24, 16)
    return config


def make_network(config: Config, dtype, rngs: nnx.Rngs):
    """The configured Flax network; for float64, all of it."""
    made = network_maker(config, CLASSES)(rngs)
    for _, module in nnx.iter_modules(made):
        if dtype == np.float64 and isinstance(module, Conv | Linear | BatchNorm):
            module.dtype = dtype
    return made


def random_weights(config: Config, dtype, *, seed: int = 0):
    """Parameters and statistics none of which is 0 or 1, as dicts of NumPy arrays."""
    rng = np.random.default_rng(seed)
    build = functools.partial(make_network, config, dtype)
    shapes = abstract_params_and_stats(build, data_mesh())

    def draw(name, shape):
        noise = rng.normal(size=shape)
        leaf = name.split("/")[-1]
        if leaf == "kernel":  # of any layer: outputs about as large as the inputs
            return noise * np.sqrt(2 / np.prod(shape[:-1]))
        if leaf == "p":
            return 3 + 0.5 * noise
        if leaf == "var":
            return 1 + 0.5 * rng.random(shape)
        return 0.2 * noise + (1 if leaf == "scale" else 0)

    params, stats = (
        jax.tree.unflatten(
            jax.tree.structure(tree),
            [
                np.asarray(draw(name, leaf.shape), dtype)
                for name, leaf in named_leaves(tree).items()
            ],
        )
        for tree in shapes
    )
    return params, stats


def torch_network(config: Config, params, stats, dtype) -> network.TwoStreamNetwork:
    """The PyTorch network with the same weights, in training mode."""
    made = from_config.build_network(config, CLASSES).to(torch_type(dtype))
    made.load_state_dict(weights.to_state_dict(params, stats, made.state_dict()))
    return made


def torch_type(dtype) -> torch.dtype:
    """PyTorch's name of a NumPy type."""
    return getattr(torch, np.dtype(dtype).name)


def make_batch(seed: int = 0, slots: int = 8) -> dict[str, np.ndarray]:
    """Batches that losses and layers do not like, of slots x (visible, infrared).

    The second slot repeats the first's images, the third slot's are nearly uniform, the
    last slot's visible image is the only one of its identity, and the last infrared
    image belongs to the first identity, which so has more of them than of visible ones.
    """
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (slots, 2, *SIZE, 3), dtype=np.uint8)
    smooth = rng.integers(0, 256, (slots, 2, 6, 3, 3), dtype=np.uint8)
    images = images // 4 + 3 * (smooth.repeat(8, 2).repeat(8, 3) // 4)
    images[1] = images[0]
    images[2] = 128 + images[2] % 2
    ids = np.arange(slots, dtype=np.int32)[:, None].repeat(2, 1) // 2
    ids[-1] = CLASSES - 1, 0
    modality = np.tile(np.array([0, 1], np.int32), (slots, 1))
    return {"images": images, "ids": ids, "modality": modality}


def run_jax(config: Config, params, stats, batch, dtype):
    """Outputs in training and in evaluation, terms, gradients and new statistics."""
    training, frozen = network_structure(functools.partial(make_network, config, dtype))
    objective = make_objective(config.objective)

    def pixels(batch):
        return {view: normalise(images) for view, images in batch["images"].items()}

    def loss_and_rest(params, stats, batch):
        made = nnx.merge(training, params, stats)
        outputs = made(pixels(batch), STEMS)
        flat = {
            name: joined([batch[name][view] for view in STEMS])
            for name in ("ids", "modality")
        }
        loss, terms = objective(outputs, flat)
        new = nnx.to_pure_dict(nnx.state(made, nnx.BatchStat))
        return loss, (outputs, terms, new)

    def everything(params, stats, batch):
        gradient = jax.grad(loss_and_rest, has_aux=True)
        grads, (outputs, terms, new) = gradient(params, stats, batch)
        evaluated = nnx.merge(frozen, params, stats)(pixels(batch), STEMS)
        return outputs, evaluated, terms, grads, new

    return jax.jit(everything)(
        jax.tree.map(jnp.asarray, params),
        jax.tree.map(jnp.asarray, stats),
        jax_batch(batch),
    )


def run_torch(config: Config, made: network.TwoStreamNetwork, batch, dtype):
    """The same of the PyTorch network; gradients and statistics by jreid's names."""
    batch = torch_batch(batch)
    images = network.normalise(
        batch["images"].permute(0, 1, 4, 2, 3), torch_type(dtype)
    )
    with torch.no_grad():
        evaluated = made.eval()(images)
    outputs = made.train()(images)
    loss, terms = from_config.build_objective(config)(
        outputs, batch["ids"].flatten(), batch["modality"].flatten()
    )
    loss.backward()
    return outputs, evaluated, {"loss": loss} | terms


def jax_batch(batch: dict[str, np.ndarray]) -> dict[str, dict[str, jax.Array]]:
    """Columns by view, on JAX's device."""
    return {
        name: {view: jnp.asarray(array[:, j]) for j, view in enumerate(STEMS)}
        for name, array in batch.items()
    }


def torch_batch(batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """As tensors."""
    return {name: torch.from_numpy(array.copy()) for name, array in batch.items()}


def deviations(actual: dict, expected: dict) -> dict[str, float]:
    """Per array, the largest absolute difference, relative to its largest value.

    A value below 1 counts as 1: some gradients are 0 but for rounding, those of biases
    before a BatchNorm. Names on either side alone are an error.
    """
    actual, expected = named_leaves(actual), named_leaves(expected)
    assert actual.keys() == expected.keys()
    return {name: _deviation(actual[name], expected[name]) for name in expected}


def _deviation(actual, expected):
    if isinstance(expected, torch.Tensor):
        expected = expected.detach().numpy()
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    assert np.isfinite(expected).all()
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    return float(np.abs(actual - expected).max(initial=0)) / scale
