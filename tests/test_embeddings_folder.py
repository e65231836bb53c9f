"""Folders of `jreid.embed` scored: the same tables as of the same rows in one file."""

import json
import pathlib

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import regdb_runs

from jreid import evaluate
from jreid.data.folder import read_folder
from jreid.data.regdb import read_regdb
from jreid.data.synvi import synvi_root
from jreid.data.sysu_mm01 import read_sysu_mm01
from jreid.evaluation.files.embeddings_folder import (
    Labels,
    read_embeddings,
    read_labels,
)
from jreid.evaluation.files.features_file import score_file
from jreid.evaluation.files.results_file import read_results
from jreid.evaluation.mean_of_scores import mean_over_splits
from jreid.evaluation.protocols.by_key import make_protocol
from jreid.evaluation.score_features import score_features
from jreid.evaluation.statistics import by_person
from jreid.evaluation.table import format_table
from tools import stand_ins

EMBEDDING = {"features": 0.0, "embeddings": 1.0, "flip": False, "measure": "cosine"}
JOB = {"kind": "fused", "step": 7, "config_hash": "abc", "embedding": EMBEDDING}


def write_job(folder: pathlib.Path, paths, modality, vectors, **job) -> pathlib.Path:
    """Shards of ten images, as `jreid.embed` writes them."""
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps(JOB | job))
    shards = -(-len(paths) // 10)
    for shard in range(shards):
        rows = slice(10 * shard, 10 * shard + 10)
        flat = pyarrow.array(vectors[rows].reshape(-1))
        size = vectors.shape[1]
        table = {
            "path": pyarrow.array(paths[rows]),
            "modality": pyarrow.array(modality[rows]),
            "embedding": pyarrow.FixedSizeListArray.from_arrays(flat, size),
        }
        name = f"embeddings-{shard:05d}-of-{shards:05d}.parquet"
        pyarrow.parquet.write_table(pyarrow.table(table), folder / name)
    return folder


@pytest.fixture
def rows():
    """Paths, modality words, identities, cameras and vectors of 48 images."""
    generator = np.random.default_rng(0)
    ids = np.repeat([3, 5, 8, 9], 12)
    cameras = np.tile(np.repeat(np.arange(1, 7), 2), 4)
    paths = [
        f"cam{c}/{i}/{n}.jpg" for n, (i, c) in enumerate(zip(ids, cameras, strict=True))
    ]
    modality = np.where(np.isin(cameras, (3, 6)), "infrared", "visible").tolist()
    vectors = generator.normal(size=(48, 8)) + np.eye(16)[ids][:, :8]
    return paths, modality, ids, cameras, vectors.astype(np.float32)


def write_labels(path: pathlib.Path, paths, ids, cameras=None) -> pathlib.Path:
    columns = [paths, ids] if cameras is None else [paths, ids, cameras]
    lines = [",".join(map(str, line)) for line in zip(*columns, strict=True)]
    head = "path,id" if cameras is None else "path,id,camera"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def score(capsys, *arguments):
    code = evaluate.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_a_folder_with_labels_scores_as_a_file(rows, tmp_path, capsys):
    paths, modality, ids, cameras, vectors = rows
    folder = write_job(tmp_path / "embeddings", paths, modality, vectors)
    labels = write_labels(
        tmp_path / "labels.csv", paths[::-1], ids[::-1], cameras[::-1]
    )
    common = ("--protocol", "sysu", "--trials", 2, "--out", tmp_path / "out")
    code, out, err = score(capsys, "--features", folder, "--labels", labels, *common)
    assert code == 0, err
    np.savez(
        tmp_path / "same.npz",
        fused=vectors,
        ids=ids,
        cameras=cameras,
        paths=np.array(paths),
    )
    about, written = read_results(tmp_path / "out" / "results.json")
    assert written == score_file(tmp_path / "same.npz", "sysu", trials=2)
    assert out.startswith(format_table(written, about))
    assert (about["features_file"], about["step"]) == ("embeddings", 7)
    assert "step 7, config abc" in out


def test_vectors_are_measured_as_the_run_measures_them(rows, tmp_path):
    paths, modality, ids, _, vectors = rows
    embedding = EMBEDDING | {"measure": "euclidean", "flip": True, "features": 1.0}
    place = tmp_path / "embeddings"
    folder = write_job(place, paths, modality, 3 * vectors, embedding=embedding)
    labels = read_labels(write_labels(tmp_path / "labels.csv", paths, ids))
    table = read_embeddings(folder, labels)
    assert table.measure == "euclidean"
    np.testing.assert_array_equal(table.features["fused"], 3 * vectors)
    about = {"step": 7, "config_hash": "abc", "flip": True}
    assert table.model == about | {"feature": "1 features + 1 embeddings"}


@pytest.fixture
def of_splits(tmp_path):
    """A RegDB, and for each split the vectors of a run that knows those it learned."""
    (tmp_path / "RegDB").mkdir()
    tree = regdb_runs.make_tree(tmp_path / "RegDB")
    every = sorted(tree.glob("[VT]*/*/*.bmp"))
    generator = np.random.default_rng(0)
    for split in (1, 2, 3):
        learned = {*read_regdb(tree, split=split).train.paths.tolist()}
        vectors = generator.normal(size=(len(every), 8)).astype(np.float32)
        for row, path in enumerate(every):
            if str(path) in learned:
                vectors[row] = np.eye(8)[int(path.parent.name)]
        words = ["visible" if x.parts[-3] == "Visible" else "infrared" for x in every]
        names = [str(path.relative_to(tree)) for path in every]
        place = tmp_path / f"split{split}"
        write_job(place, names, words, vectors, data={"key": "regdb", "split": split})
    return tree


def test_each_split_is_scored_on_its_own_people(of_splits, tmp_path, capsys):
    folders = [tmp_path / f"split{split}" for split in (1, 2, 3)]
    common = ("--dataset", "regdb", "--root", of_splits, "--no-rerank")
    code, out, err = score(
        capsys, "--features", *folders, *common, "--out", tmp_path / "mean"
    )
    assert code == 0, err
    means = read_results(tmp_path / "mean" / "results.json")[1]
    expected = []
    for split, folder in zip((1, 2, 3), folders, strict=True):
        test = read_regdb(of_splits, split=split).test
        people = {pathlib.Path(path).parent.name for path in test.paths}
        assert people == {str(split - 1), str(split)}
        ids = dict(zip(test.paths.tolist(), test.ids.tolist(), strict=True))
        table = read_embeddings(folder, Labels("", ids, None, of_splits))
        protocol, gallery = make_protocol("regdb", {"split": split})
        expected.append(
            score_features(table.kinds(), table, protocol, gallery, reranking=False)
        )
        # One folder alone is of its run's split, and of no other.
        assert score(capsys, "--features", folder, *common)[0] == 0
        other = split % 3 + 1
        given = ("--features", folder, *common, "--split", other)
        _, _, err = score(capsys, *given)
        assert f"trained for split {split} of RegDB" in err
    assert means == mean_over_splits(expected)
    # Two of four people are in two of the three splits, and count once.
    assert by_person(means[0].by_identity).identities == tuple("0123")
    assert "over 4 identities" in out


def test_the_split_of_an_earlier_job_is_asked_for(of_splits, tmp_path, capsys):
    job = tmp_path / "split2" / "job.json"
    job.write_text(json.dumps(JOB))
    common = ("--features", job.parent, "--dataset", "regdb", "--root", of_splits)
    code, _, err = score(capsys, *common)
    assert code == 2 and "does not say for which split of RegDB" in err
    code, out, _ = score(capsys, *common, "--split", 2)
    assert code == 0 and "split 2" in out


@pytest.mark.parametrize("listed", [False, True])
def test_who_is_tested_is_as_in_the_run(tmp_path, capsys, listed):
    """Its fraction of the people; a CSV file lies in the folder that was embedded."""
    stand_ins.own_images(root := tmp_path / "own")
    images = sorted(root.glob("*/*/*.jpg"))
    names = [str(path.relative_to(root)) for path in images]
    words = [name.split("/")[0] for name in names]
    data = root
    if listed:
        data = root / "people.csv"
        rows = [f"{x},{x.split('/')[1]},{w}" for x, w in zip(names, words, strict=True)]
        data.write_text("\n".join(["path,id,modality", *rows]) + "\n")
    vectors = np.random.default_rng(0).normal(size=(len(names), 4)).astype(np.float32)
    split = {"key": "folder", "test_fraction": 0.25, "split_by": "name"}
    folder = write_job(tmp_path / "embeddings", names, words, vectors, data=split)
    common = ("--features", folder, "--dataset", "folder", "--root", data)
    code, out, err = score(capsys, *common, "--no-rerank")
    assert code == 0, err
    people = len(np.unique(read_folder(data, test_fraction=0.25).test.ids))
    assert f"over {people} identities" in out and people < 12
    (folder / "job.json").write_text(json.dumps(JOB))
    code, out, err = score(capsys, *common, "--no-rerank")
    assert code == 0 and "note:" in err and "is of an earlier version" in err


def test_a_run_trained_on_everybody_tests_those_whom_a_split_names(tmp_path, capsys):
    stand_ins.own_images(tmp_path / "own")
    images = sorted((tmp_path / "own").glob("*/*/*.jpg"))
    names = [str(path.relative_to(tmp_path / "own")) for path in images]
    words = [name.split("/")[0] for name in names]
    vectors = np.random.default_rng(0).normal(size=(len(names), 4)).astype(np.float32)
    split = {"key": "folder", "test_fraction": 0.0, "split_by": "name"}
    folder = write_job(tmp_path / "embeddings", names, words, vectors, data=split)
    common = ("--features", folder, "--dataset", "folder", "--no-rerank", "--root")
    code, _, err = score(capsys, *common, tmp_path / "own")
    assert code == 2 and "trained on everybody" in err and "--labels" in err
    rows = [
        f"{x},{x.split('/')[1]},{w},{'test' if '1' in x.split('/')[1] else 'train'}"
        for x, w in zip(names, words, strict=True)
    ]
    listed = tmp_path / "own" / "people.csv"
    listed.write_text("\n".join(["path,id,modality,split", *rows]) + "\n")
    code, _, err = score(capsys, *common, listed)
    assert code == 0, err


def test_images_without_a_label_are_left_out(rows, tmp_path, capsys):
    paths, modality, ids, cameras, vectors = rows
    folder = write_job(tmp_path / "embeddings", paths, modality, vectors)
    labels = write_labels(tmp_path / "labels.csv", paths[:36], ids[:36])
    arguments = ("--features", folder, "--labels", labels, "--protocol", "regdb")
    code, out, err = score(capsys, *arguments)
    assert code == 0, err
    assert "not used: 12 images that" in err
    assert "24 queries, gallery of 12" in out


def test_names_become_numbers(rows, tmp_path):
    paths, modality, ids, _, vectors = rows
    folder = write_job(tmp_path / "embeddings", paths, modality, vectors)
    names = [f"person {number}" for number in ids]
    table = read_embeddings(
        folder, read_labels(write_labels(tmp_path / "l", paths, names))
    )
    assert table.cameras is None
    assert table.ids.tolist() == np.repeat(np.arange(4), 12).tolist()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["1_12", "11_2", "0007", "7"], [2, 1, 0, 3]),
        (["7", "0007"], [1, 0]),
        (["7", "\u0667"], [0, 1]),  # int() of an Arabic seven is 7
        (["123456789012345678901234", "5"], [0, 1]),
        (["0007", "-1", "7"], [0, -1, 1]),  # -1 is junk in Market-1501's convention
        (["0007", "0012", "-1"], [7, 12, -1]),
        (["9", "10", "9"], [9, 10, 9]),
    ],
)
def test_different_names_are_different_people(tmp_path, names, expected):
    paths = [f"{number}.jpg" for number in range(len(names))]
    labels = read_labels(write_labels(tmp_path / "labels.csv", paths, names))
    assert [labels.ids[path] for path in paths] == expected


