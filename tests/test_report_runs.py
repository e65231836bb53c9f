"""What the report says of several runs, and of many images."""

import dataclasses
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from jreid.data.grey16 import Grey16
from jreid.evaluation.files.feature_table import FeatureTable
from jreid.evaluation.pair_distances import PairDistances
from jreid.evaluation.protocols.custom import CustomProtocol
from jreid.evaluation.protocols.llcm import LLCMProtocol
from jreid.evaluation.published import published_rows
from jreid.evaluation.score_features import score_features
from jreid.report import calibration, images, pairs
from jreid.report.charts import Axis, Line, line_chart
from jreid.report.flips import flip_section
from jreid.report.html import Markup
from jreid.report.images import camera_section, map_section
from jreid.report.pairs import distance_section, pair_distances, verification_section
from jreid.report.rank_lists import rank_list_section
from jreid.report.run_folder import ReportedRun, open_run
from jreid.report.scores import curve_section, score_section
from jreid.report.thumbnails import Thumbnails
from jreid.report.training import training_section
from jreid.report.translations import translation_section
from jreid.search.calibration import Calibration
from jreid.search.reliability import reliability


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


def measured(run, measure):
    """Vectors of many lengths, which count by "euclidean", and all squared distances.

    Of nine people, whose two images are in rows that follow each other.
    """
    made, rng = run("a", 9), np.random.default_rng(0)
    fused = np.eye(9)[made.table.ids] + 0.4 * rng.normal(size=(18, 9))
    fused = (fused * rng.uniform(1, 2, (18, 1))).astype(np.float32)
    table = dataclasses.replace(made.table, features={"fused": fused}, measure=measure)
    vectors = fused.astype(np.float64)
    if measure == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = ((vectors[:, None] - vectors[None]) ** 2).sum(-1)
    return dataclasses.replace(made, table=table), apart


def nearest(apart, query):
    """Rows of the other modality, nearest first."""
    others = np.flatnonzero(np.arange(18) % 2 != query % 2)
    return others[np.argsort(apart[query, others])]


SHOT = r'<div class="shot (\w+)" title="(\d+)\.png">.*?<span>([^<]*)</span></div>'


@pytest.mark.parametrize("measure", ["cosine", "euclidean"])
def test_a_rank_list_is_that_of_a_loop_by_the_runs_measure(run, measure):
    one, apart = measured(run, measure)
    asked = []

    def explain(run, query, match):
        asked.append((query, match))
        return b"", "why"

    page = rank_list_section([one], explain, 1)
    strips = page.split('class="ranked"')[1:]
    assert len(strips) >= 8
    firsts = []
    for strip in strips:
        (_, query, _), *shots = re.findall(SHOT, strip)
        expected = nearest(apart, int(query))
        assert [int(row) for _, row, _ in shots] == expected.tolist()
        rights = expected // 2 == int(query) // 2
        firsts.append((int(query), int(expected[0])))
        assert [kind for kind, _, _ in shots] == [
            "right" if right else "wrong" for right in rights
        ]
        told = [float(distance) for _, _, distance in shots]
        np.testing.assert_allclose(told, apart[int(query), expected], atol=6e-4)
        assert f"first hit at {rights.argmax() + 1}<" in strip
    assert len(asked) == 2 and set(asked) <= set(firsts)


