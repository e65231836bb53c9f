"""Two configs held against each other."""

import own_part
import pytest

from jreid import parts
from jreid.config_differences import differences, overrides
from jreid.config_files import load
from jreid.parts import settled


@pytest.fixture
def own(tmp_path):
    """A config with a part of a user's file."""
    return own_part.load_from(tmp_path)


def test_differences_say_path_values_and_whether_they_matter(own):
    other = settled(own)
    assert differences(own, other) == []
    other.data.root, other.evaluation.trials = "x", 3
    other.objective["repulsion"].alpha, other.objective["repulsion"].note = 0.2, "n"
    other.size = (96, 48)
    assert differences(own, other) == [
        ("config.data.root", "", "x", True),
        ("config.size", (288, 144), (96, 48), False),
        ("config.objective.repulsion.alpha", 0.1, 0.2, False),
        ("config.objective.repulsion.note", "", "n", True),
        ("config.evaluation.trials", 10, 3, True),
    ]


def test_differences_of_parts_terms_and_pipes():
    one, other = load("sysu"), load("demo")
    found = {path: (a, b) for path, a, b, _ in differences(one, other)}
    assert found["config.schedule"] == (
        "jreid.training.schedules:Steps",
        "jreid.training.schedules:Cosine",
    )
    path = "config.views.visible.pipe.2"
    assert found[path] == (parts.MISSING, "jreid.data.augmentations:Grey")
    path = "config.network.trunk.after.2.2"
    assert found[path] == ("jreid.models.non_local:NonLocal", parts.MISSING)
    other = load("sysu")
    other.objective = dict(reversed(other.objective.items()))
    names = tuple(one.objective)
    assert differences(one, other) == [("config.objective", names, names[::-1], False)]


def test_overrides_cannot_put_a_part_in_another_s_place():
    with pytest.raises(ValueError) as refused:
        overrides(load("sysu"), load("sysu:base"))
    assert "is another part than the file's: write it in a config file" in str(
        refused.value
    )
