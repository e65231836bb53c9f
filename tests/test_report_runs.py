"""What the report says of several runs, and of many images."""

import dataclasses
import re

import numpy as np
import pytest

from jreid.evaluation.files.feature_table import FeatureTable
from jreid.evaluation.protocols.custom import CustomProtocol
from jreid.evaluation.protocols.llcm import LLCMProtocol
from jreid.evaluation.score_features import score_features
from jreid.report import images
from jreid.report.flips import flip_section
from jreid.report.images import map_section
from jreid.report.pairs import distance_section, pair_distances, verification_section
from jreid.report.run_folder import ReportedRun, open_run
from jreid.report.scores import curve_section, score_section
from jreid.report.training import training_section


@pytest.fixture
def run(tmp_path, rng):
    """Makes a run of random vectors of so many people, one image a modality each."""

    def make(name, people, **changed):
        ids, modality = np.repeat(np.arange(people), 2), np.tile([0, 1], people)
        features = rng.normal(size=(2 * people, 8)).astype(np.float32)
        paths = np.array([f"{row}.png" for row in range(2 * people)])
        columns = {"ids": ids, "modality": modality, "cameras": modality + 1}
        table = FeatureTable({"fused": features}, paths=paths, **columns | changed)
        return ReportedRun(name, tmp_path / name, table=table)

    return make


def test_a_map_of_many_images_shows_both_modalities(run, monkeypatch):
    monkeypatch.setattr(images, "MOST_POINTS", 10)
    page = map_section([run("a", 9)], "pca")
    marks = [
        len(re.findall(f"<{mark} .*?<title>", page)) for mark in ("circle", "rect")
    ]
    assert marks == [5, 5] and "10 images, 8 others left out" in page


def test_verification_counts_the_pairs_that_the_protocol_counts(run):
    """Of three people in one camera by day and by night LLCM's has none."""
    one = run("a", 3, cameras=np.ones(6, np.int64))
    found = pair_distances(one)
    assert found is not None and len(found.same_across) == 3
    found = pair_distances(dataclasses.replace(one, protocol=LLCMProtocol()))
    assert found is not None and len(found.same_across) == 0


def test_conditions_that_differ_stand_below_their_rows(run):
    """Of runs on other images, by another measure; the draw is the same in all."""
    measures, counts = ("cosine", "cosine", "euclidean"), (20, 20, 30)
    runs = []
    for number, (measure, people) in enumerate(zip(measures, counts, strict=True)):
        made = run(f"run{number}", people)
        scores = score_features(
            made.table.features, made.table, CustomProtocol(), reranking=False
        )
        about = {"measure": measure, "flip": False}
        runs.append(dataclasses.replace(made, scores=scores, about=about))
    page = score_section(runs)
    for direction in ("visible to infrared", "infrared to visible"):
        here = page[page.index(f"custom protocol, {direction}</h3>") :]
        here = here[: here.index("</table>")]
        shared = here[: here.index("<table>")]
        assert "All rows: draw &#x27;every image&#x27;, " in shared
        assert "not flipped" in shared and "queries" not in shared
        below = re.findall(r"<th scope=\"row\">.*?<small>(.*?)</small></th>", here)
        for run, measure, people, told in zip(
            runs, measures, counts, below, strict=True
        ):
            (score,) = [s for s in run.scores if s.setting == direction]
            assert f"{score.counted} queries, gallery of {score.gallery}" in told
            assert ("measured by euclidean" in told) == (measure == "euclidean")
            assert f"intervals over {people} identities" in told


def looks(page):
    """Of each figure the names in its legend, by how their curves look."""
    found = []
    for part in re.findall(r"<figure.*?</figure>", page):
        drawn = re.findall(r'<(?:polyline|circle) [^>]*class="\w+ (c.*?)"', part)
        named = re.findall(r'<li><svg.*?class="line (c.*?)".*?</svg>(.*?)</li>', part)
        assert sorted({*drawn}) == sorted(look for look, _ in named)
        found.append({name: look for look, name in named})
    return found


@pytest.mark.parametrize("runs, steps", [(2, 3), (2, 1), (3, 3), (9, 3)])
def test_curves_of_a_training_panel_are_told_apart(tmp_path, runs, steps):
    names = ("loss", "lr", "loss/a", "loss/b", "validation/R-1", "validation/mAP")
    scalars = [{"step": s, **dict.fromkeys(names, 0.1)} for s in range(1, steps + 1)]
    none = ReportedRun("none", tmp_path)
    told = [ReportedRun(f"r{n}", tmp_path, scalars=scalars) for n in range(runs)]
    page = training_section([none, *told])
    for panel in looks(page):
        assert len({*panel.values()}) == len(panel)
    titles = re.findall("<figcaption>(.*?)<", page)
    if runs > 2:
        assert titles == ["loss", *names[4:], "lr", "loss/a", "loss/b"]
    else:
        assert titles == ["loss", "loss: its terms", "validation", "lr"]


