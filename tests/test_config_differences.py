"""Two configs held against each other."""

import own_part
import pytest

from jreid import parts
from jreid.config_differences import differences, overrides
from jreid.config_files import load
from jreid.config_hash import config_hash
from jreid.parts import settled
from jreid.user_files import load_file

DATA_SET = """
from dataclasses import dataclass, field

from jreid.evaluation.protocols.custom import CustomProtocol


@dataclass(slots=True)
class Thermal:
    root: str = ""
    tfds: str = ""
    split: int = 1
    protocol: CustomProtocol = field(default_factory=CustomProtocol)
    key = "thermal"

    def read(self): ...
"""


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


def test_where_a_data_set_of_ones_own_lies_may_differ(tmp_path):
    (tmp_path / "thermal.py").write_text(DATA_SET)
    kind = load_file(tmp_path / "thermal.py").Thermal
    one, other = load("sysu"), load("sysu")
    one.data, other.data = kind("here"), kind("there", "built")
    assert config_hash(one) == config_hash(other)
    other.data.split = 2
    assert config_hash(one) != config_hash(other)
    assert [(path, may) for path, *_, may in differences(one, other)] == [
        ("config.data.root", True),
        ("config.data.tfds", True),
        ("config.data.split", False),
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
