"""D2RL's runs, narrow: who moves in which phase, stopped after each of their steps."""

import narrow
import numpy as np
import pytest
import tiny

from jreid import train

pytestmark = [pytest.mark.usefixtures("systems_built_once"), pytest.mark.long]
FIRST = {"encoders", "decoders", "discriminators"}


def test_each_phase_moves_its_players_and_resumes_bit_identical(tmp_path, embedded):
    config = narrow.narrow("d2rl_like")
    config.data.root = str(tiny.make_tree(tmp_path / "tree"))
    for part in (config, *config.players.values()):
        if part.optimizer is not None:
            part.optimizer.lr = 1e-3  # so narrow and untrained, their own is too much
    assert train.train(config, tmp_path / "whole") == 0
    states = []
    for config.steps in (1, 2, 4, 5, 6):  # phases of two steps each
        assert train.train(config, tmp_path / "run") == 0
        states.append(tiny.final_state(tmp_path / "run"))
    tiny.assert_same_state(tmp_path / "whole", tmp_path / "run")
    for number, moving in ((1, FIRST), (2, {"reid"}), (4, {*FIRST, "reid"})):
        before, after = states[number - 1], states[number]
        for name in (n for n in after if n.startswith("params/")):
            if name.split("/")[1] not in moving:
                np.testing.assert_array_equal(after[name], before[name], err_msg=name)
            elif "bias" not in name:
                assert (after[name] != before[name]).any(), (number, name)
    for line in tiny.metrics(tmp_path / "whole"):
        assert all(np.isfinite(v) for v in line.values() if isinstance(v, float))
    assert (tmp_path / "run" / "translations.png").stat().st_size > 1000
    for features in embedded:
        assert features["fused"].shape[0] == 24 and features["fused"].ndim == 2
