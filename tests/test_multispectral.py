"""D2RL's layers, images, turns and gradients, against loops; its first weights."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
from flax import nnx
from naive_layers import convolved, instance_normed, made, map_normed

from jreid import parts
from jreid.config_files import load
from jreid.models.modules.latent_coder import LatentDecoder, LatentEncoder, drawn
from jreid.models.multispectral import LatentCoder
from jreid.run.further_channels import FIRST
from jreid.run.leaves import named_leaves
from jreid.run.pretrained import Pretrained, describe, new_parts, with_weights
from jreid.training.state import TrainState
from jreid.training.subtrees import split_by

STEMS = {"visible": "visible", "infrared": "infrared"}
OTHER = {"visible": "infrared", "infrared": "visible"}
CODERS = {"encoders", "decoders"}
# player and term -> the parts that have a gradient of it; of the player's own they move
ALONE = {
    ("generators_alone", "fool"): {*CODERS, "discriminators"},
    ("generators_alone", "same"): CODERS,
    ("generators_alone", "cycle"): CODERS,
    ("generators_alone", "divergence"): CODERS,
}
MOVED = {
    **ALONE,
    **{("generators", term): moved for (_, term), moved in ALONE.items()},
    ("generators", "identity"): {*CODERS, "reid"},
    ("generators", "triplet"): {*CODERS, "reid"},
    ("discriminators", "real"): {"discriminators"},
    ("discriminators", "fake"): {"discriminators"},
    ("reid", "identity"): {*CODERS, "reid"},
    ("reid", "triplet"): {*CODERS, "reid"},
}
PLAYERS = tuple(dict.fromkeys(player for player, _ in MOVED))


@functools.cache
def structure():
    """The narrow config, its network, and random parameters, made by no program."""
    config = narrow.narrow("d2rl_like")
    config.size, config.network.size = (32, 16), (16, 8)
    config.network.trunk.stages, config.network.discriminator.levels = 2, 1
    parts.check(config)
    return config, *narrow.random_structure(config)


def views(seed=0, slots=2 * narrow.IDS):
    shape = (2, slots, *structure()[0].size, 3)
    images = jnp.float32(np.random.default_rng(seed).normal(size=shape))
    return dict(zip(STEMS, images, strict=True))


def shown():
    """Images as the generators give them."""
    shape = (2 * narrow.IDS, *structure()[0].network.size, 3)
    rng = np.random.default_rng(1)
    names = [f"{kind}{m}" for kind in ("", "made_") for m in STEMS]
    return {n: jnp.tanh(jnp.float32(rng.normal(size=shape))) for n in names}


@functools.cache
def played(player, draws=True):
    """Each term's value and slopes, then outputs and statistics; of one program."""
    config, graph, params, stats = structure()
    terms = config.players[player].objective
    rows = narrow.rows_of(config)
    order = np.argsort(rows["slot"], kind="stable")  # as joined columns have them
    batch = {key: rows[key][order] for key in ("ids", "modality")}
    given = shown() if player == "discriminators" else {}

    @jax.jit
    def run(params, weights):
        def loss(params):
            network = nnx.merge(graph, params, stats)
            rng = jax.random.key(3) if draws else None
            outputs = network(views(), STEMS, rng, player=player, made=given)
            values = jnp.stack([term(outputs, batch) for term in terms.values()])
            after = nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
            return jnp.sum(weights * values), (values, outputs, after)

        (_, found), slopes = jax.value_and_grad(loss, has_aux=True)(params)
        return *found, slopes

    found = {}
    for number, name in enumerate(terms):
        values, outputs, after, slopes = run(params, jnp.eye(len(terms))[number])
        found[name] = float(values[number]), slopes
    return found, outputs, after


def largest(tree):
    found = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
    assert np.isfinite(found)
    return found


