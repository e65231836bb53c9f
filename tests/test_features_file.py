"""Features files: every container and type, every fault named, nothing else raised."""

import dataclasses
import pathlib
from typing import Any

import h5py
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from naive_scores import scores_by
from search import examples

from jreid.evaluation.files.features_file import read_features, score_file
from jreid.evaluation.table import format_table

MATLAB_HEADER = b"MATLAB 7.3 MAT-file".ljust(512, b"\0")


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    """Four identities, two images in each of SYSU-MM01's six cameras."""
    rng = np.random.default_rng(0)
    ids = np.repeat([3, 5, 8, 9], 12)
    cameras = np.tile(np.repeat(np.arange(1, 7), 2), 4)
    rows = rng.normal(size=(48, 16)) + 2 * np.eye(16)[ids]
    return {
        "features": (3 * rows).astype(np.float32),
        "ids": ids,
        "cameras": cameras,
        "modality": np.isin(cameras, (3, 6)).astype(int),
        "paths": np.array(
            [
                f"cam{c}/{i:04d}/{n % 2}.jpg"
                for n, (c, i) in enumerate(zip(cameras, ids, strict=True))
            ]
        ),
    }


def save(path: pathlib.Path, columns) -> pathlib.Path:
    np.savez(path, **columns)
    return path


