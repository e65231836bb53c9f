"""Probabilities of distances: against scikit-learn, loops, and what they promise."""

import collections
import itertools
import json
import math
import re

import crops
import numpy as np
import pytest

from jreid.data.datasets import images_from_rows
from jreid.evaluation.protocols.custom import CustomProtocol
from jreid.evaluation.protocols.llcm import LLCMProtocol
from jreid.evaluation.protocols.protocol import GalleryOptions
from jreid.search import Embedder
from jreid.search.__main__ import main
from jreid.search.calibrate import HeldOut, calibrate, pairs_of
from jreid.search.calibrate import test_of as measured
from jreid.search.calibration import Calibration, expected_calibration_error
from jreid.search.calibrations import Calibrations, pair_of
from jreid.search.labelled_pairs import Pairs, read_pairs
from jreid.search.reliability import reliability


def drawn(rng, count, share, middles=(0.8, 1.6), spread=0.25):
    same = rng.random(count) < share
    distances = np.where(same, *middles) + rng.normal(0, spread, count)
    return np.clip(distances, 0, 4), same


def true_probability(distances, prior, middles=(0.8, 1.6), spread=0.25):
    """By Bayes' rule of two normal densities of one width."""
    densities = [np.exp(-0.5 * ((distances - m) / spread) ** 2) for m in middles]
    return prior * densities[0] / (prior * densities[0] + (1 - prior) * densities[1])


@pytest.mark.parametrize("kind", ["logistic", "isotonic"])
@pytest.mark.parametrize("prior", [0.5, 0.02])
def test_the_probability_is_that_of_bayes(rng, kind, prior):
    """The share of pairs fitted to, 0.1, is not what is answered with."""
    distances, same = drawn(rng, 60_000, 0.1)
    curve = Calibration.fit(distances, same, kind, prior)
    asked = np.linspace(0.7, 1.7, 40)
    gap = curve.probability(asked) - true_probability(asked, prior)
    assert np.abs(gap).max() < (0.03 if kind == "logistic" else 0.12)
    assert np.all(np.diff(curve.probability(np.linspace(0, 4, 99))) <= 0)


@pytest.mark.parametrize("kind", ["logistic", "isotonic"])
def test_the_fit_is_scikit_learns(rng, kind):
    distances, same = drawn(rng, 40_000, 0.2)
    weights = np.where(same, 0.5 / same.mean(), 0.5 / (1 - same.mean()))
    if kind == "logistic":
        linear = pytest.importorskip("sklearn.linear_model")
        # Ours has the default penalty, which a few thousand pairs outweigh.
        model = linear.LogisticRegression(C=np.inf)
        model.fit(distances[:, None], same, weights)
        expected = model.predict_proba(distances[:, None])[:, 1]
    else:
        isotonic = pytest.importorskip("sklearn.isotonic")
        model = isotonic.IsotonicRegression(increasing=False)
        expected = model.fit(distances, same, sample_weight=weights).predict(distances)
    curve = Calibration.fit(distances, same, kind, prior=0.5)
    np.testing.assert_allclose(curve.probability(distances), expected, atol=2e-3)


def test_without_a_prior_it_is_the_share_of_the_pairs(rng):
    distances, same = drawn(rng, 5000, 0.1)
    curve = Calibration.fit(distances, same)
    assert curve.prior == same.mean()
    assert curve.probability(distances).mean() == pytest.approx(same.mean(), rel=0.02)
    even = curve.even()
    assert curve.probability(even)[0] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="prior is 1.0; it must lie between"):
        curve.with_prior(1.0)


@pytest.mark.parametrize("rate", [0.3, 0.1, 0.01, 0.002])
def test_a_threshold_lets_no_more_through(rng, rate):
    distances, same = drawn(rng, 4000, 0.2)
    distances = np.round(distances, 2)  # with many ties
    curve = Calibration.fit(distances, same)
    limit = curve.threshold(rate)
    others = np.sort(distances[~same])
    assert (others <= limit).mean() <= rate
    following = others[np.searchsorted(others, limit, side="right")]
    assert (others <= following).mean() > 0.95 * rate  # no much larger one would do


def test_a_rate_below_that_of_one_pair_is_refused(rng):
    distances, same = drawn(rng, 1000, 0.5)
    curve = Calibration.fit(distances, same)
    least = 1 / (~same).sum()
    assert curve.threshold(least) == distances[~same].min()
    with pytest.raises(ValueError, match=f"from {(~same).sum()} pairs of different"):
        curve.threshold(0.99 * least)
    with pytest.raises(ValueError, match="rate is 1.5; it must lie between"):
        curve.threshold(1.5)