def test_a_coder_is_that_of_loops(rng):
    encoder = made(LatentEncoder, LatentCoder(2, blocks=1))
    x = rng.normal(size=(2, 8, 12, 3))

    def residual(block, x):
        y = np.maximum(instance_normed(convolved(block.conv1, x)), 0)
        return x + instance_normed(convolved(block.conv2, y))

    code = x
    for conv in encoder.convs:
        code = np.maximum(instance_normed(convolved(conv, code)), 0)
    code = residual(encoder.blocks[0], code)
    assert code.shape == (2, 2, 3, 8)
    found = jax.jit(encoder)(jnp.float32(x))
    np.testing.assert_allclose(found, code, atol=2e-3)

    decoder = made(LatentDecoder, LatentCoder(2, blocks=1), seed=1)
    given = rng.normal(size=(2, 2, 3, 8))
    image = residual(decoder.blocks[0], given)
    for conv, norm in zip(decoder.up, decoder.norms, strict=True):
        twice = np.kron(image, np.ones((1, 2, 2, 1)))
        image = np.maximum(map_normed(norm, convolved(conv, twice)), 0)
    image = np.tanh(convolved(decoder.out, image))
    found = jax.jit(decoder)(jnp.float32(given))
    np.testing.assert_allclose(found, image, atol=2e-3)


def test_a_code_is_drawn_around_its_mean():
    means = jnp.full((8, 16, 16, 4), 3.0)
    assert drawn(means, None, 0) is means
    one, other = (drawn(means, jax.random.key(0), number) for number in (0, 1))
    for code in (one, other):
        assert abs(float(code.mean()) - 3) < 0.05 and abs(float(code.std()) - 1) < 0.05
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_the_divergence_is_that_of_gaussians(rng):
    """Twice the integral of q log(q / p), of each number of the four codes."""
    term = load("sysu:d2rl_like").players["generators"].objective["divergence"]
    names = [name.partition(".")[2] for name, _ in term.on]
    assert sorted(names) == sorted(f"{k}{m}" for k in ("", "again_") for m in STEMS)
    codes = {name: rng.normal(size=(2, 2, 1, 3)) for name in names}
    expected = 0.0
    for code in codes.values():
        divergences = []
        for mean in code.ravel():
            x, step = np.linspace(mean - 12, mean + 12, 2401, retstep=True)
            q = np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * np.pi)
            divergences.append((q * (x**2 - (x - mean) ** 2) / 2).sum() * step)
        expected += 2 * np.mean(divergences)
    given = {name: jnp.float32(code) for name, code in codes.items()}
    np.testing.assert_allclose(term({"codes": given}, {}), expected, rtol=1e-5)
    turned = {name: code[::-1] for name, code in given.items()}
    np.testing.assert_allclose(term({"codes": turned}, {}), expected, rtol=1e-5)
    far = {name: 1e4 * code for name, code in given.items()}
    assert np.isfinite(term({"codes": far}, {}))


def test_terms_weigh_what_units_do_and_phases_follow_each_other():
    config = load("sysu:d2rl_like")
    assert [(name, t) for name, p in config.players.items() for t in p.objective] == (
        list(MOVED)
    )
    for name in ("generators_alone", "generators"):
        terms = config.players[name].objective
        # a mean of two modalities, theirs a sum
        weights = {"fool": 1, "same": 2 * 10, "cycle": 2 * 10, "divergence": 0.01}
        assert {t: terms[t].weight for t in weights} == weights
        assert len(terms["fool"].on) == 2 * 3
    paths = [
        {config.players[name].params for name in phase.players}
        for phase in config.phases
    ]
    first = {"encoders|decoders", "discriminators"}
    assert paths == [first, {"reid"}, first | {"reid"}]
    epochs = {s: [p.epochs for p in load(f"{s}:d2rl_like").phases] for s in STORED}
    assert epochs == STORED


STORED = {"sysu": [16, 70, 50], "regdb": [160, 70, 50], "llcm": [16, 70, 50]}


def test_what_does_not_fit_is_refused():
    network = load("sysu:d2rl_like").network
    network.check()
    for size in ((128, 60), (130, 66)):
        network.size = size
        with pytest.raises(ValueError, match=r"size is \(1.*multiples of 4.* from 64"):
            network.check()
    network.coder.channels = 0
    with pytest.raises(ValueError, match="channels is 0; allowed is 1"):
        network.coder.check()
    network.discriminator.levels = 0
    with pytest.raises(ValueError, match="levels is 0; allowed is 1"):
        network.discriminator.check()


