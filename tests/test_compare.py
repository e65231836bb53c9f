"""Rows side by side: what is compared, what is marked, what is left out."""

import collections
import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from naive_scores import features_of, scores_by, small_columns

from jreid.evaluation.compare import Entry, compare, load_entry
from jreid.evaluation.files.results_file import results_json
from jreid.evaluation.published import SIZES, published_rows
from jreid.evaluation.score import METRICS, Score
from jreid.evaluation.statistics import paired_tests

ABOUT = {
    "name": "small",
    "step": 480,
    "feature": "embeddings",
    "flip": False,
    "config_hash": "0123456789ab",
    "dataset": "sysu_mm01",
    "root": "elsewhere",
}


def scores(noise=1.5, names=("fused",), **changed: Any) -> list[Score]:
    columns = small_columns(identities=20)
    features = {name: features_of(columns, 3, noise) for name in names}
    options: dict[str, Any] = {"trials": 2, "shots": (1,), "modes": ("all",)}
    return scores_by("sysu", features, columns, **(options | changed))


def as_published(score: Score) -> Score:
    """The same score with the counts of SYSU-MM01."""
    counted, skipped, gallery = SIZES[score.protocol, score.setting]
    return dataclasses.replace(score, counted=counted, skipped=skipped, gallery=gallery)


def test_published_rows():
    rows = published_rows()
    counts = collections.Counter(row.table for row in rows)
    assert counts == {1: 12, 2: 10, 3: 27, 4: 22}
    found = {(row.table, row.name, row.setting): row for row in rows}
    assert len(found) == len(rows)
    best = found[1, "Ours4 (VRD on both)", "indoor-search single-shot"]
    assert best.values == {"R-1": 0.622, "mAP": 0.6911, "mINP": 0.655}
    assert found[3, "Hi-CMD", "all-search single-shot"].values == {
        "R-1": 0.3494,
        "R-10": 0.7758,
        "mAP": 0.3594,
    }
    assert (3, "Hi-CMD", "indoor-search single-shot") not in found
    assert found[4, "AGW", "infrared to visible"].values["mINP"] == 0.5124
    reranked = {(row.table, row.name) for row in rows if row.reranked}
    assert reranked == {(1, "Ours5"), (3, "this paper"), (4, "this paper")}
    for row in rows:
        assert (row.protocol, row.setting) in SIZES
        ordered = [row.values[name] for name in METRICS[:4] if name in row.values]
        assert ordered == sorted(ordered)  # a CMC rises
        if "mINP" in row.values:
            assert row.values["mINP"] < row.values["mAP"]


def test_difference_is_that_of_the_paired_test():
    first, second = scores(), scores(noise=1.8)
    text = compare([Entry("runs/a", ABOUT, first), Entry("runs/b", ABOUT, second)])
    lines = text.splitlines()
    for one, other in zip(first, second, strict=True):
        kind = "fused, re-ranked" if one.reranked else "fused"
        at = lines.index(f"runs/b: {kind} minus runs/a")
        (found,) = paired_tests([(one.by_identity, other.by_identity)])
        difference, interval, p_value = (
            line.split() for line in lines[at + 1 : at + 4]
        )
        for place, name in enumerate(METRICS):
            value = 100 * (other.mean[name] - one.mean[name])
            assert float(difference[1 + place]) == pytest.approx(value, abs=0.0051)
            low, high = (
                float(end.strip(",")) for end in interval[3 + 2 * place : 5 + 2 * place]
            )
            assert low <= float(difference[1 + place]) <= high
            expected = found[name].p_value
            written = p_value[2 + place]
            assert written == ("<0.001" if expected < 0.001 else f"{expected:.3f}")
    at = lines.index(next(line for line in lines if line.startswith("runs/a: fused ")))
    assert lines[at].split()[2:] == [f"{100 * first[0].mean[m]:.2f}" for m in METRICS]
    assert lines[at + 1].startswith("  step 480, 95 %")
    shared = "draw 'agw', 2 trials, 160 queries, gallery of 80, feature after the neck"
    assert shared in text.replace("\n    ", " ")
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("changed", "mark"),
    [
        ({"flip": True}, "flip-averaged against not flipped"),
        ({"flip": None}, "flip unknown against not flipped"),
        ({"feature": "features"}, "feature before the neck against feature after"),
    ],
)
def test_unlike_features_and_flips_are_marked(changed, mark):
    runs = [Entry("a", ABOUT, scores()), Entry("b", ABOUT | changed, scores(1.7))]
    text = compare(runs)
    assert f"b: fused minus a (differ: {mark}" in text
    assert text.count("    with ") == 4 and "p value" in text