def test_rates_that_equal_distances_hide_are_left_out_of_a_test(rng):
    """Two pairs of the same file: none of 1,000 can be told from two."""
    distances, same = drawn(rng, 3000, 0.5)
    lowest = np.flatnonzero(~same)[:2]
    distances[lowest] = 0
    curve = Calibration.fit(distances, same)
    least = 2 / (~same).sum()
    told = measured(curve, Pairs(distances, same))
    rates = [float(n[20:]) for n in told if n.startswith("false_match_rate_at_")]
    assert rates == [0.1, 0.01] and 0.001 * (~same).sum() > 1
    for rate in rates:
        limit = max(
            d for d in distances[~same] if (distances[~same] <= d).mean() <= rate
        )
        right = np.mean([d <= limit for d in distances[same]])
        assert told[f"true_match_rate_at_{rate:g}"] == pytest.approx(right, abs=0.002)
    with pytest.raises(ValueError, match="give at least") as refused:
        curve.threshold(0.001)
    found = re.search(r"at least ([\d.e-]+),", str(refused.value))
    assert found is not None and least <= float(found[1]) < 1.01 * least
    assert curve.threshold(float(found[1])) == 0


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d, s: (d, s & False), "0 pairs of the same person and 200"),
        (lambda d, s: (np.where(s, np.nan, d), s), "NaN or infinity"),
        (lambda d, s: (4 - d, s), "not lower than those of different"),
        (lambda d, s: (np.where(s & (d > 0.8), 4, d), s), "not lower than those of"),
    ],
)
def test_pairs_that_tell_nothing_are_refused(rng, change, message):
    distances, same = change(*drawn(rng, 200, 0.5))
    with pytest.raises(ValueError, match=message):
        Calibration.fit(distances, same)


@pytest.mark.parametrize(
    "fault, message",
    [
        ({"log_odds": [1.0]}, "no curve"),
        ({"distances": [1.0], "log_odds": [1.0]}, "no curve"),
        ({"distances": [], "log_odds": []}, "no curve"),
        ({"log_odds": [-1.0, 1.0]}, "does not fall"),
    ],
)
def test_what_is_no_curve_is_refused(rng, fault, message):
    stored = Calibration.fit(*drawn(rng, 200, 0.5)).to_json()
    with pytest.raises(ValueError, match=message):
        Calibration.from_json({**stored, **fault})


@pytest.mark.parametrize("kind", ["logistic", "isotonic"])
def test_a_curve_is_the_same_from_json(rng, kind):
    curve = Calibration.fit(*drawn(rng, 500, 0.3), kind)
    assert Calibration.from_json(json.loads(json.dumps(curve.to_json()))) == curve


def naive_error(probabilities, same, weights, bins):
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        last = number == bins - 1
        rows = [
            i
            for i, p in enumerate(probabilities)
            if low <= p < high or (last and p == 1)
        ]
        if rows:
            weight = sum(weights[i] for i in rows)
            promised = sum(weights[i] * probabilities[i] for i in rows) / weight
            kept = sum(weights[i] * same[i] for i in rows) / weight
            total += weight / sum(weights) * abs(promised - kept)
    return total


@pytest.mark.parametrize("prior", [None, 0.5, 0.01])
def test_the_calibration_error_is_that_of_a_loop(rng, prior):
    same = rng.random(400) < 0.2
    probabilities = rng.random(400)
    probabilities[:2] = 0, 1
    share = same.mean()
    kinds = {True: 1, False: 1}
    if prior is not None:
        kinds = {True: prior / share, False: (1 - prior) / (1 - share)}
    weights = [kinds[bool(one)] for one in same]
    expected = naive_error(probabilities, same, weights, 15)
    found = expected_calibration_error(probabilities, same, 15, prior)
    assert found == pytest.approx(expected)
    assert reliability(probabilities, same, 15, prior).pairs.sum() == 400


