"""Explanations: shares of locations against the same sums written out by hand."""

import io

import crops
import jax.numpy as jnp
import numpy as np
import pytest
import untrained
from flax import nnx
from PIL import Image

from jreid import explain as program
from jreid.explanation import explain
from jreid.explanation_kind import kind_of
from jreid.models.embedding import Embedding
from jreid.models.modules.keys import WeightKeys
from jreid.models.modules.location_shares import location_shares, vector_of
from jreid.models.part_attention import WeightedParts
from jreid.models.pooling import Average, GeM, Maximum, Stripe
from jreid.models.prototype_pool import PrototypePool
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, Project, TwoStream
from jreid.run.frozen import open_run
from jreid.search import Embedder

pytestmark = pytest.mark.usefixtures("systems_built_once")

CHANNELS, SIZE = 4, (3, 2)


def two_branches(pool, **fields):
    branches = (Branch("v1", pool), Branch("v2", pool, adds="v1", **fields))
    return TwoStream(branches, ResNet(depth=18, width=1 / 16, stages=1))


def made(network, rng):
    """The network's module for embedding, its necks' statistics drawn at random."""
    module = network.make(3, WeightKeys(0), jnp.float32)
    module = nnx.view(module, use_running_average=True, raise_if_not_found=False)
    for name in ("v1", "v2"):
        neck = module.branches[name].neck
        neck.mean[...] = jnp.asarray(rng.uniform(0, 1, CHANNELS), jnp.float32)
        neck.var[...] = jnp.asarray(rng.uniform(0.5, 2, CHANNELS), jnp.float32)
    return module


def random_maps(rng):
    maps = rng.uniform(0, 2, (1, *SIZE, CHANNELS)).astype(np.float32)
    return [{"": jnp.asarray(maps)}]


def affine(neck):
    """Slope and shift of a BatchNorm of running statistics."""
    slope = np.asarray(neck.scale[...]) / np.sqrt(np.asarray(neck.var[...]) + 1e-5)
    return slope, -slope * np.asarray(neck.mean[...])


def by_hand(module, maps, other, pooled_shares):
    """Shares and constant of two branches of which the second adds the first.

    `pooled_shares` [h w c] sum over the locations to the pooled vector.
    """
    slope1, shift1 = affine(module.branches["v1"].neck)
    slope2, shift2 = affine(module.branches["v2"].neck)
    shares1 = slope1 * pooled_shares
    shares2 = slope2 * (pooled_shares + shares1)
    constant1, constant2 = shift1, slope2 * shift1 + shift2
    total, constant = 0, 0
    pieces = np.split(np.asarray(other), 2)
    for shares, own, piece in (
        (shares1, constant1, pieces[0]),
        (shares2, constant2, pieces[1]),
    ):
        length = np.linalg.norm(shares.sum((0, 1)) + own) * np.sqrt(2)
        total = total + shares @ piece / length
        constant += own @ piece / length
    return total, constant


@pytest.mark.parametrize("added", ["whole", "detached"])
def test_average_pooling_is_explained_exactly(rng, added):
    network = two_branches(Average(), added=added)
    module = made(network, rng)
    for head in module.branches.values():
        head.added = "whole"
    maps, theirs = random_maps(rng), random_maps(rng)
    other = vector_of(module, Embedding(), "fused", theirs)
    shares = location_shares(module, Embedding(), "fused", maps, other)
    x = np.asarray(maps[0][""][0])
    expected, constant = by_hand(module, maps, other, x / (SIZE[0] * SIZE[1]))
    np.testing.assert_allclose(shares, expected, rtol=1e-3, atol=1e-5)
    similarity = float(vector_of(module, Embedding(), "fused", maps) @ other)
    assert shares.sum() + constant == pytest.approx(similarity, abs=1e-5)
    assert kind_of(network, Embedding(), "fused") == ("exact", True)