@pytest.mark.parametrize("cameras", [("1_2", "3"), ("01", "1"), ("1" * 24, "2")])
def test_a_camera_that_is_no_plain_number_is_refused(tmp_path, cameras):
    path = write_labels(tmp_path / "labels.csv", ["a", "b"], [1, 2], cameras)
    with pytest.raises(ValueError, match="camera must be a whole number"):
        read_labels(path)


@pytest.mark.long
def test_a_data_set_names_the_images(tmp_path, capsys):
    root = synvi_root()
    test = read_sysu_mm01(root).test
    listed = [str(pathlib.Path(path).relative_to(root)) for path in test.paths]
    vectors = np.random.default_rng(0).normal(size=(len(test), 4)).astype(np.float16)
    words = np.array(["visible", "infrared"])[test.modality].tolist()
    folder = write_job(tmp_path / "embeddings", listed, words, vectors)
    options = ("--dataset", "sysu_mm01", "--no-rerank", "--out", tmp_path / "out")
    code, _, err = score(capsys, "--features", folder, "--root", "synvi", *options)
    assert code == 0, err
    np.savez(
        tmp_path / "same.npz",
        fused=vectors,
        ids=test.ids,
        cameras=test.cameras,
        paths=test.paths,
    )
    expected = score_file(tmp_path / "same.npz", "sysu", reranking=False)
    assert read_results(tmp_path / "out" / "results.json")[1] == expected


