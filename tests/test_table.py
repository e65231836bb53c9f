"""The printed table, and results.json as an exact inverse pair."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from search import examples

from jreid.evaluation.files.results_file import read_results, results_json
from jreid.evaluation.score import METRICS, Score
from jreid.evaluation.statistics import ByIdentity
from jreid.evaluation.table import format_table


def make_score(**changed: Any) -> Score:
    fields: dict[str, Any] = {
        "protocol": "SYSU-MM01",
        "setting": "indoor-search single-shot",
        "draw": "agw",
        "feature": "fused",
        "reranked": False,
        "trials": 10,
        "gallery": 112,
        "counted": 2208,
        "skipped": 1595,
        "mean": dict(zip(METRICS, (0.5, 0.75, 0.875, 1.0, 0.6, 0.4), strict=True)),
        "std": dict(zip(METRICS, (0.01, 0.02, 0.0, 0.0, 0.1, 0.03), strict=True)),
        "interval": dict.fromkeys(METRICS, (0.25, 0.75)),
        "by_identity": ByIdentity(
            ("3", "17"), (2.0, 1.0), dict.fromkeys(METRICS, (0.5, 1 / 3))
        ),
        "cmc": (0.5, 0.6),
    }
    return Score(**(fields | changed))


def test_table_is_aligned_and_marks_reranked_rows():
    regdb: dict[str, Any] = {
        "protocol": "RegDB",
        "setting": "visible to infrared",
        "trials": 1,
        "splits": (3,),
    }
    regdb |= {"draw": "every image", "gallery": 2060, "counted": 2060, "skipped": 0}
    text = format_table([make_score(), make_score(reranked=True), make_score(**regdb)])
    first, second = text.split("\n\n")
    heading, counts, header, plain, interval, reranked, _ = first.splitlines()
    assert heading == (
        "SYSU-MM01 protocol, indoor-search single-shot: draw 'agw', 10 trials, percent"
    )
    assert counts == (
        "2208 queries (1595 without a match skipped), gallery of 112; ± deviation,"
        " below: 95 % interval over 2 identities"
    )
    assert header.split() == ["feature", *METRICS]
    assert plain.split()[:4] == ["fused", "50.00", "±", "1.00"]
    assert interval.split() == ["25.00–75.00"] * 6
    assert reranked.startswith("fused, re-ranked  50.00 ± 1.00")
    assert len({len(line) for line in (header, plain, interval, reranked)}) == 1
    assert max(map(len, text.splitlines())) <= 120
    assert second.splitlines()[-2].split()[:3] == ["fused", "50.00", "75.00"]
    assert "visible to infrared: draw 'every image', split 3, perc" in second


def test_results_are_read_back_exactly(tmp_path):
    scores = [make_score(reranked=True), make_score(splits=(3, 1), trials=1)]
    about = {"name": "a", "step": 7, "flip": False, "config": {"x": [1, 2.5, None]}}
    path = tmp_path / "results.json"
    path.write_text(results_json(scores, about))
    assert read_results(path) == (about, scores)
    assert json.loads(path.read_text())["unit"] == "fraction"
    path.write_text(results_json([], {}))
    assert read_results(path) == ({}, [])


def test_header_says_what_was_scored():
    about = {
        "name": "sysu",
        "step": 55680,
        "feature": "embeddings",
        "flip": True,
        "config_hash": "0123456789ab",
        "dataset": "sysu_mm01",
        "root": "data/SYSU-MM01",
    }
    lines = format_table([make_score()], about).splitlines()
    assert lines[0] == "sysu, test images of sysu_mm01, data/SYSU-MM01"
    assert lines[1] == (
        "step 55680, config 0123456789ab, feature after the neck, flip-averaged"
    )
    assert lines[2] == "" and lines[3].startswith("SYSU-MM01 protocol")
    other = {"features_file": "f.mat", "feature": "features", "flip": False, "split": 3}
    lines = format_table([make_score()], other).splitlines()
    assert lines[0] == "unnamed, features of f.mat, split 3"
    assert lines[1] == (
        "step unknown, config unknown, feature before the neck, not flipped"
    )
    lines = format_table([], {"name": "demo", "root": "synvi"}).splitlines()
    assert lines == [
        "demo, test images of SynVI, synthetic: not SYSU-MM01 scores",
        "step unknown, config unknown, feature kind unknown, flip unknown",
    ]


def test_means_over_splits_are_named_so():
    text = format_table([make_score(splits=(1, 2, 5), trials=1)])
    assert "draw 'agw', 3 splits, percent" in text and "50.00 ± 1.00" in text
    text = format_table([make_score(seeds=(0, 7))])
    assert "draw 'agw', 2 seeds of 10 trials, percent" in text


numbers = st.floats(0, 1)
columns = st.tuples(numbers, numbers)
# Plain values: beartype, which checks `Score`, may not run inside a strategy.
score_fields = st.fixed_dictionaries(
    {
        "protocol": st.text(max_size=4),
        "trials": st.integers(1, 99),
        "reranked": st.booleans(),
        "mean": columns.map(lambda pair: dict.fromkeys(METRICS, pair[0])),
        "interval": columns.map(lambda pair: dict.fromkeys(METRICS, pair)),
        "queries": columns,
        "sums": columns.map(lambda pair: dict.fromkeys(METRICS, pair)),
        "cmc": columns,
        "splits": st.sampled_from([(), (3,), (1, 2)]),
    }
)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(0, 1) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=5,
)


@examples(
    30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    several=st.lists(score_fields, max_size=2),
    about=st.dictionaries(st.text(max_size=3), json_values, max_size=3),
)
def test_results_json_is_an_exact_inverse(tmp_path, several, about):
    scores = []
    for fields in several:
        kept = ByIdentity(("3", "17"), fields.pop("queries"), fields.pop("sums"))
        scores.append(make_score(by_identity=kept, **fields))
    path = tmp_path / "results.json"
    path.write_text(results_json(scores, about), encoding="utf-8")
    assert read_results(path) == (about, scores)


def damaged(row):
    """Every way to spoil one field of a score."""
    for name in row.keys() - {"seeds", "tied"}:  # which earlier versions lack
        yield {key: value for key, value in row.items() if key != name}
        yield row | {name: None}
        yield row | {name: {}} if name not in ("by_identity",) else row | {name: []}
    yield row | {"extra": 1}
    yield row | {"trials": True}
    yield row | {"cmc": ["0.5"]}
    yield row | {"interval": row["interval"] | {"mAP": [0.5]}}


def test_damaged_and_other_results_are_refused(tmp_path):
    path = tmp_path / "results.json"
    with pytest.raises(FileNotFoundError):
        read_results(path)
    text = results_json([make_score()], {"step": 3})
    content = json.loads(text)
    for bad in ("", text[:200], "[]", "{}", json.dumps(content | {"format": 1})):
        path.write_text(bad)
        with pytest.raises(ValueError, match="results.json is .* again"):
            read_results(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="damaged"):
        read_results(path)
    for bad in (None, 3, [3], *([row] for row in damaged(content["scores"][0]))):
        path.write_text(json.dumps(content | {"scores": bad}))
        with pytest.raises(ValueError, match="results.json is damaged"):
            read_results(path)


def test_results_from_before_seeds_are_read(tmp_path):
    content = json.loads(results_json([make_score()], {}))
    del content["scores"][0]["seeds"]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    assert read_results(path) == ({}, [make_score()])


def test_a_data_set_that_was_not_trained_on_is_said():
    about = {"name": "a", "trained_on": "sysu_mm01", "dataset": "regdb", "root": "R"}
    about |= {"split": 2, "measure": "product"}
    what, how = format_table([], about).splitlines()
    assert what == "a, trained on sysu_mm01, test images of regdb, R, split 2"
    assert how.endswith(", flip unknown, measured by product")


def test_what_cannot_be_written():
    with pytest.raises(ValueError, match=r"about has the keys \['scores', 'unit'\]"):
        results_json([], {"unit": 1, "scores": 2, "x": 3})
    with pytest.raises(ValueError, match="Out of range float"):
        results_json([make_score(cmc=(float("nan"),))], {})