@pytest.mark.long
@pytest.mark.parametrize("player", PLAYERS)
def test_each_term_has_a_slope_in_its_parts_alone(player):
    """A term that is left out leaves a value behind that is not 0."""
    config = structure()[0]
    found, *_ = played(player)
    for term, (value, slopes) in found.items():
        assert np.isfinite(value) and value > 0, term
        steep = {name for name, tree in slopes.items() if largest(tree) > 0}
        assert steep == MOVED[player, term], term
        if "reid" in steep:
            used = {k for k, tree in slopes["reid"]["head"].items() if largest(tree)}
            assert used == ({"neck", "classifier"} if term == "identity" else set())
            kernel = slopes["reid"]["stem"]["conv1"]["kernel"]
            assert (jnp.abs(kernel).max((0, 1, 3)) > 0).all()  # all four channels
    summed = jax.tree.map(
        lambda *x: sum(map(jnp.abs, x)), *[s for _, s in found.values()]
    )
    mine, _ = split_by(config.players[player].params, summed)
    for path, leaf in jax.tree.leaves_with_path(mine):
        # an instance norm takes a bias before it away
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        before_norm = "encoders" in name or "blocks" in name
        assert leaf.max() > 0 or (before_norm and name.endswith("bias")), name


@pytest.mark.long
def test_reid_learns_from_the_images_that_generators_learned_from():
    _, _, _, stats = structure()
    terms, outputs, after = played("generators")
    own_terms, own, own_after = played("reid")
    for new, old in zip(*map(jax.tree.leaves, (after, stats)), strict=True):
        np.testing.assert_array_equal(new, old)
    moved = zip(*map(jax.tree.leaves, (own_after, stats)), strict=True)
    assert all((new != old).any() for new, old in moved)
    for kind in ("features", "embeddings", "logits"):
        np.testing.assert_allclose(own[kind]["v1"], outputs[kind]["v1"], atol=1e-4)
    for term, (value, _) in own_terms.items():
        np.testing.assert_allclose(value, terms[term][0], rtol=1e-4)


@pytest.mark.long
def test_codes_are_drawn_in_a_step_alone():
    outputs, still = (played("generators_alone", draws)[1] for draws in (True, False))
    for name, image in outputs["images"].items():
        real = name in STEMS
        assert (np.abs(image - still["images"][name]).max() > 1e-3) != real, name
    for m in STEMS:  # of an image itself the mean is the same
        codes = (x["codes"][m] for x in (outputs, still))
        np.testing.assert_allclose(*codes, atol=1e-5)


@pytest.mark.long
def test_images_are_made_of_their_codes_and_not_of_each_other():
    """By coders one at a time, without draws."""
    _, graph, params, stats = structure()
    outputs = played("generators_alone", draws=False)[1]

    @jax.jit
    def one_at_a_time(params):
        network = nnx.merge(graph, params, stats)
        real = {m: outputs["images"][m] for m in STEMS}
        codes = {m: network.encoders[m](x) for m, x in real.items()}
        images, judged = {}, {}
        for m, other in OTHER.items():
            images[f"made_{m}"] = network.decoders[m](codes[other])
            images[f"same_{m}"] = network.decoders[m](codes[m])
        for m, other in OTHER.items():
            codes[f"again_{m}"] = network.encoders[other](images[f"made_{other}"])
            images[f"cycle_{m}"] = network.decoders[m](codes[f"again_{m}"])
            for scale, found in enumerate(
                network.discriminators[m](images[f"made_{m}"])
            ):
                judged[f"made_{m}_{scale}"] = found
        return {"images": images | real, "codes": codes, "judgements": judged}

    expected = one_at_a_time(params)
    for kind, found in outputs.items():
        assert found.keys() == expected[kind].keys()
        for name, x in found.items():
            np.testing.assert_allclose(x, expected[kind][name], atol=1e-3, err_msg=name)


@functools.cache
def embedder():
    """`run(params, images, modality)`: what the network makes of test images."""
    _, graph, params, stats = structure()
    network = nnx.view(nnx.merge(graph, params, stats), use_running_average=True)
    frozen = nnx.split(network, nnx.Param, nnx.BatchStat)[0]

    @functools.partial(jax.jit, static_argnames="modality")
    def run(params, images, modality):
        network = nnx.merge(frozen, params, stats)
        vectors = network.embed({modality: images}, {modality: modality})
        return {
            "spectra": network.multispectral(images, modality),
            "vectors": vectors["embeddings"]["v1"],
            **network.translate(images, modality),
        }

    return run


