"""docs/new-system.md: its example is a file outside of the package that trains."""

import json
import pathlib
import re

import pytest
import tiny

from jreid import evaluate, parts, train
from jreid.config_files import load

pytestmark = pytest.mark.usefixtures("systems_built_once")
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "new-system.md"


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> pathlib.Path:
    """The page's block of Python as the file that its first line names."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code
    path = tmp_path_factory.mktemp("elsewhere") / "stripes.py"
    path.write_text(code[1])
    return path


@pytest.mark.slow
def test_the_example_trains_and_is_scored(example, tmp_path, capsys):
    config = load(str(example))
    config.data.root = str(tiny.make_tree(tmp_path / "tree"))
    config.network.trunk.depth, config.network.trunk.width = 18, 1 / 16
    config.pretrained, config.size = "", (48, 16)
    config.sampling.identities, config.sampling.images = 3, 2
    config.loading.workers, config.steps = 1, 2
    config.log.every_steps, config.log.writers = 1, ()
    config.evaluation.trials, config.evaluation.rerank = 1, False
    parts.check(config)
    assert train.train(config, tmp_path / "run") == 0
    terms = {k for k in tiny.metrics(tmp_path / "run")[0] if k.startswith("loss/")}
    assert terms == {f"loss/{name}" for name in config.objective}
    shapes = {n: a.shape for n, a in tiny.final_state(tmp_path / "run").items()}
    assert "params/trunk/after/layer2/conv/kernel" in shapes
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["scores"]
    assert {s["feature"] for s in scores} == {"fused", "s0", "s1", "s2", "global"}
    capsys.readouterr()
    again = [str(tmp_path / "run"), "--config", str(example)]
    assert evaluate.main(again) == 0
    assert "global" in capsys.readouterr().out


def test_every_field_of_it_is_checked(example):
    config = load(str(example))
    config.objective["gap"].on = "features.s3"
    with pytest.raises(ValueError, match="config.objective.gap.on is 'features.s3'"):
        parts.check(config)