def test_unlike_draws_and_images_are_not_tested():
    ours = scores()
    trials = compare([Entry("a", ABOUT, ours), Entry("b", ABOUT, scores(trials=3))])
    assert "(differ: 3 trials against 2 trials)" in trials
    other = [dataclasses.replace(score, draw="official") for score in ours]
    text = compare([Entry("a", ABOUT, ours), Entry("b", ABOUT, other)])
    assert "not tested, draw 'official' against draw 'agw'" in text
    assert "\n  p value" not in text and "difference" not in text
    fewer = small_columns(identities=19)
    kinds = {"fused": features_of(fewer)}
    less = scores_by("sysu", kinds, fewer, trials=2, shots=(1,), modes=("all",))
    text = compare([Entry("a", ABOUT, ours), Entry("b", ABOUT, less)])
    assert "not tested, 152 queries, gallery of 76 against 160 queries" in text
    renamed = [
        dataclasses.replace(
            score,
            by_identity=dataclasses.replace(
                score.by_identity,
                identities=tuple(f"9{one}" for one in score.by_identity.identities),
            ),
        )
        for score in ours
    ]
    text = compare([Entry("a", ABOUT, ours), Entry("b", ABOUT, renamed)])
    assert "not tested, their test images differ" in text


def test_other_splits_are_other_people():
    first = [dataclasses.replace(score, splits=(3,)) for score in scores(trials=1)]
    second = [dataclasses.replace(score, splits=(4,)) for score in first]
    text = compare([Entry("a", ABOUT, first), Entry("b", ABOUT, second)])
    assert "b: fused minus a: not tested, split 4 against split 3" in text
    text = compare([Entry("a", ABOUT, first), Entry("b", ABOUT, first)])
    assert "not tested" not in text and "all runs: draw 'agw', split 3, 160" in text


def test_features_of_the_same_name_are_paired():
    first = Entry("a", ABOUT, scores(names=("fused", "v1")))
    second = Entry("b", ABOUT, scores(noise=1.6, names=("v1", "other")))
    text = compare([first, second])
    assert "b: v1 minus a\n" in text and "b: v1, re-ranked minus a\n" in text
    assert text.count(" minus a") == 2
    third = Entry("c", ABOUT, scores(noise=1.6, names=("mine", "other")))
    text = compare([first, third])
    assert "c: mine minus a: fused\n" in text
    assert text.count(" minus a") == 2
    assert compare([first, second, third]).count(" minus ") == 6


def test_paper_rows_only_beside_scores_of_the_same_images():
    paper = load_entry("paper")
    ours = scores()
    synvi = ABOUT | {"root": "synvi"}
    whole = [as_published(score) for score in ours]
    for entry, reason in (
        (Entry("demo", ABOUT, ours), "160 queries, gallery of 80"),
        (Entry("demo", synvi, ours), "SynVI, synthetic, 160 queries"),
        (Entry("demo", synvi, whole), "SynVI, synthetic, 3803 queries"),
    ):
        text = compare([entry, paper]).replace("\n    ", " ")
        assert "left out: the images of demo are not the paper's images (" in text
        assert reason in text and "not SYSU-MM01 scores" in text
        assert "paper T1" not in text
    text = compare([Entry("real", ABOUT, whole), paper])
    assert "paper T1: Ours4 (VRD on both)" in text
    line = next(line for line in text.splitlines() if "Ours5, re-ranked" in line)
    assert line.split()[-6:] == ["66.93", "-", "-", "-", "65.25", "53.05"]
    assert "78.26" not in text and "left out" not in text and " *" not in text
    assert "ten trials" in text and "doi 10.16055" in text
    both = compare([Entry("demo", synvi, whole), Entry("real", ABOUT, whole), paper])
    assert "demo: fused *" in both and "real: fused *" not in both
    assert "paper T1" in both and "* not the paper's images" in both
    assert max(map(len, both.splitlines())) <= 120