@pytest.mark.parametrize("pool", [GeM(3.0), GeM(2.5, form="agw"), Maximum()])
def test_eulers_theorem_makes_homogeneous_pools_sum(rng, pool):
    """Shares and constant are each computed by hand, and give the similarity."""
    network = two_branches(pool)
    module = made(network, rng)
    maps, theirs = random_maps(rng), random_maps(rng)
    other = vector_of(module, Embedding(), "fused", theirs)
    shares = location_shares(module, Embedding(), "fused", maps, other)
    x = np.asarray(maps[0][""][0], np.float64)
    if isinstance(pool, Maximum):
        pooled_shares = np.where(x == x.max((0, 1)), x, 0)
    else:  # f = (mean x^p)^(1/p), and x df/dx = f (x^p / sum x^p)
        powers = x**pool.p
        pooled = powers.mean((0, 1)) ** (1 / pool.p)
        pooled_shares = pooled * powers / powers.sum((0, 1))
    expected, constant = by_hand(module, maps, other, pooled_shares)
    np.testing.assert_allclose(shares, expected, rtol=2e-3, atol=1e-5)
    similarity = float(vector_of(module, Embedding(), "fused", maps) @ other)
    assert shares.sum() + constant == pytest.approx(similarity, abs=1e-4)
    assert kind_of(network, Embedding(), "fused") == ("gradient-weighted", True)


@pytest.mark.parametrize("pool", [Average(), GeM(3.0)])
def test_the_one_region_that_carries_the_identity_is_found(rng, pool):
    """Two images that share a channel's response, each in one place of its own.

    Everywhere else are channels of the background, other ones in each image.
    """
    module = made(two_branches(pool), rng)
    for head in module.branches.values():
        assert head.neck is not None
        head.neck.mean[...] = jnp.zeros(CHANNELS)
    query, match = np.zeros((2, 1, *SIZE, CHANNELS), np.float32)
    query[0, ..., 1], match[0, ..., 2] = 0.3, 0.3
    query[0, 2, 0], match[0, 0, 1] = (2, 0, 0, 0), (2, 0, 0, 0)
    for mine, theirs, place in ((query, match, (2, 0)), (match, query, (0, 1))):
        other = vector_of(module, Embedding(), "fused", [{"": jnp.asarray(theirs)}])
        maps = [{"": jnp.asarray(mine)}]
        shares = location_shares(module, Embedding(), "fused", maps, other)
        assert np.unravel_index(shares.argmax(), SIZE) == place
        elsewhere = np.delete(shares.ravel(), shares.argmax())
        assert np.abs(elsewhere).max() < 1e-5 < shares.max()


def test_shares_of_a_mirror_image_are_turned_back(rng):
    """Two views of equal lengths: the mean of the one's shares and the other's."""
    module = made(two_branches(Average()), rng)
    view, theirs = random_maps(rng)[0], random_maps(rng)
    same = {"": view[""][:, :, ::-1]}  # the mirrored map of a mirrored image
    other = vector_of(module, Embedding(), "v1", theirs)
    alone = location_shares(module, Embedding(), "v1", [view], other)
    both = location_shares(module, Embedding(flip=True), "v1", [view, same], other)
    np.testing.assert_allclose(both, alone, rtol=1e-4, atol=1e-6)


def test_what_is_no_sum_is_not_called_one():
    normalised = two_branches(Average(), added="normalised")
    assert kind_of(normalised, Embedding(), "fused") == ("gradient-weighted", False)
    assert kind_of(normalised, Embedding(), "v1") == ("exact", True)
    relu = two_branches(Average(), project=Project(CHANNELS, relu=True))
    assert kind_of(relu, Embedding(), "fused") == ("gradient-weighted", False)
    assert kind_of(relu, Embedding(names=("v1",)), "fused") == ("exact", True)
    attentive = two_branches(WeightedParts(3))
    assert kind_of(attentive, Embedding(), "fused") == ("gradient-weighted", False)
    stripes = two_branches(Stripe(0, of=3, pool=Average()))
    assert kind_of(stripes, Embedding(), "fused") == ("exact", True)
    parts = two_branches(PrototypePool(2, size=SIZE))
    assert kind_of(parts, Embedding(), "fused") == ("gradient-weighted", False)


