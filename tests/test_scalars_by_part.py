"""Scalars by part of the network against sums by hand."""

import numpy as np
import pytest

from jreid.training.scalars_by_part import by_part


def test_norms_ratios_and_root_mean_squares(rng):
    def tree(scale):
        x = rng.normal(size=(4, 3)).astype(np.float32) * scale
        return {
            "trunk": {"a": x[0], "b": {"c": x[1]}},
            "branches": {"v1": {"p": x[2]}, "v2": {"p": x[3]}},
        }

    params, grads, updates = tree(1), tree(10), tree(0.1)
    outputs = {
        "logits": {"z1": np.array([[3, 4], [0, 0]], np.float32)},
        "images": {"x": 1},
    }
    found = by_part(params, grads, updates, outputs)

    def norm(*arrays):
        return np.sqrt(sum((a.astype(np.float64) ** 2).sum() for a in arrays))

    def arrays(tree):
        trunk, branches = tree["trunk"], tree["branches"]
        return {
            "trunk": (trunk["a"], trunk["b"]["c"]),
            "branches/v1": (branches["v1"]["p"],),
            "branches/v2": (branches["v2"]["p"],),
        }

    expected: dict[str, float] = {"part/rms/logits.z1": 2.5}
    for name in arrays(params):
        mine, slope, moved = (norm(*arrays(t)[name]) for t in (params, grads, updates))
        expected[f"part/grad_norm/{name}"] = slope
        expected[f"part/update_ratio/{name}"] = moved / mine
    assert {k: float(v) for k, v in found.items()} == pytest.approx(expected, rel=1e-5)
