"""Whoever asks for what no earlier turn of a step has made is named, in any system."""

import jax
import narrow
import pytest
import term_slopes
from test_learner import make_system

from jreid.training.made import Made


def test_what_was_made_is_there_and_what_was_not_is_named():
    made = Made({"same_visible": 1}, "visible")
    assert made["same_visible"] == 1 and "made_visible" not in made
    with pytest.raises(ValueError, match=r"visible asks for made_v.*made same_visible"):
        made["made_visible"]
    with pytest.raises(ValueError, match="they made nothing"):
        Made({}, "visible")["made_visible"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "who", "what"),
    [
        ("aligngan", "infrared", "map_infrared"),
        ("d2rl_like", "discriminators", "infrared"),
        ("hicmd", "reid", "prototypes"),
        ("jsia", "discriminators", "visible"),
        ("mtgan_like", "infrared", "made_infrared"),
    ],
)
def test_a_wrong_order_of_turns_is_told(name, who, what):
    """While the step is traced, before anything is computed."""
    config = narrow.narrow(name)
    phase = 2 if name == "aligngan" else 0  # its first has one player
    config.players = dict(reversed(config.players.items()))
    for player in config.players.values():
        player.sampling = None
    system = make_system(config)
    with pytest.raises(ValueError, match=f"the player {who} asks for {what}, which no"):
        jax.eval_shape(
            lambda batch: system.step(system.init(0), batch, phase),
            term_slopes.batch_of(config),
        )