@pytest.mark.parametrize("two_cameras", [False, True])
def test_pairs_are_all_but_one_persons_in_one_camera(rng, two_cameras):
    """Camera 2 takes both modalities."""
    rows = [
        (f"{camera}/{person}/{number}.png", person, camera, modality)
        for camera, modality in ((1, 0), (2, 0), (2, 1), (3, 1))
        for person in (5, 7, 8)
        for number in (0, 1)
    ]
    images = images_from_rows(rows)
    vectors = rng.normal(size=(len(images), 4))
    expected: dict[str, list] = {}
    left_out = collections.Counter()
    for i, j in itertools.combinations(range(len(images)), 2):
        same = images.ids[i] == images.ids[j]
        names = [("visible", "infrared")[images.modality[n]] for n in (i, j)]
        one_camera = images.cameras[i] == images.cameras[j]
        if same and one_camera and (two_cameras or names[0] == names[1]):
            left_out[pair_of(*names)] += 1
            continue
        gap = vectors[i] - vectors[j]
        expected.setdefault(pair_of(*names), []).append((gap @ gap, bool(same)))
    found = pairs_of(vectors, images, two_cameras)
    assert found.keys() == expected.keys() and len(found) == 3
    assert {name: pairs.left_out for name, pairs in found.items()} == {
        name: left_out[name] for name in found
    }
    for name, pairs in found.items():
        own = sorted(zip(pairs.distances.tolist(), pairs.same.tolist(), strict=True))
        np.testing.assert_allclose(own, sorted(expected[name]))


@pytest.fixture
def calibrations(rng):
    curves = {
        name: Calibration.fit(*drawn(rng, 2000, 0.3, middles), prior=0.2)
        for name, middles in (
            ("visible-visible", (0.4, 1.6)),
            ("visible-infrared", (0.8, 1.8)),
        )
    }
    missing = {"infrared-infrared": "there are no such pairs"}
    return Calibrations("one", "a test", curves, missing)


def test_several_pictures_are_no_surer_than_the_surest(calibrations):
    distances = np.array([[0.5, 1.0], [0.9, 1.2]])
    queries, gallery = ["visible", "infrared"], ["visible", "visible"]
    found = calibrations.probabilities(distances, queries, gallery)
    for column, together in enumerate(found):
        singly = [
            calibrations.curves[pair_of(q, "visible")].probability(d)[0]
            for q, d in zip(queries, distances[:, column], strict=True)
        ]
        odds = [math.log(p / (1 - p)) for p in singly]
        assert together == pytest.approx(1 / (1 + math.exp(-sum(odds) / 2)))
        assert min(singly) < together < max(singly)
    assert calibrations.probabilities(
        distances[1:], ["infrared"], ["infrared"] * 2
    ) == [
        None,
        None,
    ]


def test_nobody_is_an_answer(calibrations):
    limit = calibrations.curves["visible-visible"].threshold(0.01)
    ask = (["visible"], ["visible"] * 3, 0.01)
    matches = calibrations.matches(np.array([[limit, limit + 1e-9, 3.0]]), *ask)
    assert matches.tolist() == [True, False, False]
    assert not calibrations.matches(np.full((1, 3), limit + 0.01), *ask).any()
    with pytest.raises(ValueError, match="for infrared-infrared pairs: there are no"):
        calibrations.matches(np.zeros((1, 1)), ["infrared"], ["infrared"], 0.01)


def test_a_run_keeps_the_curves_of_each_network(calibrations, tmp_path):
    assert "calibrate --workdir" in Calibrations.from_run(tmp_path, "one")[1]
    path = calibrations.write(tmp_path)
    found, why = Calibrations.from_run(tmp_path, "two")
    assert found is None and "another step" in why and "(one)" in why
    other = Calibrations("two", "b", calibrations.curves)
    other.write(tmp_path)
    assert Calibrations.from_run(tmp_path, "one") == (calibrations, "")
    assert Calibrations.from_run(tmp_path, "two") == (other, "")
    assert [*json.loads(path.read_text())] == ["one", "two"]
    calibrations.write(tmp_path)
    assert [*json.loads(path.read_text())] == ["two", "one"]  # the newest last
    path.write_text('{"one": {"curves": 3}}')
    with pytest.raises(ValueError, match="is damaged .* delete it"):
        Calibrations.from_run(tmp_path, "one")


def test_pairs_of_ones_own_are_fitted_to(tmp_path, rng):
    distances, same = drawn(rng, 300, 0.4)
    lines = [f"{d},{int(s)}" for d, s in zip(distances, same, strict=True)]
    file = tmp_path / "pairs.csv"
    file.write_text("\n".join(["distance,same", *lines]))
    found, tests = calibrate(crops.embedder(), file, prior=0.5)
    assert found.curves == {
        "visible-infrared": Calibration.fit(distances, same, "logistic", 0.5)
    }
    assert tests == {} and found.fingerprint == crops.embedder().fingerprint
    assert found.missing["visible-visible"] == "there are no such pairs"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_spreadsheets_file_of_pairs_is_read(tmp_path, rng, separator, encoding):
    distances, same = drawn(rng, 300, 0.4)
    lines = [f"{d}{separator} {int(s)}" for d, s in zip(distances, same, strict=True)]
    file = tmp_path / "pairs.csv"
    text = "\r\n".join([f"Distance{separator}Same", *lines, ""])
    file.write_bytes(text.encode(encoding))
    found, _ = calibrate(crops.embedder(), file)
    expected = Calibration.fit(distances, same, "logistic")
    assert found.curves == {"visible-infrared": expected}