@pytest.mark.long
@pytest.mark.parametrize("modality", STEMS)
def test_an_image_has_what_was_taken_and_what_is_made(modality):
    _, _, params, _ = structure()
    images = views(slots=3)[modality]
    found = embedder()(params, images, modality)
    there = jax.image.resize(found["translated"], images.shape, "linear")
    assert found["translated"].shape == found["cycle"].shape == (3, 16, 8, 3)
    visible, infrared = (images, there) if modality == "visible" else (there, images)
    spectra = np.asarray(found["spectra"])
    np.testing.assert_allclose(spectra[..., :3], visible, atol=1e-4)
    grey = sum(infrared[..., channel] for channel in range(3)) / 3
    np.testing.assert_allclose(spectra[..., 3], grey, atol=1e-4)
    assert len(found["vectors"]) == 3 and found["vectors"].ndim == 2
    turned = embedder()(params, images[::-1], modality)
    np.testing.assert_allclose(turned["vectors"], found["vectors"][::-1], atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("modality", STEMS)
def test_a_vector_depends_on_its_own_encoder_and_the_others_decoder(modality):
    _, _, params, _ = structure()
    images, differs = views(slots=3)[modality], set()
    before = embedder()(params, images, modality)["vectors"]
    names = [
        f"{k}/{m}" for k in ("encoders", "decoders", "discriminators") for m in STEMS
    ]
    for part in (*names, "reid"):
        mine, _ = split_by(part, params)
        moved = {name: 1.3 * x + 0.1 for name, x in named_leaves(mine).items()}
        changed = jax.tree_util.tree_map_with_path(
            lambda path, x, moved=moved: moved.get(
                jax.tree_util.keystr(path, simple=True, separator="/"), x
            ),
            params,
        )
        after = embedder()(changed, images, modality)["vectors"]
        if np.abs(after - before).max() > 1e-4:
            differs.add(part)
    assert differs == {f"encoders/{modality}", f"decoders/{OTHER[modality]}", "reid"}


def weights_of(params, stats, names):
    """A file's arrays for the network, its first convolution of three channels."""
    rng, arrays = np.random.default_rng(5), {}
    for name, leaf in (named_leaves(params) | named_leaves(stats)).items():
        for ours, theirs in names.items():
            if name.startswith(f"{ours}/"):
                shape = list(leaf.shape)
                shape[2:3] = [3] if name.endswith("stem/conv1/kernel") else shape[2:3]
                array = rng.normal(size=shape).astype(np.float32)
                arrays[theirs + name.removeprefix(ours)] = array
    return Pretrained(pathlib.Path("w.npz"), "0" * 64, {"depth": 18}, arrays, names)


def test_a_fourth_channel_begins_as_the_mean_of_three():
    config, _, params, stats = structure()
    weights = weights_of(params, stats, config.network.torch_names())
    loaded = with_weights(TrainState(jnp.int32(0), params, stats, {}, {}), weights)
    kernel, given = (
        loaded.params["reid"]["stem"]["conv1"]["kernel"],
        weights.arrays[FIRST],
    )
    assert kernel.shape == (7, 7, 4, given.shape[3])
    np.testing.assert_array_equal(kernel[:, :, :3], given)
    mean = sum(given[:, :, channel] for channel in range(3)) / 3
    np.testing.assert_allclose(kernel[:, :, 3], mean, rtol=1e-5, atol=1e-6)
    last = loaded.params["reid"]["trunk"]["layer2"][1]["conv2"]["kernel"]
    np.testing.assert_array_equal(last, weights.arrays["trunk/layer2/1/conv2/kernel"])
    told = "1 of 4 channels of reid/stem/conv1/kernel (the others' mean)"
    others = ["decoders", "discriminators", "encoders", "reid/head"]
    assert new_parts(weights, loaded.params) == [*others, told]
    assert describe(weights, loaded.params).endswith(f"reid/head, {told}")


@pytest.mark.parametrize("shape", [(7, 7, 2, 8), (5, 5, 4, 8), (7, 7, 4, 9), (7, 7)])
def test_other_shapes_are_not_filled(shape):
    arrays = {FIRST: np.ones((7, 7, 3, 8), np.float32)}
    leaf, name = jax.ShapeDtypeStruct(shape, np.float32), "reid/stem/conv1/kernel"
    names = {"reid/stem": "stem"}
    weights = Pretrained(pathlib.Path("w.npz"), "", {}, arrays, names)
    assert not weights.holds(name, leaf)
    whole = jax.ShapeDtypeStruct((7, 7, 5, 8), np.float32)
    values = weights.value(name, whole)
    assert values is not None and values.shape == whole.shape
    of_run = Pretrained(pathlib.Path("run"), "", {}, arrays)
    assert not of_run.holds(FIRST, whole)