@pytest.mark.parametrize("modality", [0, 1])
def test_an_image_is_explained_by_its_modalitys_neck(rng, modality):
    branch = Branch("v1", Average(), neck_of="modality")
    network = TwoStream((branch,), ResNet(depth=18, width=1 / 16, stages=1))
    module = network.make(3, nnx.Rngs(0), jnp.float32)
    module = nnx.view(module, use_running_average=True, raise_if_not_found=False)
    neck = module.branches["v1"].neck
    assert neck is not None
    for statistic in (neck.mean, neck.var):
        drawn = rng.uniform(0.5, 2, (2, CHANNELS))
        statistic[...] = jnp.asarray(drawn, jnp.float32)
    maps = random_maps(rng)
    slope, shift = (x[modality] for x in affine(neck))
    x = np.asarray(maps[0][""][0])
    affine_vector = slope * x.mean((0, 1)) + shift
    vector = vector_of(module, Embedding(), "v1", maps, modality)
    length = np.linalg.norm(affine_vector)
    np.testing.assert_allclose(vector, affine_vector / length, rtol=1e-4, atol=1e-6)
    other = jnp.asarray(rng.normal(size=CHANNELS), jnp.float32)
    shares = location_shares(module, Embedding(), "v1", maps, other, modality)
    expected = (slope * x / (SIZE[0] * SIZE[1])) @ np.asarray(other) / length
    np.testing.assert_allclose(shares, expected, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        base = tmp_path_factory.mktemp("explained")
        patched.setenv("JREID_CACHE", str(base / "cache"))
        untrained.make_run(base / "run")
        yield base / "run"


@pytest.mark.long
def test_a_run_explains_the_similarity_that_its_embedder_gives(run, tmp_path, capsys):
    paths = [tmp_path / "query.png", tmp_path / "match.png"]
    for number, path in enumerate(paths):
        crops.person("ada", number).save(path)
    Embedder.from_run(run)  # keeps what a later one starts from
    embedder = Embedder.from_run(run)
    found = explain(embedder, paths[0], "infrared", paths[1], "visible")
    expected = np.vdot(*embedder(paths, ["infrared", "visible"]))
    assert found.similarity == pytest.approx(expected, abs=1e-5)
    assert (found.kind, found.sums) == ("gradient-weighted", True)
    assert "Euler" in found.statement
    for shares, constant in (
        (found.query_map, found.query_constant),
        (found.gallery_map, found.gallery_constant),
    ):
        assert shares.sum() + constant == pytest.approx(found.similarity, abs=1e-5)
    with Image.open(io.BytesIO(found.picture())) as picture:
        assert picture.format == "PNG" and picture.width > picture.height

    out = tmp_path / "explained.png"
    words = [*map(str, paths), "--workdir", str(run), "--out", str(out)]
    assert program.main([*words, "--query_modality", "infrared"]) == 0
    recognised, similarity, *_ = capsys.readouterr().out.splitlines()
    assert recognised == f"{paths[1]}: visible, looks visible"
    assert similarity.startswith(f"similarity {found.similarity:.4f}")
    assert out.read_bytes() == found.picture()


def test_what_cannot_be_explained_is_refused(run, tmp_path, capsys):
    image = crops.person("ada", 0)
    with pytest.raises(ValueError, match="no maps to explain"):
        explain(crops.embedder(), image, "visible", image, "visible")
    with pytest.raises(ValueError, match="modality is 'thermal'"):
        explain(open_run(run), image, "thermal", image, "visible")
    assert program.main(["no.png", "no.png", "--workdir", str(run)]) == 2
    assert capsys.readouterr().err == "error: no.png is no file: give two images\n"
