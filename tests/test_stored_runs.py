"""Runs that earlier versions have written are continued, scored and started from."""

import pathlib
import tarfile

import pytest
import tiny

from jreid import evaluate, parts, train
from jreid.config_json import from_json
from jreid.run.workdir import read_config

STORED = sorted((pathlib.Path(__file__).parent / "data").glob("run_v*.tar.xz"))
pytestmark = pytest.mark.usefixtures("systems_built_once")


def extracted(archive: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder


def test_there_is_one():
    assert STORED


@pytest.mark.slow
@pytest.mark.parametrize("archive", STORED, ids=lambda path: path.name)
def test_it_goes_on_where_it_stopped(archive, tmp_path, capsys):
    run = extracted(archive, tmp_path / "run")
    config = from_json(read_config(run))
    parts.check(config)
    tree = tiny.make_tree(tmp_path / "tree")
    config.data.root, config.steps = str(tree), 0
    assert train.train(config, run) == 0
    assert "continuing after step 3" in capsys.readouterr().err
    assert [line["step"] for line in tiny.metrics(run)] == [1, 2, 3, 4, 5, 6]
    assert evaluate.main([str(run)]) == 0


@pytest.mark.parametrize("archive", STORED, ids=lambda path: path.name)
def test_an_unknown_field_and_a_missing_class_are_one_line(archive, tmp_path):
    stored = read_config(extracted(archive, tmp_path / "run"))
    stored["objective"]["wrt"]["tempo"] = 3
    with pytest.raises(ValueError, match="tempo"):
        from_json(stored)
    del stored["objective"]["wrt"]["tempo"]
    stored["objective"]["wrt"]["is"] = "jreid.losses.weighted_triplet:Gone"
    with pytest.raises(ValueError, match="Gone"):
        from_json(stored)