def test_pairs_of_images_are_embedded(tmp_path):
    images = crops.make_crops(tmp_path, images=4)
    names = [f"cam1/{who}_{n}.png" for who in crops.PEOPLE for n in range(4)]
    lines, distances, same = ["first,second,same,first_modality"], [], []
    embedder = crops.embedder()
    for first, second in itertools.combinations(names, 2):
        alike = first.split("_")[0] == second.split("_")[0]
        lines.append(f"{first},{second},{'yes' if alike else 'no'},rgb")
        pair = embedder([images / first, images / second], "visible")
        distances.append(((pair[0] - pair[1]) ** 2).sum())
        same.append(alike)
    file = tmp_path / "pairs.csv"
    file.write_text("\n".join(lines))
    found, _ = calibrate(embedder, file)
    curve = found.curves["visible-visible"]
    expected = Calibration.fit(np.array(distances), np.array(same))
    asked = np.linspace(0, 2, 9)
    np.testing.assert_allclose(
        curve.probability(asked), expected.probability(asked), atol=1e-4
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b\n1,2\n", "has the columns"),
        ("first,second,same\na.png\n", "line 2 has 1 values for 3 columns"),
        ("distance,same\n0.5,1\n0.5,1,0\n", "line 3 has 3 values for 2 columns"),
        ('distance,same\n"0.5,1\n', "line 2: unexpected end of data"),
        ("distance,same\nfar,1\n", "line 2: the distance is 'far'"),
        ("distance,same\n0.5,perhaps\n", "line 2: same is 'perhaps'"),
        ("distance,same,pair\n0.5,1,red-blue\n", "pair is 'red-blue'; allowed are"),
        ("distance,same\n0.5,1\n0.6,0\n", "1 pairs of the same person and 1 of"),
    ],
)
def test_faults_of_a_file_of_pairs_are_named(tmp_path, text, message):
    file = tmp_path / "pairs.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        calibrate(crops.embedder(), file)


def test_a_network_without_held_out_people_says_what_to_do():
    with pytest.raises(ValueError, match="train_on_val=False .* --pairs FILE"):
        calibrate(crops.embedder())


@pytest.fixture
def run_with_people(tmp_path, monkeypatch):
    """A run whose people are the crops': all are held out, those named are tested."""
    images = crops.make_crops(tmp_path / "images")
    workdir = tmp_path / "run"
    workdir.mkdir()
    paths = sorted(images.rglob("*.png"))

    def people(cameras, names, numbers):
        rows = [
            (
                str(path),
                crops.PEOPLE.index(path.stem[:3]),
                numbers[camera - 1],
                int(camera == 3),
            )
            for path in paths
            for camera in [int(path.parent.name[3:])]
            if camera in cameras and path.stem[:3] in names
        ]
        return images_from_rows(rows)

    def begin(
        test_cameras=(1, 2, 3),
        test_names=crops.PEOPLE,
        numbers=(1, 2, 3),
        protocol=CustomProtocol,
    ):
        held_out = HeldOut(
            people((1, 2, 3), crops.PEOPLE, numbers),
            people(test_cameras, test_names, numbers),
            protocol(),
            GalleryOptions(),
        )
        found = lambda embedder: held_out  # noqa: E731
        monkeypatch.setattr("jreid.search.calibrate.held_out_people", found)
        return workdir

    def from_run(workdir, step=None, kind="fused", config=None):
        made = crops.embedder()
        made.workdir = workdir
        return made

    monkeypatch.setattr(Embedder, "from_run", from_run)
    return begin


def kept(workdir):
    found, _ = Calibrations.from_run(workdir, crops.embedder().fingerprint)
    assert found is not None
    return found


def test_a_picture_without_a_folder_is_refused_before_the_fit(run_with_people, capfd):
    workdir = run_with_people()
    for path, told in (
        (workdir / "no" / "x.png", "make it first"),
        (workdir, "folder"),
    ):
        words = ["calibrate", "--workdir", str(workdir), "--picture", str(path)]
        assert main(words) == 2
        assert told in capfd.readouterr().err
        assert not (workdir / "calibration.json").exists()


