"""SYSU-MM01 at its real size: both draws, counts, and scores against a plain loop."""

import hashlib
import json
import pathlib

import numpy as np
import pytest
import scipy.io
from naive_scores import (
    PUBLISHED,
    columns_of,
    features_of,
    naive_metrics,
    naive_rerank,
    published_columns,
    scores_by,
    take,
)

from jreid.data.sysu_mm01 import read_sysu_mm01
from jreid.evaluation.distances import squared_distances
from jreid.evaluation.official_draw import read_permutations, shipped_draw
from jreid.evaluation.protocols.protocol import GalleryOptions
from jreid.evaluation.protocols.sysu_mm01 import SysuProtocol, sysu_trial
from jreid.evaluation.rank_lists import example_rank_lists
from jreid.evaluation.rerank.blocks import rerank
from jreid.evaluation.score import METRICS

CAMERAS = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
# SHA-256 of the published galleries of trials 0 to 9, as JSON lists of
# [camera, identity, 0-based index into the sorted files].
FINGERPRINTS = {
    "agw all": "00d9760ff720a25f1cd51d8f6481b9bc00bdd7a623ef14ddd7525be091522bfc",
    "agw indoor": "7b30bb57da036652a1e58c997a60873da69d1be80c6a8af14b9de13bd95f3e58",
    "official all": "a3f9228d6cc62d5609404329a2f35ea559a06dd7c22d3f61cefc027fc716a6a2",
    "official indoor": (
        "7c509018064bc8970feb99e2cbd23542209cd65a0afc81f0fbbd2494bf83e5c8"
    ),
}


TRAINING = json.loads(
    (pathlib.Path(__file__).parent / "data" / "sysu_mm01_train.json").read_text()
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The images of SYSU-MM01's 491 identities as empty files."""
    root = tmp_path_factory.mktemp("sysu")
    (root / "exp").mkdir()
    lists = {
        "train": TRAINING["train"],
        "val": TRAINING["val"],
        "test": PUBLISHED["ids"],
    }
    for part, ids in lists.items():
        (root / "exp" / f"{part}_id.txt").write_text(",".join(map(str, ids)) + "\n")
    ids = [identity for part in lists.values() for identity in part]
    counts = {
        camera: zip(ids, TRAINING["images"][camera] + of_camera, strict=True)
        for camera, of_camera in PUBLISHED["images"].items()
    }
    for camera, of_camera in counts.items():
        for identity, count in of_camera:
            folder = root / f"cam{camera}" / f"{identity:04d}"
            if count:
                folder.mkdir(parents=True)
            for number in range(1, count + 1):
                (folder / f"{number:04d}.jpg").touch()
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train_on_val", "identities", "visible", "infrared"),
    [(True, 395, 22_258, 11_909), (False, 296, 20_284, 9_929)],
)
def test_training_counts(tree, train_on_val, identities, visible, infrared):
    train = read_sysu_mm01(tree, train_on_val=train_on_val).train
    assert len(np.unique(train.ids)) == identities
    assert np.bincount(train.modality).tolist() == [visible, infrared]


@pytest.fixture(scope="module")
def columns(tree):
    images = read_sysu_mm01(tree).test
    return {"ids": images.ids, "cameras": images.cameras, "paths": images.paths}


@pytest.mark.slow
@pytest.mark.parametrize("draw_and_mode", FINGERPRINTS)
def test_galleries_of_a_tree_are_the_published_ones(columns, draw_and_mode):
    draw, mode = draw_and_mode.split()
    official = shipped_draw() if draw == "official" else None
    galleries = []
    for trial in range(10):
        drawn = sysu_trial(**columns, trial=trial, mode=mode, official=official).gallery
        parts = [pathlib.Path(path).parts[-3:] for path in columns["paths"][drawn]]
        galleries.append(
            [
                [int(camera[3:]), int(identity), int(name[:4]) - 1]
                for camera, identity, name in parts
            ]
        )
    found = hashlib.sha256(json.dumps(galleries).encode()).hexdigest()
    assert found == FINGERPRINTS[draw_and_mode]


@pytest.mark.slow
def test_the_rank_sheet_shows_galleries_of_the_runs_draw(tree, columns, rng):
    images = read_sysu_mm01(tree).test
    (trial,) = SysuProtocol().example_trials(images, GalleryOptions(draw="official"))
    features = rng.normal(size=(len(images), 4))
    lists = example_rank_lists(features, trial, ids=images.ids)
    shown = {int(row) for ranked in lists for row in ranked.nearest}
    draws = {"official": shipped_draw(), "agw": None}
    gallery = {
        name: set(sysu_trial(**columns, trial=0, official=official).gallery)
        for name, official in draws.items()
    }
    assert shown <= gallery["official"]
    assert not shown <= gallery["agw"]