def test_faults_are_named(rows, tmp_path, capsys):
    paths, modality, ids, cameras, vectors = rows
    folder = write_job(tmp_path / "embeddings", paths, modality, vectors)
    labels = write_labels(tmp_path / "labels.csv", paths, ids, cameras)

    def refusal(**changed):
        given = {"features": folder, "labels": labels, "protocol": "sysu"} | changed
        words = [word for k, v in given.items() for word in (f"--{k}", v)]
        code, _, err = score(capsys, *words)
        assert code == 2
        return err

    more = write_labels(
        tmp_path / "more.csv", [*paths, "x.jpg"], [*ids, 3], [*cameras, 1]
    )
    assert "1 of the 49 images of" in refusal(labels=more)
    assert "first x.jpg: embed the folder" in refusal(labels=more)
    twice = write_labels(
        tmp_path / "twice.csv", [*paths, paths[3]], [*ids, 3], [*cameras, 1]
    )
    assert f"twice.csv: '{paths[3]}' is listed twice" in refusal(labels=twice)
    other = tmp_path / "other.csv"
    other.write_text("file,person\na,1\n")
    assert "other.csv: labels are a CSV file whose first line is" in refusal(
        labels=other
    )
    bare = write_labels(tmp_path / "bare.csv", paths, ids)
    assert "no array 'cameras', which the protocol 'sysu' needs" in refusal(labels=bare)
    assert "there is no job.json" in refusal(features=tmp_path)
    middle = folder / "embeddings-00002-of-00005.parquet"
    content = middle.read_bytes()
    middle.write_bytes(content[:100])
    assert "embeddings-00002-of-00005.parquet is damaged" in refusal()
    middle.unlink()
    assert "shard 2 of 5 is missing: finish the job" in refusal()