def test_a_fit_is_kept_where_no_picture_can_be_drawn(run_with_people, tmp_path, capfd):
    workdir, path = run_with_people(test_names=()), tmp_path / "x.png"
    words = ["calibrate", "--workdir", str(workdir), "--picture", str(path)]
    assert main(words) == 2
    assert "x.png was not drawn" in capfd.readouterr().err
    assert kept(workdir).tested == {} and not path.exists()


def test_pairs_that_cannot_be_tested_are_told(run_with_people, tmp_path, capfd):
    """Test people seen by one visible camera each have no pair of one person there."""
    workdir, path = run_with_people((1, 3)), tmp_path / "x.png"
    words = ["calibrate", "--workdir", str(workdir), "--picture", str(path)]
    assert main(words) == 0
    told = capfd.readouterr().out
    assert "not tested: of the test identities there are 0 pairs of one person" in told
    assert {*kept(workdir).curves} == {"visible-visible", "visible-infrared"}
    assert {*kept(workdir).tested} == {"visible-infrared"}
    assert path.is_file()


def test_cameras_of_both_modalities_lack_what_the_protocol_leaves_out(run_with_people):
    """One number for all cameras: LLCM's protocol leaves out every pair of a person."""
    made = crops.embedder()
    run_with_people(numbers=(1, 1, 1))
    found, _ = calibrate(made)
    assert {*found.curves} == {"visible-infrared"}
    for name, pairs in (("visible-visible", 15), ("infrared-infrared", 3)):
        told = f"({4 * pairs} more of the same person are of one camera"
        assert told in found.missing[name]
    run_with_people(numbers=(1, 1, 1), protocol=LLCMProtocol)
    with pytest.raises(ValueError, match="visible-infrared: 0 pairs of the same"):
        calibrate(made)


@pytest.mark.parametrize("prior", [0.5, 0.2, 0.8])
def test_an_even_chance_lies_between_more_and_less(rng, prior):
    for kind in ("logistic", "isotonic"):
        curve = Calibration.fit(*drawn(rng, 5000, 0.3), kind, prior)
        above, below = curve.probability(curve.even() + np.array([-1e-6, 1e-6]))
        assert above >= 0.5 >= below


def test_a_curve_is_tested_as_a_loop_does(rng):
    curve = Calibration.fit(*drawn(rng, 3000, 0.3), prior=0.1)
    distances, same = drawn(rng, 500, 0.2, middles=(1.0, 1.5))
    told, share = measured(curve, Pairs(distances, same)), same.mean()
    for word, prior in (("ece", 0.1), ("ece_balanced", 0.5)):
        p = curve.with_prior(prior).probability(distances)
        weights = np.where(same, prior / share, (1 - prior) / (1 - share))
        assert told[word] == pytest.approx(naive_error(p, same, weights, 15))
    for rate in (0.1, 0.01):
        limit = curve.threshold(rate)
        for word, own in (("false", distances[~same]), ("true", distances[same])):
            expected = sum(d <= limit for d in own) / len(own)
            assert told[f"{word}_match_rate_at_{rate:g}"] == pytest.approx(expected)


def test_each_side_of_a_pair_has_its_own_modality(tmp_path):
    images = crops.make_crops(tmp_path, images=1)
    lines = ["first,second,same,first_modality,second_modality"]
    lines += [
        f"cam1/{a}_0.png,cam2/{b}_0.png,{int(a == b)},rgb,ir"
        for a in crops.PEOPLE
        for b in crops.PEOPLE
    ]
    file = images / "pairs.csv"
    file.write_text("\n".join(lines))
    found = read_pairs(file, crops.embedder())
    assert {name: int(pairs.same.sum()) for name, pairs in found.items()} == {
        "visible-infrared": 4
    }


def test_pictures_of_which_one_is_sure_and_one_sure_of_the_opposite():
    steep = Calibration("logistic", (0.0, 1.0), (50.0, -50.0), 0.5, 9, 9, ((1.0, 1),))
    both = Calibrations("one", "a test", {"visible-visible": steep})
    for distances, expected in (
        ([0.0, 1.0], 0.5),
        ([0, 4.0], 0.5),
        ([0, 0], 1),
        ([4, 4], 0),
    ):
        found = both.probabilities(
            np.array(distances, float)[:, None], ["visible"] * 2, ["visible"]
        )
        assert found == [pytest.approx(expected, abs=1e-5)]
