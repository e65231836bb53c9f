"""mtGAN's network: images, their made counterparts, and who moves what."""

import functools

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
import tiny
from flax import nnx

from jreid import train
from jreid.config_files import load
from jreid.models.aligned import Generator
from jreid.models.modules import generators
from jreid.models.modules.keys import WeightKeys
from jreid.models.modules.translations import there_and_back, translations
from jreid.training.build import network_maker
from jreid.training.objective import make_objective
from jreid.training.state import network_structure, params_and_stats
from jreid.training.subtrees import merged, split_by

STEMS = {"visible": "visible", "infrared": "infrared"}
COUNTS = {"visible": 4, "infrared": 2}  # rows are joined in groups of 2 and 1


@functools.cache
def made():
    """A narrow config, its network's frozen structure, parameters, statistics."""
    config = narrow.narrow("mtgan_like")
    maker = network_maker(config, narrow.CLASSES)
    params, stats = params_and_stats(maker(WeightKeys(0)))
    return config, network_structure(maker)[1], params, stats


def images_of(counts, size):
    rng = np.random.default_rng(0)
    return {m: jnp.float32(rng.normal(size=(n, *size, 3))) for m, n in counts.items()}


def test_translations_are_made_each_way():
    ways = {"visible": lambda x: 2 * x, "infrared": lambda x: x + 1}
    real = {
        m: jnp.full((1, 1, 1, 3), x) for m, x in (("visible", 3.0), ("infrared", 5.0))
    }
    shown = {n: float(x[0, 0, 0, 0]) for n, x in translations(ways, real).items()}
    assert shown == {
        **{"visible": 3, "made_visible": 10, "same_visible": 6, "cycle_visible": 8},
        **{"infrared": 5, "made_infrared": 4, "same_infrared": 6},
        "cycle_infrared": 11,
    }


def test_what_is_shown_is_normalised_as_images_are():
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    ways = {"visible": lambda x: x / 2, "infrared": lambda x: -x}
    given = jnp.full((1, 1, 1, 3), 0.1)
    signed = 2 * (0.1 * std + mean) - 1
    shown = there_and_back(ways, given, "visible")
    for name, by_hand in (("translated", -signed), ("cycle", -signed / 2)):
        expected = ((by_hand + 1) / 2 - mean) / std
        np.testing.assert_allclose(shown[name][0, 0, 0], expected, rtol=1e-5)


def test_a_generator_refuses_what_would_come_out_in_another_size():
    module = generators.Generator(
        Generator(4, blocks=0), dtype=jnp.float32, rngs=nnx.Rngs(0)
    )
    with pytest.raises(ValueError, match=r"size is \(16, 30\); allowed are multiples"):
        module(jnp.zeros((1, 16, 30, 3)))


def test_the_generators_move_in_the_first_phase_alone():
    config = load("sysu:mtgan_like")
    first, second = config.phases
    paths = [config.players[name].params for name in first.players]
    assert paths == ["generators", "discriminators/visible", "discriminators/infrared"]
    assert [config.players[name].params for name in second.players] == ["reid"]
    assert (first.sampling.identities, config.sampling.identities) == (4, 8)
    assert [load(f"{x}:mtgan_like").phases[0].epochs for x in ("sysu", "regdb")] == [
        8,
        80,
    ]


@pytest.mark.long
def test_outputs_are_those_of_images_counterparts_and_means():
    """By the network of two streams alone, one column and one stem at a time."""
    config, frozen, params, stats = made()
    images = images_of(COUNTS, config.size)

    @jax.jit
    def run(params, stats):
        network = nnx.merge(frozen, params, stats)
        given = network(images, STEMS, player="encoder", made={})
        expected, tested = {}, {}
        for m, other in (("visible", "infrared"), ("infrared", "visible")):
            fake = network.translate(images[m], m)["translated"]
            own = network.reid.embed({m: images[m]}, {m: m})
            made = network.reid.embed({m: fake}, {m: other})
            expected[m] = {"own": own, "made": made}
            tested[m] = network.embed({m: images[m]}, {m: m})
        return given, expected, tested

    given, expected, tested = jax.device_get(run(params, stats))
    # two visible ones, an infrared one, and again
    order = [("visible", 0), ("visible", 1), ("infrared", 0)]
    order += [("visible", 2), ("visible", 3), ("infrared", 1)]
    kernel = params["reid"]["branches"]["v1"]["classifier"]["kernel"]
    for kind in ("features", "embeddings"):
        for row, (m, place) in enumerate(order):
            pair = [expected[m][b][kind]["v1"][place] for b in ("own", "made")]
            assert np.abs(pair[0] - pair[1]).max() > 1e-3
            for name, x in zip(
                ("own", "made", "mean"), (*pair, sum(pair) / 2), strict=True
            ):
                for found in (given[kind][name][row], tested[m][kind][name][place]):
                    np.testing.assert_allclose(found, x, atol=1e-4)
    for name, logits in given["logits"].items():
        by_hand = given["embeddings"][name] @ np.asarray(kernel)
        np.testing.assert_allclose(logits, by_hand, atol=1e-5)


@pytest.mark.long
def test_each_player_moves_all_that_is_its_own():
    config, frozen, params, stats = made()
    images = images_of(dict.fromkeys(COUNTS, 2 * narrow.IDS), config.size)
    rows = narrow.rows_of(config)
    fakes = {f"made_{m}": jnp.tanh(x) for m, x in images.items()}

    def slopes(name):
        player = config.players[name]
        objective = make_objective(player.objective)

        def loss(params):
            network = nnx.merge(frozen, params, stats)
            return objective(network(images, STEMS, player=name, made=fakes), rows)[0]

        return jax.jit(jax.grad(loss))(params), player.params

    for name in config.players:
        gradient, pattern = slopes(name)
        mine, others = split_by(pattern, gradient)
        for path, leaf in jax.tree.leaves_with_path(mine):
            assert np.isfinite(leaf).all(), (name, path)
            # an instance norm takes a bias before it away
            if not (name in COUNTS and "bias" in str(path)):
                assert np.abs(leaf).max() > 0, (name, path)
        if name == "encoder":
            assert not any(np.abs(x).any() for x in jax.tree.leaves(others))
        assert merged(mine, others).keys() == params.keys()


@pytest.mark.long
def test_a_run_freezes_its_generators_and_shows_what_they_make(tmp_path):
    config = narrow.narrow("mtgan_like")
    config.data.root = str(tiny.make_tree(tmp_path / "tree"))
    states = []
    for config.steps in (1, 2, 0):  # two steps of the first phase, four of the second
        assert train.train(config, tmp_path / "run") == 0
        states.append(tiny.final_state(tmp_path / "run"))
    own = {"first": ("generators", "discriminators"), "second": ("reid",)}
    for phase, (before, after) in zip(own, (states[:2], states[1:]), strict=True):
        for name in (n for n in after if n.startswith("params/")):
            moved = (before[name] != after[name]).any()
            if name.split("/")[1] not in own[phase]:
                assert not moved, (phase, name)
            elif "bias" not in name:
                assert moved, (phase, name)
    assert (tmp_path / "run" / "translations.png").stat().st_size > 1000