@pytest.fixture(scope="module")
def permutations(tmp_path_factory):
    """A rand_perm_cam.mat of the released structure with our own permutations."""
    path = tmp_path_factory.mktemp("mat") / "rand_perm_cam.mat"
    write_permutations(path, PUBLISHED["images"])
    return path


def write_permutations(path, images, trials=10):
    generator = np.random.default_rng(5)
    cameras = np.empty((6, 1), object)
    for camera in range(6):
        identities = np.empty((533, 1), object)
        identities[:, 0] = [np.zeros((0, 0))] * 533
        counts = images.get(str(camera + 1), [])
        for identity, count in zip(PUBLISHED["ids"], counts, strict=False):
            if count:
                orders = [generator.permutation(count) + 1 for _ in range(trials)]
                identities[identity - 1, 0] = np.array(orders, np.float64)
        cameras[camera, 0] = identities
    scipy.io.savemat(path, {"rand_perm_cam": cameras})


def test_permutations_are_read_as_released_code_reads_them(columns, permutations):
    content = scipy.io.loadmat(permutations)["rand_perm_cam"]
    official = read_permutations(permutations)
    for mode, shots, trial in (("all", 1, 0), ("all", 10, 9), ("indoor", 10, 4)):
        drawn = sysu_trial(
            **columns, trial=trial, mode=mode, shots=shots, official=official
        ).gallery
        expected = []
        for camera in CAMERAS[mode]:
            for identity in PUBLISHED["ids"]:
                orders = content[camera - 1, 0][identity - 1, 0]
                if orders.size:
                    expected += [
                        f"cam{camera}/{identity:04d}/{int(number):04d}.jpg"
                        for number in orders[trial, :shots]
                    ]
        names = ["/".join(path.split("/")[-3:]) for path in columns["paths"][drawn]]
        assert names == expected
        assert len(names) == {"all": 301, "indoor": 112}[mode] * shots


def naive_rows(features, columns, trial):
    """Metrics of every trial query by query, from distances of plain differences."""
    wide = features.astype(np.float64)
    gallery = wide[trial.gallery]
    distances = np.array(
        [((gallery - wide[query]) ** 2).sum(axis=1) for query in trial.query]
    )
    ids, cameras = columns["ids"], columns["cameras"]
    same_room = cameras[trial.query] == 3
    excluded = same_room[:, None] & (cameras[trial.gallery] == 2)
    return naive_metrics(
        distances, ids[trial.query], ids[trial.gallery], excluded, True
    )


@pytest.mark.long
@pytest.mark.parametrize("draw", ["agw", "official"])
def test_real_split_agrees_with_a_plain_loop(draw, permutations):
    columns = published_columns()
    features = features_of(columns, seed=3, noise=1.2)
    official = read_permutations(permutations) if draw == "official" else None
    scores = scores_by(
        "sysu",
        {"one": features},
        columns,
        trials=1,
        draw=draw,
        permutations=str(permutations) if official else "",
        reranking=False,
    )
    assert len(scores) == 4
    settings = [("all", 1), ("all", 10), ("indoor", 1), ("indoor", 10)]
    for score, (mode, shots) in zip(scores, settings, strict=True):
        trial = sysu_trial(
            **columns, trial=0, mode=mode, shots=shots, official=official
        )
        values, skipped = naive_rows(features, columns, trial)
        got = [score.mean[name] for name in METRICS]
        np.testing.assert_allclose(got, values, rtol=0, atol=1e-6)
        assert 0.05 < score.mean["mAP"] < 0.95
        assert (score.counted, score.skipped) == (3803 - skipped, skipped)
        assert skipped == {"all": 0, "indoor": 1595}[mode]
        assert score.gallery == {"all": 301, "indoor": 112}[mode] * shots
        assert score.draw == draw


