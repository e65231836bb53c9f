"""VSD's network of three trunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jreid.losses.identity import Identity
from jreid.losses.rank_list import RankList
from jreid.losses.released_distillation import ReleasedSelfDistillation
from jreid.losses.sinkhorn import Sinkhorn
from jreid.models.channel_attention import ChannelSelfAttention
from jreid.models.modules.keys import WeightKeys
from jreid.models.mutual import BRANCHES, MutualNetwork
from jreid.models.resnet import ResNet

STEMS = {"visible": "any", "infrared": "any"}


def narrow():
    trunk = ResNet(
        depth=18, width=1 / 8, stages=2, before={"2": ChannelSelfAttention()}
    )
    return MutualNetwork(trunk=trunk, hidden=(12, 10), features=6, head=5)


def images(n=4):
    rng = np.random.default_rng(0)
    return {
        view: jnp.asarray(rng.normal(size=(n, 32, 16, 3)).astype(np.float32))
        for view in STEMS
    }


def test_parameters_at_395_identities_are_vsds():
    made = nnx.eval_shape(lambda: MutualNetwork().make(395, WeightKeys(0), jnp.float32))
    leaves = jax.tree.leaves(nnx.state(made, nnx.Param))
    frozen = 3 * 2048  # the necks' biases, which stay 0
    assert sum(leaf.size for leaf in leaves) + frozen == 82_091_559


@pytest.mark.slow
@pytest.mark.long
def test_every_part_is_trained_and_names_are_what_it_returns():
    part = narrow()
    graphdef, params, stats = nnx.split(
        part.make(3, WeightKeys(0), jnp.float32), nnx.Param, nnx.BatchStat
    )
    params, stats = nnx.to_pure_dict(params), nnx.to_pure_dict(stats)
    ids = jnp.asarray([0, 0, 0, 0, 1, 1, 2, 2])
    batch = {"ids": ids, "modality": jnp.tile(jnp.arange(2), 4)}
    terms = [Identity(on=f"logits.{name}") for name in BRANCHES]
    terms += [Identity(on=f"logits.z_{name}") for name in BRANCHES]
    terms += [RankList(on="embeddings.visible"), RankList(on="refined.z_infrared")]
    terms += [Sinkhorn(on="logits.infrared", other="logits.visible")]
    terms += [ReleasedSelfDistillation(teacher="logits.visible", on="logits.z_visible")]

    @jax.jit
    def loss(params):
        network = nnx.merge(graphdef, params, stats)
        outputs = network(images(), STEMS, jax.random.key(0))
        return sum(term(outputs, batch) for term in terms), outputs

    (_, outputs), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    found = {f"{kind}.{name}" for kind, named in outputs.items() for name in named}
    assert found == set(part.names())
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        before_norm = "linears" in str(path) or "'head'" in str(path)
        if not (before_norm and "bias" in str(path)):  # whose mean leaves again
            assert np.abs(leaf).max() > 0, path


@pytest.mark.slow
def test_infrared_trunk_sees_the_luminance_alone():
    network = narrow().make(3, WeightKeys(0), jnp.float32)
    network = nnx.view(network, use_running_average=True)
    x = images()
    luminance = {
        view: jnp.repeat((v @ jnp.array([0.2989, 0.587, 0.114]))[..., None], 3, -1)
        for view, v in x.items()
    }
    outputs, grey = network.embed(x, STEMS), network.embed(luminance, STEMS)
    for name in BRANCHES:
        a, b = (o["embeddings"][name] for o in (outputs, grey))
        same = np.allclose(a, b, rtol=1e-3, atol=1e-4)
        assert same == name.startswith("infrared")
    np.testing.assert_allclose(
        grey["embeddings"]["visible_shared"],
        grey["embeddings"]["infrared_shared"],
        rtol=1e-3,
        atol=1e-4,
    )