def save_mat73(path: pathlib.Path, columns) -> pathlib.Path:
    """A file as MATLAB writes it: transposed, words as cells of character codes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_group("#refs#")
        for name, values in columns.items():
            if values.dtype.kind == "U":
                references = []
                for number, word in enumerate(values):
                    codes = np.array([[ord(letter)] for letter in word], np.uint16)
                    cell = cells.create_dataset(f"{name}{number}", data=codes)
                    cell.attrs["MATLAB_class"] = np.bytes_("char")
                    references.append(cell.ref)
                item = file.create_dataset(
                    name, data=np.array([references], h5py.ref_dtype)
                )
                item.attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                matrix = np.atleast_2d(values).T if values.ndim == 1 else values.T
                item = file.create_dataset(name, data=matrix)
                item.attrs["MATLAB_class"] = np.bytes_("double")
    with open(path, "r+b") as file:
        file.write(MATLAB_HEADER)
    return path


def as_matlab(columns):
    """Numbers as doubles, words as cell arrays."""
    return {
        name: values.astype(object) if values.dtype.kind == "U" else values * 1.0
        for name, values in columns.items()
    }


def assert_same(one, other):
    for field in dataclasses.fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if field.name == "features":
            assert first.keys() == second.keys()
            for name in first:
                np.testing.assert_allclose(first[name], second[name], atol=1e-6)
        else:
            np.testing.assert_array_equal(first, second)


def test_columns_come_back_with_unit_rows(columns, tmp_path):
    table = read_features(save(tmp_path / "f.npz", columns))
    rows = columns["features"].astype(float)
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(table.features["features"], expected, atol=1e-6)
    for name in ("ids", "cameras", "modality", "paths"):
        np.testing.assert_array_equal(getattr(table, name), columns[name])


def test_rows_that_are_unit_are_left_alone(columns, tmp_path):
    rows = columns["features"]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    table = read_features(save(tmp_path / "f.npz", {**columns, "features": unit}))
    np.testing.assert_array_equal(table.features["features"], unit)


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e18, 1e38])
def test_length_neither_overflows_nor_vanishes(columns, tmp_path, scale):
    rows = columns["features"] / np.abs(columns["features"]).max()
    scaled = (rows * scale).astype(np.float32)
    table = read_features(save(tmp_path / "f.npz", {**columns, "features": scaled}))
    lengths = np.linalg.norm(table.features["features"].astype(float), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
def test_every_float_type(columns, tmp_path, kind):
    converted = {**columns, "features": columns["features"].astype(kind)}
    table = read_features(save(tmp_path / "f.npz", converted))
    plain = read_features(save(tmp_path / "g.npz", columns))
    np.testing.assert_allclose(
        table.features["features"], plain.features["features"], atol=1e-3
    )


@pytest.mark.parametrize("container", ["v5", "v5 row vectors", "v7.3", "plain HDF5"])
def test_mat_files_hold_the_same(columns, tmp_path, container):
    plain = read_features(save(tmp_path / "f.npz", columns))
    path = tmp_path / "f.mat"
    if container.startswith("v5"):
        side = "row" if "row" in container else "column"
        scipy.io.savemat(path, as_matlab(columns), oned_as=side, do_compression=True)
    elif container == "v7.3":
        save_mat73(path, columns)
    else:
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                is_text = values.dtype.kind == "U"
                file[name] = values.astype("S") if is_text else values
    assert_same(read_features(path), plain)


def test_matlab_words_and_char_matrices(columns, tmp_path):
    words = np.where(columns["modality"], "infrared", "visible")
    plain = read_features(save(tmp_path / "f.npz", columns))
    scipy.io.savemat(tmp_path / "f.mat", {**as_matlab(columns), "modality": words})
    assert_same(read_features(tmp_path / "f.mat"), plain)
    save_mat73(tmp_path / "g.mat", {**columns, "modality": words})
    assert_same(read_features(tmp_path / "g.mat"), plain)
    capital = np.char.upper(words).astype("S")
    save(tmp_path / "h.npz", {**columns, "modality": capital})
    assert_same(read_features(tmp_path / "h.npz"), plain)


def test_further_matrices_are_kinds_of_feature(columns, tmp_path):
    more = {
        **columns,
        "v1": columns["features"][:, :4],
        "loss": np.zeros(48),
        "bank": np.ones((7, 4), np.float32),
    }
    table = read_features(save(tmp_path / "f.npz", more))
    assert set(table.features) == {"features", "v1"}
    assert table.unused == ("loss", "bank")
    del more["features"]
    assert set(read_features(save(tmp_path / "g.npz", more)).features) == {"v1"}


def without(name):
    return lambda c: {k: v for k, v in c.items() if k != name}


def changed(name, place, value, kind=None):
    def change(columns):
        values = columns[name].astype(kind or columns[name].dtype)
        values[place] = value
        return {**columns, name: values}

    return change


FAULTS = [
    (without("ids"), "there is no array 'ids'.*features float32 \\[48, 16\\]"),
    (without("features"), "there is no array 'features'"),
    (lambda c: {**c, "ids": c["ids"][:47]}, "ids has 47"),
    (lambda c: {**c, "cameras": c["cameras"][:1]}, "cameras has 1"),
    (lambda c: {**c, "features": c["features"].T}, "transpose it"),
    (lambda c: {**c, "v": c["features"].T, "features": c["features"].T}, "transpose"),
    (lambda c: {**c, "features": c["features"][0]}, "shape \\[16\\]"),
    (lambda c: {**c, "features": np.float32(1)}, "shape \\[\\]"),
    (lambda c: {**c, "ids": c["features"]}, "ids has shape"),
    (lambda c: {**c, "features": np.ones((48, 4), int)}, "type int64; save it as"),
    (lambda c: {**c, "features": np.ones((48, 4), complex)}, "type complex128"),
    (lambda c: {**c, "features": np.ones((48, 0))}, "no columns"),
    (changed("features", 7, 0), "0 throughout row 7"),
    (changed("features", (7, 2), np.nan), "NaN or infinity in row 7"),
    (changed("features", ([5, 7], 2), np.inf), "2 rows \\(5, 7, counted from 0\\)"),
    (changed("ids", 4, 1.5, float), "ids is 1.5 in row 4"),
    (changed("ids", 4, np.nan, float), "ids is nan in row 4"),
    (changed("ids", 4, 2**63, np.uint64), "ids is 9223372036854775808 in row 4"),
    (lambda c: {**c, "ids": c["ids"].astype(str)}, "ids is of type <U"),
    (lambda c: {**c, "ids": c["ids"].astype(object)}, "ids is not a plain array"),
    (lambda c: {**c, "paths": c["paths"].astype(object)}, "paths is not a plain"),
    (lambda c: {**c, "paths": c["ids"]}, "paths is of type int64"),
    (changed("modality", 4, 2), "modality is 2 in row 4"),
    (lambda c: {**c, "modality": np.full(48, "blue")}, "modality is blue in 48"),
    (lambda c: dict.fromkeys(c, np.zeros((0, 4), np.float32)), "shape|empty"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_faults_are_named_with_the_file(columns, tmp_path, change, message):
    path = save(tmp_path / "faulty.npz", change(columns))
    with pytest.raises(ValueError, match=f"(?s)^{path}: .*{message}"):
        read_features(path)


@pytest.mark.parametrize(
    ("change", "protocol", "options", "message"),
    [
        (without("cameras"), "sysu", {}, "no array 'cameras', which the protocol"),
        (without("modality"), "regdb", {}, "no array 'modality'"),
        (without("modality"), "llcm", {}, "no array 'modality'"),
        (changed("cameras", 4, 0), "sysu", {}, "cameras is 0 in row 4"),
        (changed("modality", 0, 1), "sysu", {}, "modality is 1 .* but cameras 1"),
        (without(""), "market", {}, "protocol is 'market'"),
        (without(""), "sysu", {"legacy": True}, "has no option legacy; it takes modes"),
        (without(""), "regdb", {"trials": 3}, "has no option trials"),
        (
            without(""),
            "sysu",
            {"permutations": "x.mat"},
            "only the official draw reads",
        ),
        (without(""), "sysu", {"kinds": ("v9",)}, "no kind of feature 'v9'; the file"),
        (lambda c: {**c, "ids": np.arange(48)}, "sysu", {}, "faulty.npz: "),
    ],
)
def test_what_cannot_be_scored(columns, tmp_path, change, protocol, options, message):
    path = save(tmp_path / "faulty.npz", change(columns))
    with pytest.raises(ValueError, match=message):
        score_file(path, protocol, **options)


def test_scores_are_those_of_the_protocols(columns, tmp_path):
    path = save(tmp_path / "f.npz", columns)
    kinds = read_features(path).features
    options: dict[str, Any] = {
        "sysu": {"trials": 2},
        "regdb": {"split": 3},
        "llcm": {"trials": 2},
        "custom": {},
    }
    for name, own in options.items():
        scores = scores_by(name, kinds, columns, reranking=False, **own)
        found = score_file(path, name, reranking=False, **own)
        assert found == scores
        assert format_table(found) == format_table(scores)


def test_sysu_needs_only_features_ids_and_cameras(columns, tmp_path):
    whole = score_file(save(tmp_path / "f.npz", columns), "sysu", reranking=False)
    few = {name: columns[name] for name in ("features", "ids", "cameras")}
    assert score_file(save(tmp_path / "g.npz", few), "sysu", reranking=False) == whole


def test_a_set_without_indoor_cameras_has_one_mode(columns, tmp_path):
    outdoor = ~np.isin(columns["cameras"], (1, 2))
    few = {name: values[outdoor] for name, values in columns.items()}
    scores = score_file(save(tmp_path / "f.npz", few), "sysu", reranking=False)
    assert {score.setting.split()[0] for score in scores} == {"all-search"}


def test_queries_without_a_match_are_counted_as_skipped(columns, tmp_path):
    ids = columns["ids"].copy()
    ids[columns["modality"] == 1] = np.where(
        np.arange(16) < 4, 77, ids[columns["modality"] == 1]
    )
    path = save(tmp_path / "f.npz", {**columns, "ids": ids})
    visible = score_file(path, "regdb", reranking=False)[1]
    assert (visible.setting, visible.counted, visible.skipped) == (
        "infrared to visible",
        12,
        4,
    )


def test_missing_h5py_is_said(columns, tmp_path, monkeypatch):
    path = save_mat73(tmp_path / "f.mat", columns)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ValueError, match=f"{path}: it is a MATLAB v7.3 .*pip install"):
        read_features(path)


def test_files_that_are_no_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.npz"):
        read_features(tmp_path / "none.npz")
    (tmp_path / "folder.mat").mkdir()
    with pytest.raises(OSError, match="folder.mat"):
        read_features(tmp_path / "folder.mat")
    with pytest.raises(ValueError, match=r"x.csv: features are read from an .npz or"):
        read_features(tmp_path / "x.csv")
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(ValueError, match=r"one.npz: .*use np.savez"):
        read_features(tmp_path / "one.npz")


def test_pickles_are_never_loaded(columns, tmp_path):
    class Trap:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "sprung",))

    trap = np.array([Trap()] * 48, object)
    path = save(tmp_path / "f.npz", {**columns, "extra": trap})
    assert read_features(path).unused == ("extra",)
    assert not (tmp_path / "sprung").exists()


@pytest.fixture(scope="module")
def whole_files(columns, tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    few = {name: values[:12] for name, values in columns.items()}
    scipy.io.savemat(folder / "v5.mat", as_matlab(few))
    scipy.io.savemat(folder / "v7.mat", as_matlab(few), do_compression=True)
    save_mat73(folder / "v73.mat", few)
    save(folder / "plain.npz", few)
    np.savez_compressed(folder / "small.npz", **few)  # type: ignore[arg-type]
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@examples(150)
@hypothesis.given(data=st.data())
def test_damaged_files_are_refused_by_name(whole_files, tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(whole_files)))
    content = bytearray(whole_files[name])
    how = data.draw(st.sampled_from(["cut", "random", "flip"]))
    if how == "cut":
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    elif how == "random":
        content = bytearray(data.draw(st.binary(max_size=400)))
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(content) - 1))
            content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content)
    try:
        read_features(path)
    except (ValueError, OSError) as error:
        assert name in str(error)


@pytest.mark.parametrize("compressed", [False, True])
def test_other_variables_of_a_workspace_do_no_harm(columns, tmp_path, compressed):
    others = {
        "options": {"lr": 0.1, "name": "a", "nested": {"list": [1, 2, 3]}},
        "table": np.array([(1, 2.5)], [("x", int), ("y", float)]),
        "sparse": scipy.sparse.csc_array(np.eye(5)),
        "complex_sparse": scipy.sparse.csc_array(1j * np.eye(3)),
        "complex": np.array([[1 + 2j, 3]]),
        "logical": np.array([[True, False]]),
        "small": np.int8(3),
        "empty": np.zeros((0, 0)),
        "word": "visible",
        "text": "größer",
        "cells": np.array([["a", np.eye(2), np.array([["b"]], object)]], object),
    }
    path = tmp_path / "f.mat"
    content = {**as_matlab(columns), **others}
    scipy.io.savemat(path, content, do_compression=compressed)
    table = read_features(path)
    assert table.unused == tuple(others)  # in the order of the file
    assert_same(
        dataclasses.replace(table, unused=()),
        read_features(save(tmp_path / "f.npz", columns)),
    )