def test_input_order_and_missing_paths_do_not_change_the_draw():
    columns = published_columns()
    rows = np.random.default_rng(0).permutation(len(columns["ids"]))
    shuffled = take(columns, rows)
    for official in (None, shipped_draw()):
        trial = sysu_trial(**columns, trial=2, official=official)
        other = sysu_trial(**shuffled, trial=2, official=official)
        expected = columns["paths"][trial.gallery].tolist()
        assert shuffled["paths"][other.gallery].tolist() == expected
        without = {name: columns[name] for name in ("ids", "cameras")}
        bare = sysu_trial(**without, trial=2, official=official)
        assert bare.gallery.tolist() == trial.gallery.tolist()


def refuses(match, columns, **options):
    with pytest.raises(ValueError, match=match):
        scores_by(
            "sysu",
            {"one": np.ones((len(columns["ids"]), 1), np.float32)},
            columns,
            draw="official",
            shots=(1,),
            reranking=False,
            **options,
        )


def test_official_draw_refuses_other_images(tmp_path, permutations):
    columns = published_columns()
    ids, cameras = columns["ids"], columns["cameras"]
    first = np.flatnonzero((ids == 6) & (cameras == 1))
    refuses(
        'has 41 images of identity 6, .* is of 42: use draw="agw"',
        take(columns, np.arange(len(ids)) != first[0]),
    )
    refuses("no images of identity 6 in camera 1, where", take(columns, ids != 6))
    strange = columns_of({1: {7: 3}, 3: {7: 3}})
    refuses(r"has no images of identity 7 in camera 1 \(1 such pairs\)", strange)
    refuses("trial 10 of the shipped table .* has 10 trials", columns, trials=11)
    with pytest.raises(ValueError, match="for multi-shot give .* rand_perm_cam.mat"):
        sysu_trial(**columns, trial=0, shots=10, official=shipped_draw())
    # The user's file knows more identities than a set needs.
    some = take(columns, np.isin(ids, [6, 10]))
    gallery = sysu_trial(**some, trial=0, official=read_permutations(permutations))
    assert set(some["ids"][gallery.gallery]) == {6, 10}
    features = {"one": np.ones((len(ids), 1), np.float32)}
    with pytest.raises(ValueError, match="only the official draw reads"):
        scores_by("sysu", features, columns, permutations=str(permutations))


def test_permutation_files_that_cannot_be_used(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_permutations(tmp_path / "missing.mat")
    path = tmp_path / "bad.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(ValueError, match="cannot be read as a MATLAB version 5 file"):
        read_permutations(path)
    cases = {
        "holds no variable 'rand_perm_cam'": {"other": np.ones(3)},
        "not a cell array over cameras": {"rand_perm_cam": np.ones((6, 1))},
        "camera 1 .* is not a cell array over identities": {
            "rand_perm_cam": np.array([[np.ones(2)], [np.ones(3)]], object)
        },
        "camera 2, identity 1 .* no matrix of trials x files": {
            "rand_perm_cam": nested([[1.0, 2.0]], [[1.0, 1.0]])
        },
    }
    for match, content in cases.items():
        scipy.io.savemat(path, content)
        with pytest.raises(ValueError, match=match):
            read_permutations(path)


def nested(*matrices):
    """A camera for each matrix, with one identity."""
    cameras = np.empty((len(matrices), 1), object)
    for number, matrix in enumerate(matrices):
        cameras[number, 0] = np.empty((1, 1), object)
        cameras[number, 0][0, 0] = np.array(matrix)
    return cameras


def test_distances_of_the_real_split_are_exact():
    columns = published_columns()
    features = features_of(columns, seed=3)
    trial = sysu_trial(**columns, trial=0)
    got = squared_distances(features[trial.query], features[trial.gallery])
    wide = features.astype(np.float64)
    rows = np.random.default_rng(0).integers(0, len(trial.query), 50)
    gaps = wide[trial.query[rows], None] - wide[trial.gallery]
    np.testing.assert_allclose(got[rows], (gaps**2).sum(axis=-1), atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "mode", "shots", "every"),
    [("agw", "all", 1, 5), ("official", "all", 1, 5), ("agw", "indoor", 10, 20)],
)
def test_reranked_distances_of_the_real_split(draw, mode, shots, every):
    """Some of the queries: the dense implementation is slow."""
    columns = published_columns()
    features = features_of(columns, seed=3, noise=1.2)
    official = shipped_draw() if draw == "official" else None
    trial = sysu_trial(**columns, trial=0, mode=mode, shots=shots, official=official)
    query, gallery = features[trial.query[::every]], features[trial.gallery]
    expected = naive_rerank(query, gallery, 20, 6, 0.3)
    np.testing.assert_allclose(rerank(query, gallery), expected, rtol=0, atol=1e-5)