def test_curves_of_many_runs_are_told_apart(run):
    many = []
    for number in range(9):
        made = run(f"run{number}", 9)
        scores = score_features(made.table.features, made.table, CustomProtocol())
        many.append(dataclasses.replace(made, scores=scores))
    pages = (
        curve_section(many),
        verification_section(many, [pair_distances(one) for one in many]),
    )
    for page in pages:
        panel = looks(page)[0]
        assert 9 <= len(panel) == len({*panel.values()})


def test_distances_have_one_axis_among_runs_of_one_measure(run):
    """Vectors a hundred times as long, measured as they are, beside two by cosine."""
    made = [run(name, 9) for name in ("a", "b", "long")]
    long = {"fused": 100 * made[2].headline}
    table = dataclasses.replace(made[2].table, features=long, measure="euclidean")
    made[2] = dataclasses.replace(made[2], table=table)
    page = distance_section(made, [pair_distances(one) for one in made])
    panels = re.findall(r"<figure.*?</figure>", page)
    marks = [
        [float(text.replace("\u202f", "")) for text in found]
        for found in (
            re.findall(r'text-anchor="middle">([^<]*\d)<', panel) for panel in panels
        )
    ]
    assert marks[0] == marks[1] and marks[0][-1] <= 4 and marks[2][-1] > 10_000
    for panel in panels:  # in more than one bin
        curves = re.findall(r'<polyline points="(.*?)"', panel)
        heights = {point.split(",")[1] for curve in curves for point in curve.split()}
        assert len(heights) > 4


def stored(folder, made, seed, content="", paths=True):
    """A run's folder with other vectors of the same columns."""
    folder.mkdir()
    ids, noise = made.table.ids, np.random.default_rng(seed).normal(size=(24, 12))
    columns = {"ids": ids, "modality": made.table.modality, "cameras": ids % 2}
    if paths:
        columns["paths"] = np.array([f"{folder.name[0]}/{row}" for row in range(24)])
    fused = (np.eye(12)[ids] + 0.5 * noise).astype(np.float32)
    np.savez(folder / "features.npz", fused=fused, **columns)
    about = {"test_content": content} if content else {}
    return dataclasses.replace(open_run(folder), about=about)


@pytest.mark.parametrize(
    "here, there, told",  # a name that begins with another letter: other paths
    [
        (("a1",), ("a2",), ""),
        (("a1",), ("b2",), "the two runs have other test images"),
        (("a1", "one"), ("b2", "one"), ""),  # moved
        (("a1", "one"), ("a2", "two"), "the two runs have other test images"),
        (("a1",), ("a2", "", False), "features.npz of a2 has no paths"),
        (("a1", "", False), ("a2", "", False), "of a1 and a2 has no paths"),
        (("a1", "one", False), ("a2", "", False), "of a1 and a2 has no paths"),
        (("a1", "one", False), ("a2", "one", False), ""),
        (("a1", "one"), ("a2", "one", False), ""),
        (("a1", "one", False), ("a2", "two", False), "the two runs have other"),
    ],
)
def test_queries_are_compared_where_images_are_known_to_be_alike(
    run, tmp_path, here, there, told
):
    """Won and lost against a loop over both runs' nearest images."""
    made = run("any", 12)
    runs = [
        stored(tmp_path / name, made, seed, *more)
        for seed, (name, *more) in enumerate((here, there))
    ]
    page = flip_section(runs)
    assert ("Not compared" in page) == bool(told) and told in page
    if told:
        return
    table = made.table
    rights = []
    for one in runs:
        unit = one.headline / np.linalg.norm(one.headline, axis=1, keepdims=True)
        other = np.flatnonzero(table.modality == 1)
        rights.append(
            np.array(
                [
                    table.ids[other[(unit[other] @ unit[row]).argmax()]] == person
                    for row, person in enumerate(table.ids)
                    if table.modality[row] == 0
                ]
            )
        )
    first, second = rights
    expected = [first & second, ~first & second, first & ~second, ~first & ~second]
    cells = re.findall(r'<th scope="row">[^<]*</th><td>(\d+)</td>', page)
    assert [int(cell) for cell in cells[:4]] == [int(both.sum()) for both in expected]