def test_settings_the_paper_lacks_have_no_paper_rows():
    text = compare([Entry("a", ABOUT, scores(shots=(10,))), load_entry("paper")])
    assert "multi-shot" in text and "paper T" not in text
    ids, modality = np.repeat(np.arange(6), 4), np.tile([0, 1], 12)
    columns = {"ids": ids, "modality": modality}
    regdb = scores_by("regdb", {"fused": features_of(columns)}, columns, split=3)
    text = compare([Entry("r", ABOUT | {"split": 3}, regdb), load_entry("paper")])
    assert "RegDB has 2060 queries" in text and "split 3" in text
    whole = [as_published(score) for score in regdb]
    text = compare([Entry("r", ABOUT, whole), load_entry("paper")])
    assert "paper T4: this paper, re-ranked" in text and "66.93" not in text


def test_the_paper_alone_and_nothing():
    text = compare([load_entry("paper")])
    blocks = text.split("\n\n")
    assert [block.splitlines()[0] for block in blocks[1:]] == [
        f"{protocol} protocol, {setting}" for protocol, setting in SIZES
    ]
    assert sum(len(block.splitlines()) - 2 for block in blocks[1:]) == 71
    with pytest.raises(ValueError, match="give at least one run"):
        compare([])
    with pytest.raises(ValueError, match=r"entries \['a', 'a'\]"):
        compare([Entry("a"), Entry("a")])


def test_entries_are_loaded_from_folders_and_files(tmp_path):
    found = scores()
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "results.json"
    path.write_text(results_json(found, ABOUT))
    for name in (str(path), str(path.parent), f"{path.parent}/"):
        entry = load_entry(name)
        assert (entry.name, entry.about) == (name.rstrip("/"), ABOUT)
        assert entry.scores == found
    with pytest.raises(FileNotFoundError, match="has been scored, a results.json, or"):
        load_entry(str(tmp_path))
    path.write_text("{}")
    with pytest.raises(ValueError, match="is of format None"):
        load_entry(str(path))


def test_every_pair_of_several_runs_is_compared():
    runs = [Entry(name, ABOUT, scores(1.4 + 0.1 * k)) for k, name in enumerate("abcd")]
    text = compare(runs)
    for one, other in itertools.combinations("abcd", 2):
        assert f"{other}: fused minus {one}\n" in text


def test_it_begins_with_the_answer():
    first, second = scores(1.5), scores(2.4)
    alike = [Entry("a", ABOUT, first), Entry("b", ABOUT, second)]
    lines = compare(alike).splitlines()
    assert lines[0] == "Better than a? By mAP, not re-ranked, with 95 % interval:"
    (found,) = paired_tests([(first[0].by_identity, second[0].by_identity)])
    assert found["mAP"].p_value < 0.05 and found["mAP"].value < 0
    assert lines[1].startswith("  b, all-search single-shot: no, worse: -")
    assert f"{100 * found['mAP'].value:+.2f}" in lines[1] and lines[2] == ""
    turned = compare(alike[::-1]).splitlines()[1]
    assert turned.startswith("  a, all-search single-shot: yes: +")
    again = compare([alike[0], Entry("c", ABOUT, first)]).splitlines()[1]
    assert "no difference shown: +0.00" in again
    contents = ({"test_content": "1" * 12}, {"test_content": "2" * 12})
    entries = [
        Entry(name, ABOUT | content, first)
        for name, content in zip("ab", contents, strict=True)
    ]
    text = compare(entries)
    assert "not tested, their test images differ" in text.splitlines()[1]
    assert " minus " in text and "difference  " not in text
    many = [Entry(f"run {n}", ABOUT, first) for n in range(14)]
    answer = compare(many).split("\n\n")[0].splitlines()
    assert len(answer) == 10 and answer[-1] == "  and 5 more, below"
    assert compare(alike[:1]).startswith("a: ")
