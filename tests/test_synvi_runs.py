"""On SynVI a narrow system of each mechanism trains, and resumes with the same bits."""

import dataclasses
import pathlib

import narrow
import numpy as np
import pytest
import tiny
from parameters import slow_but

from jreid import parts, train
from jreid.data.synvi import synvi_root
from jreid.models.resnet import BLOCK_COUNTS

pytestmark = pytest.mark.usefixtures("systems_built_once")

PEOPLE = {"train": 4, "val": 1, "test": 2}
# system -> what its steps are to move: its mechanism
MOVED = {
    "agw": ("params/trunk/after",),  # terms alone
    "mpanet": ("extra/average", "params/branches/v1/own"),  # a memory: teachers
    "cmgan_minmax": ("params/discriminators", "params/trunk"),  # players
    "pmt": ("params/blocks",),  # phases
    "adca": ("extra/clusters", "params/stems"),  # labels between epochs
    "hcml": ("stats/metric", "params/trunk"),  # a metric after training
}
QUICK = {"agw", "cmgan_minmax", "hcml"}  # ten seconds of one core each; others more


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    """SynVI with few of its people."""
    root, whole = tmp_path_factory.mktemp("data"), synvi_root()
    (root / "exp").mkdir()
    for part, count in PEOPLE.items():
        ids = (whole / "exp" / f"{part}_id.txt").read_text().split(",")[:count]
        (root / "exp" / f"{part}_id.txt").write_text(",".join(ids))
        for camera in range(1, 7):
            (root / f"cam{camera}").mkdir(exist_ok=True)
            for name in (f"{int(number):04d}" for number in ids):
                if (folder := whole / f"cam{camera}" / name).exists():
                    (root / f"cam{camera}" / name).symlink_to(folder)
    return root


def config_of(name, tree):
    """Two epochs of two steps, of the smallest images and networks."""
    config = narrow.narrow(name)
    config.data.root = str(tree)
    config.steps_per_epoch, config.schedule.epochs = 2, 2
    if name == "pmt":
        config.network.blocks = 1
        for phase in config.phases:
            phase.epochs = 1
    else:
        config.phases = ()  # adca's differ in their rates alone
        config.size, trunk = (32, 16), config.network.trunk
        trunk.stages, blocks = 1, trunk.after
        trunk.after = {"1": blocks["2.1"]} if name == "agw" else {}
    parts.check(config)
    return config


@pytest.fixture(autouse=True)
def one_block_per_stage(monkeypatch):
    monkeypatch.setitem(BLOCK_COUNTS, 18, (1, 1, 1, 1))


@pytest.mark.parametrize("name", slow_but(MOVED, quick=QUICK))
def test_a_run_goes_on_with_the_same_bits_and_moves_its_own(
    name, tree, tmp_path, monkeypatch
):
    monkeypatch.setattr(train, "finish", lambda *_: None)  # test images are others' job
    config = config_of(name, tree)
    assert train.train(config, tmp_path / "whole") == 0
    stopped = dataclasses.replace(config, steps=3)  # within the second epoch
    assert train.train(stopped, tmp_path / "resumed") == 0
    before = tiny.final_state(tmp_path / "resumed")
    assert train.train(config, tmp_path / "resumed") == 0
    tiny.assert_same_state(tmp_path / "whole", tmp_path / "resumed")
    after = tiny.final_state(tmp_path / "whole")
    for pattern in MOVED[name]:
        own = [path for path in after if path.startswith(pattern)]
        assert any((before[path] != after[path]).any() for path in own), pattern
    lines = tiny.metrics(tmp_path / "whole")
    losses = [x for line in lines for key, x in line.items() if "loss" in key]
    assert len(lines) == 4 and np.isfinite(losses).all()
    later = ["loss/shared" in line for line in lines]  # of pmt's second phase
    assert later == [False, False, name == "pmt", name == "pmt"]
