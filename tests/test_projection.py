"""Smaller vectors: against scikit-learn's PCA, and int8 against float32."""

import dataclasses
import types

import crops
import numpy as np
import pytest

from jreid.search import Gallery
from jreid.search.indexing import index, list_images
from jreid.search.labels import Labels
from jreid.search.projection import (
    Projection,
    from_int8,
    projection_of_run,
    to_int8,
    with_projection,
)


@pytest.fixture
def vectors(rng):
    made = rng.normal(size=(300, 12)) * np.linspace(3, 0.1, 12) + 0.5
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.parametrize("dim", [1, 5, 12])
def test_axes_are_scikit_learns(vectors, dim):
    decomposition = pytest.importorskip("sklearn.decomposition")
    model = decomposition.PCA(dim).fit(vectors)
    made = Projection.fit(vectors, dim)
    signs = np.sign((model.components_ * made.axes).sum(axis=1))
    np.testing.assert_allclose(made.axes, signs[:, None] * model.components_, atol=1e-5)
    assert made.variance == pytest.approx(model.explained_variance_ratio_.sum())
    expected = signs * model.transform(vectors)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(made(vectors), expected, atol=1e-4)


@pytest.mark.parametrize(
    "dim, rows, message",
    [
        (13, 300, "dimension is 13; the vectors have 12"),
        (0, 300, "dimension is 0; the vectors have 12"),
        (8, 5, "5 training images give 5 axes at most"),
    ],
)
def test_other_dimensions_are_refused(vectors, dim, rows, message):
    with pytest.raises(ValueError, match=message):
        Projection.fit(vectors[:rows], dim)


def test_it_is_the_same_from_its_file(vectors, tmp_path):
    made = Projection.fit(vectors, 3)
    made.save(tmp_path / "p.npz")
    kept = Projection.load(tmp_path / "p.npz")
    assert kept.digest == made.digest and kept.variance == made.variance
    np.testing.assert_array_equal(kept(vectors), made(vectors))
    (tmp_path / "p.npz").write_bytes(b"PK nonsense")
    with pytest.raises(ValueError, match="is damaged"):
        Projection.load(tmp_path / "p.npz")


def test_a_smaller_embedder_is_another_network(tmp_path):
    embedder = crops.embedder()
    pictures = [crops.person(name, n) for name in crops.PEOPLE for n in range(9)]
    whole = embedder(pictures, "visible")
    made = Projection.fit(whole, 4)
    smaller = with_projection(embedder, made)
    found = smaller(pictures, "visible")
    assert found.shape == (36, 4) and smaller.dim == 4
    np.testing.assert_allclose(found, made(whole), atol=1e-5)
    assert smaller.fingerprint != embedder.fingerprint
    other = with_projection(embedder, Projection.fit(whole[1:], 4))
    assert other.fingerprint != smaller.fingerprint
    assert with_projection(embedder, made).fingerprint == smaller.fingerprint
    with pytest.raises(ValueError, match="leave out --dim"):
        projection_of_run(embedder, 4)


def test_int8_is_wrong_by_half_a_unit_at_most(vectors):
    codes, units = to_int8(np.concatenate([vectors, np.zeros((1, 12))]))
    assert codes.dtype == np.int8 and np.abs(codes).max() == 127
    back = from_int8(codes, units)
    gaps = np.abs(back[:-1] - vectors).max(axis=1)
    assert (gaps <= 0.5001 * units[:-1]).all() and not back[-1].any()


def labels_of(path):
    return Labels(modality="visible", identity=path.split("/")[1].split("_")[0])


@pytest.mark.slow
def test_a_gallery_of_int8_ranks_as_one_of_float16(tmp_path):
    images = crops.make_crops(tmp_path / "images")
    embedder, found, sizes = crops.embedder(), [], []
    for int8 in (False, True):
        place = str(tmp_path / f"gallery-{int8}")
        with Gallery.create(place, embedder, images, int8=int8) as gallery:
            index(gallery, [*list_images(images)], labels_of)
            gallery.remove(["cam1/ada_0.png"])  # moves a row
        with Gallery.open(place, embedder) as gallery:
            hits = gallery.query(crops.person("bob", 99), "visible", k=100)
            found.append({hit.path: hit.distance for hit in hits})
            name = "vectors.i8" if int8 else "vectors.f16"
            sizes.append(gallery.info()["bytes"][name])
            assert hits[0].identity == "bob"
    assert sizes == [35 * 2 * crops.DIM, 35 * (crops.DIM + 4)]
    assert found[0].keys() == found[1].keys() and len(found[0]) == 35
    gaps = [abs(found[0][path] - found[1][path]) for path in found[0]]
    assert 0 < max(gaps) < 0.02


def test_a_projection_is_fitted_to_the_training_images_once(tmp_path, monkeypatch):
    images = crops.make_crops(tmp_path / "images")
    paths = sorted(images.rglob("*.png"))
    embedder = crops.embedder()
    embedder.workdir = tmp_path
    from jreid.data.datasets import images_from_rows

    train = images_from_rows((str(path), 1, 1, 0) for path in paths)
    dataset = types.SimpleNamespace(train=train)
    data = types.SimpleNamespace(read=lambda: dataset)
    (tmp_path / "config.json").write_text('{"is": "x"}')
    monkeypatch.setattr(
        "jreid.config_json.from_json", lambda values: types.SimpleNamespace(data=data)
    )
    made = projection_of_run(embedder, 3)
    expected = Projection.fit(embedder([*train.paths], "visible"), 3)
    np.testing.assert_allclose(made.axes, expected.axes, atol=1e-4)
    monkeypatch.undo()
    again = projection_of_run(embedder, 3)  # without any images
    assert again.digest == made.digest
    assert dataclasses.asdict(again).keys() == {"mean", "axes", "variance"}
    with pytest.raises(ValueError, match="dimension is 99; the network's is 16"):
        projection_of_run(embedder, 99)
