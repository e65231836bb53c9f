"""A run's first lines, and the lists of images that they and the training share."""

import pytest
import tiny

from jreid import train
from jreid.data.sysu_mm01 import SysuMM01
from jreid.run.begin import begin
from jreid.run.images import read_images

AT = "coordinator=localhost:1234"


@pytest.fixture
def words(tmp_path):
    root = tiny.make_tree(tmp_path / "tree")
    return ["--config", "sysu", f"--config.data.root={root}", "--config.pretrained="]


@pytest.fixture
def read(monkeypatch):
    """The roots that are read, one by one."""
    roots, whole = [], SysuMM01.read
    monkeypatch.setattr(
        SysuMM01, "read", lambda data: roots.append(data.root) or whole(data)
    )
    return roots


def test_images_are_listed_once(words, read, tmp_path, capsys):
    begun = begin(train.parse, [*words, "--workdir", str(tmp_path / "run")])
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines[1:4]] == [
        "work directory",
        "weights",
        "data",
    ]
    config = begun.given.config
    images = read_images(config, begun.dataset)
    assert read == [config.data.root]
    again = read_images(config)
    assert len(read) == 2 and images.content == again.content
    assert images.test_content == again.test_content


@pytest.mark.parametrize(
    "more",
    [
        ["--config.data.root=nowhere"],
        [f"--config.distributed.{word}" for word in ("process=1", "processes=2", AT)],
    ],
)
def test_what_is_wrong_or_anothers_is_listed_later(words, more, capsys):
    assert begin(train.parse, [*words, *more]).dataset is None
    said = "jreid" in capsys.readouterr().err
    assert said == ("nowhere" in more[0])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], True),
        (["--config.optimizer.lr=0.03"], False),
        (["--config.pretrained="], False),  # no weights to lose
        (["--config.steps_per_epoch=65"], False),
    ],
)
def test_a_high_rate_that_comes_early_is_named(words, more, told, capsys):
    more = ["--config.pretrained=w.npz", "--config.steps_per_epoch=5", *more]
    begin(train.parse, [*words, *more])
    said = capsys.readouterr().err
    assert ("rate: 0.1 after 50 steps of warm-up" in said) == told
    assert ("--config.optimizer.lr=0.01 to 0.03 trained better" in said) == told