@pytest.mark.parametrize("measure", ["cosine", "euclidean"])
def test_a_camera_of_queries_is_a_row_of_the_matrix(run, measure):
    one, apart = measured(run, measure)
    rates = [
        np.mean([nearest(apart, row)[0] // 2 == row // 2 for row in range(m, 18, 2)])
        for m in (0, 1)
    ]
    assert rates[0] != rates[1]
    cells = re.findall(r'class="heat">([^<]*)<small>(\d*)<', camera_section([one]))
    assert cells == [
        ("·", ""),
        (f"{100 * rates[0]:.0f}", "9"),
        (f"{100 * rates[1]:.0f}", "9"),
        ("·", ""),
    ]


def test_a_share_of_missed_pairs_is_drawn_over_the_false_matches(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        pairs, "line_chart", lambda lines, *_: drawn.extend(lines) or Markup("")
    )
    one = run("a", 9)
    same, different = np.array([0.1, 0.2, 0.6, 0.9]), np.linspace(0.5, 1.5, 20)
    none = np.zeros(0)
    found = PairDistances(none, same, none, different, 18, 0, False)
    page = verification_section([one], [found])
    (line,) = drawn
    assert min(line.x) == 5 and max(line.x) == 100
    assert line.y[0] == 50 and line.y[-1] == 0
    # Of 20 pairs two may match: below the third of them lie three of four.
    third = different[2]
    assert f"<td>25.0 ?<small>&lt; {third:.3f}</small></td><td>–</td>" in page


def test_the_bars_of_a_histogram_are_shares_of_their_own_pairs(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        pairs, "histogram_chart", lambda shares, *_: drawn.extend(shares) or Markup("")
    )
    one = run("a", 9)
    distance_section([one], [pair_distances(one)])
    assert len(drawn) >= 3
    for name, heights in drawn:
        assert heights.sum() == pytest.approx(100), name


def test_a_reliability_diagram_is_of_pairs_of_equal_weight(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        calibration, "line_chart", lambda lines, *_: drawn.extend(lines) or Markup("")
    )
    rng = np.random.default_rng(0)
    same, different = rng.normal(1.0, 0.4, 40), rng.normal(2.0, 0.4, 300)
    labels = np.arange(340) < 40
    curve = Calibration.fit(np.concatenate([same, different]), labels, prior=0.01)
    stored = {"source": "people", "curves": {"visible-infrared": curve.to_json()}}
    none = np.zeros(0)
    found = PairDistances(none, same, none, different, 340, 0, False)
    (tmp_path / "calibration.json").write_text(json.dumps({"ab": stored}))
    page = calibration.calibration_section([ReportedRun("a", tmp_path)], [found])
    even = curve.with_prior(0.5).probability(np.concatenate([same, different]))
    expected = reliability(even, labels, prior=0.5)
    assert f"calibration error {100 * expected.error:.1f} %" in page
    measured, promised = drawn
    np.testing.assert_allclose(measured.x, 100 * expected.probability)
    np.testing.assert_allclose(measured.y, 100 * expected.share)
    assert promised.dashed and promised.x == promised.y == [0, 100]


def test_of_many_scalars_some_are_told_and_of_many_terms_some_are_beside(tmp_path):
    names = ["loss", *(f"loss/{n}" for n in range(8)), *(f"own{n}" for n in range(13))]
    scalars = [{"step": step, **dict.fromkeys(names, 0.5)} for step in (1, 2)]
    page = training_section([ReportedRun("a", tmp_path, scalars=scalars)])
    titles = re.findall("<figcaption>(.*?)<", page)
    assert len(titles) == 12
    assert titles[:3] == ["loss", "loss: its terms", "loss: its terms (2)"]
    panels = re.findall("<figure.*?</figure>", page)
    assert [panel.count("<polyline") for panel in panels[:4]] == [1, 6, 2, 1]
    assert "4 more scalars are in metrics.jsonl." in page


def test_a_long_curve_is_thinned_and_not_cut():
    line = Line("a", range(10_000), np.linspace(0, 1, 10_000).tolist())
    chart = line_chart([line], Axis("", 0, 9999), Axis("", 0, 1), "text")
    points = re.findall(r'points="(.*?)"', chart)[0].split()
    lefts = [float(point.split(",")[0]) for point in points]
    assert 200 < len(points) <= 300
    assert (lefts[0], max(lefts)) == (46, pytest.approx(348, abs=2))


def test_queries_that_were_won_or_lost_are_shown_with_their_lists(run, tmp_path):
    made = run("any", 12)
    page = flip_section([stored(tmp_path / f"a{n}", made, n) for n in (1, 2)])
    for kind, name in (("Won", "a2"), ("Lost", "a1")):
        assert {*re.findall(f"<b>{kind}: right in (a.) only", page)} == {name}
    for block in re.split("<p><b>", page)[1:]:
        right = block[block.index("right in ") + 9 :][:2]
        for pair in block.split('class="two ranked"')[1:]:
            for name, part in zip(
                ("a1", "a2"), pair.split('class="note">')[1:3], strict=True
            ):
                kinds = re.findall(r'class="shot (\w+)"', part)
                assert part.startswith(name) and len(kinds) == 6
                assert kinds[1] == ("right" if name == right else "wrong")


def test_16_bit_images_are_shown_as_the_run_reads_them(run):
    file = io.BytesIO()
    Image.fromarray(np.full((8, 4), 30_000, np.uint16)).save(file, "PNG")
    one = dataclasses.replace(
        run("a", 1),
        read=lambda _: file.getvalue(),
        grey16=Grey16(low=29_000, high=30_000),
    )
    shown = Image.open(io.BytesIO(Thumbnails(one)._contents(0)))
    assert np.asarray(shown).min() > 250


def test_published_rows_are_those_of_the_setting(run):
    made = run("a", 4)
    scores = score_features(made.table.features, made.table, CustomProtocol())
    key = ("SYSU-MM01", "all-search single-shot")
    first = dataclasses.replace(scores[0], protocol=key[0], setting=key[1])
    one = dataclasses.replace(made, scores=[first], about={})
    names = re.findall(r"<span>Table (.*?)</span>", score_section([one]))
    expected = [
        f"{row.table}: {row.name}"
        for row in published_rows()
        if (row.protocol, row.setting) == key
    ]
    assert names == expected != []


def test_every_run_that_translates_has_its_picture(run, tmp_path):
    runs = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        runs.append(run(name, 1))
        if name != "b":
            (tmp_path / name / "translations.png").write_bytes(name.encode())
    page = translation_section(runs)
    assert re.findall("<h3>(.*?)</h3>", page) == ["a", "c"]
    assert re.findall('base64,(.*?)"', page) == ["YQ==", "Yw=="]
