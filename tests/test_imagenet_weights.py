"""The paper's system at its rate of 0.1 from ImageNet weights, after a short warm-up.

Needs converted weights, in weights/resnet50.npz or where JREID_WEIGHTS says (README,
Training), and some ten minutes on a core.
"""

import json
import math
import os
from pathlib import Path

import pytest

from jreid import train

ROOT = Path(__file__).parents[1]
WEIGHTS = Path(os.environ.get("JREID_WEIGHTS", ROOT / "weights" / "resnet50.npz"))
STEPS, IDENTITIES = 150, 200


@pytest.mark.long
@pytest.mark.skipif(
    not WEIGHTS.exists(),
    reason=f"no {WEIGHTS}: convert ImageNet weights, or say where with JREID_WEIGHTS",
)
def test_the_bottleneck_learns_from_imagenet_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # the data set is "synvi", the embedded one
    words = ["--config", "docs/ablation/rows.py:full+cosine"]
    words += [f"--config.pretrained={WEIGHTS.resolve()}", f"--config.steps={STEPS}"]
    words += ["--config.log.every_steps=1", "--config.evaluation.rerank=False"]
    assert train.main([*words, f"--workdir={tmp_path / 'run'}"]) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [line for line in map(json.loads, lines) if "loss" in line]
    assert len(steps) == STEPS
    rates = [step["lr"] for step in steps]
    assert max(rates) == pytest.approx(0.1, rel=1e-3)
    for name in ("loss", "loss/identity_z1", "loss/identity_z2"):
        values = [step[name] for step in steps]
        assert all(value is not None for value in values)  # null is NaN
        if name != "loss":
            assert max(values) < 2 * math.log(IDENTITIES)
            assert sum(values[-10:]) / 10 < math.log(IDENTITIES)
