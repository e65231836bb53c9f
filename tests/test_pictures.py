"""CMC plots and rank-list sheets: the right colours in the right places."""

import pathlib

import numpy as np
import pytest
from matplotlib.axes import Axes
from parameters import slow_but
from PIL import Image

from jreid.evaluation.cmc_plot import save_cmc_plot
from jreid.evaluation.rank_lists import RankList
from jreid.evaluation.score import METRICS, Score
from jreid.evaluation.statistics import ByIdentity
from jreid.evaluation.telling_curves import telling_curves
from jreid.run.rank_sheet import save_rank_sheet
from jreid.search.reliability import reliability
from jreid.search.reliability_diagram import save_reliability_diagram

GREEN, RED = (26, 150, 65), (215, 25, 28)


def make_score(setting, feature, reranked, curve):
    return Score(
        protocol="SYSU-MM01",
        setting=setting,
        draw="agw",
        feature=feature,
        reranked=reranked,
        trials=10,
        gallery=301,
        counted=3803,
        skipped=0,
        mean=dict.fromkeys(METRICS, 0.5),
        std=dict.fromkeys(METRICS, 0.0),
        interval={},
        by_identity=ByIdentity((), (), {}),
        cmc=tuple(curve),
    )


def colours(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return {tuple(int(part) for part in colour) for colour in np.unique(pixels, axis=0)}


@pytest.mark.parametrize("settings", slow_but([1, 3, 4], quick=[1]))
def test_cmc_plot_has_a_panel_per_setting_and_a_colour_per_feature(tmp_path, settings):
    curve = np.linspace(0.4, 1.0, 20)
    scores = [
        make_score(f"setting {number}", feature, reranked, curve + shift)
        for number in range(settings)
        for feature, shift in (("fused", 0.0), ("v1", -0.1))
        for reranked in (False, True)
    ]
    path = tmp_path / "cmc.png"
    save_cmc_plot(path, scores)
    found = colours(path)
    assert (0x00, 0x72, 0xB2) in found and (0xD5, 0x5E, 0x00) in found
    assert (0x00, 0x9E, 0x73) not in found  # the third colour, of no feature
    with Image.open(path) as image:
        assert image.size == (720 * min(settings, 2), 504 * (1 + (settings > 2)))


def test_cmc_curves_that_cannot_be_told_apart_are_named_not_drawn(tmp_path):
    """The third feature lies on the first within a point, the second does not."""
    curve = np.linspace(0.4, 0.9, 20)
    scores = [
        make_score("setting", feature, False, curve + shift)
        for feature, shift in (("fused", 0.0), ("v1", 0.05), ("v2", 0.01))
    ]
    drawn, alike = telling_curves(scores)
    assert [score.feature for score in drawn] == ["fused", "v1"]
    assert [score.feature for score in alike] == ["v2"]
    path = tmp_path / "cmc.png"
    save_cmc_plot(path, scores)
    assert (0xD5, 0x5E, 0x00) in colours(path)  # v1's
    assert (0x00, 0x9E, 0x73) not in colours(path)  # v2's

    many = [make_score("setting", f"feature{n}", False, curve) for n in range(9)]
    save_cmc_plot(path, many)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    assert (pixels[:, [0, -1]] == 255).all()  # no name is cut off at the sides


def test_cmc_curves_of_many_features_are_all_told_apart(tmp_path, monkeypatch):
    """There are fewer colours than features, and a legend of all has no room inside."""
    plot, looks = Axes.plot, []

    def remembered(self, *values, **look):
        looks.append((look["color"], look["linestyle"], look["marker"]))
        return plot(self, *values, **look)

    monkeypatch.setattr(Axes, "plot", remembered)
    scores = [
        make_score("setting", f"part{n}", reranked, np.full(20, n / 13))
        for n in range(13)
        for reranked in (False, True)
    ]
    save_cmc_plot(tmp_path / "cmc.png", scores)
    assert len(looks) == len(set(looks)) == 26


def flat(sheet, row):
    return (sheet == (40 * row, 255 - 40 * row, 128)).all(axis=-1)


@pytest.fixture
def images(tmp_path):
    """Six images of two people; each image has a flat colour of its own."""
    paths = []
    for number in range(6):
        colour = (40 * number, 255 - 40 * number, 128)
        paths.append(str(tmp_path / f"{number}.png"))
        Image.new("RGB", (30 + number, 70), colour).save(paths[-1])
    return {
        "paths": np.array(paths),
        "ids": np.array([1, 1, 1, 2, 2, 2]),
        "cameras": np.array([3, 1, 2, 6, 1, 2]),
        "modality": np.array([1, 0, 0, 1, 0, 0]),
    }


def test_rank_sheet_shows_images_in_order_with_green_and_red_frames(tmp_path, images):
    lists = [RankList(0, np.array([1, 4, 2])), RankList(3, np.array([5, 1]))]
    path = tmp_path / "ranks.png"
    save_rank_sheet(path, lists, **images, title="two people")
    with Image.open(path) as image:
        sheet = np.asarray(image.convert("RGB")).astype(int)
    green, red = ((sheet == colour).all(axis=-1).sum() for colour in (GREEN, RED))
    frame = 96 * 192 - 86 * 182  # pixels
    assert green == 3 * frame and red == 2 * frame
    # Beside each query, the flat colours appear in the order of the ranks.
    for ranked in lists:
        band = sheet[np.nonzero(flat(sheet, ranked.query))[0]]
        rows = [ranked.query, *ranked.nearest.tolist()]
        left = [np.nonzero(flat(band, row))[1].min() for row in rows]
        assert left == sorted(left)


def test_rank_sheet_of_one_short_list_and_without_title(tmp_path, images):
    path = tmp_path / "ranks.png"
    save_rank_sheet(path, [RankList(0, np.array([4]))], **images)
    assert RED in colours(path) and GREEN not in colours(path)


def test_rank_sheet_errors(tmp_path, images):
    with pytest.raises(ValueError, match="at least one query"):
        save_rank_sheet(tmp_path / "ranks.png", [], **images)
    pathlib.Path(images["paths"][4]).unlink()
    with pytest.raises(FileNotFoundError, match="4.png"):
        save_rank_sheet(tmp_path / "ranks.png", [RankList(0, np.array([4]))], **images)


def test_a_reliability_diagram_has_a_line_for_each_pair(tmp_path, rng):
    same = rng.random(500) < 0.4
    made = {
        name: reliability(np.clip(same * 0.5 + rng.random(500) / 2, 0, 1), same)
        for name in ("visible-visible", "visible-infrared")
    }
    save_reliability_diagram(tmp_path / "both.png", made)
    found = colours(tmp_path / "both.png")
    assert {(0, 0x72, 0xB2), (0xD5, 0x5E, 0)} <= found
    save_reliability_diagram(tmp_path / "one.png", dict([*made.items()][:1]))
    assert (0xD5, 0x5E, 0) not in colours(tmp_path / "one.png")
    with pytest.raises(ValueError, match="needs probabilities"):
        save_reliability_diagram(tmp_path / "none.png", {})
