"""What a config may hold: parts of values, settled and checked."""

import numpy as np
import own_part
import pytest

from jreid.config_files import load
from jreid.parts import check, settled


@pytest.fixture
def own(tmp_path):
    """A config with a part of a user's file."""
    return own_part.load_from(tmp_path)


def test_whole_numbers_given_for_floats_are_floats(own):
    term = own.objective["repulsion"]
    term.weight, term.shares, term.pair = 1, (("features.v1", 1),), (1, 2)
    term.scales = {"a": 3}
    config = settled(own)
    check(config)
    found = config.objective["repulsion"]
    values = (found.weight, found.shares[0][1], found.pair, found.scales["a"])
    assert repr(values) == "(1.0, 1.0, (1, 2.0), 3.0)"


def test_what_two_parts_share_is_shared_no_more():
    config = load("sysu")
    shared = config.views["visible"].pipe
    config.views["infrared"].pipe = shared
    config = settled(config)
    config.views["visible"].pipe[0].pixels = 3
    assert config.views["infrared"].pipe[0].pixels == 10


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2], "[1, 2]; a config holds numbers"),
        (np.zeros(2), "array([0., 0.]); a config"),
        (np.float32(1), "a config holds numbers"),
        (len, "<built-in function len>; a config"),
        ({1, 2}, "{1, 2}; a config"),
        (b"x", "b'x'; a config"),
    ],
)
def test_other_values_are_refused_with_their_path(own, value, said):
    own.memory = value
    for refuse in (settled, check):
        with pytest.raises(ValueError) as refused:
            refuse(own)
        message = str(refused.value)
        assert message.startswith("config.memory is ") and said in message
        assert len(message.splitlines()) == 1


def test_a_list_is_to_be_a_tuple_and_a_class_is_to_be_called(own):
    own.views["visible"].pipe = [1]
    with pytest.raises(ValueError, match=r"config.views.visible.pipe is \[1\].*tuple"):
        settled(own)
    own.views["visible"].pipe = ()
    own.optimizer = type(own.optimizer)
    with pytest.raises(ValueError, match=r"config.optimizer is .*SGD.*SGD\(\.\.\.\)"):
        settled(own)


def test_names_of_a_dict_can_be_words_of_the_command_line(own):
    for name in ("is", "a b", "a=b", "a-b", "", 2):
        config = settled(own)
        config.objective[name] = config.objective["wrt"]
        with pytest.raises(ValueError, match="config.objective has the key"):
            settled(config)


def test_types_are_checked_all_the_way_down(own):
    for field, value, hint in (
        ("alpha", "x", "float"),
        ("alpha", True, "float"),
        ("shares", (("a", 1.0), ("b", "c")), "tuple[tuple[str, float], ...]"),
        ("scales", {"a": 1.0, "b": "c"}, "dict[str, float]"),
        ("pair", (1.5, 2.0), "tuple[int, float] | None"),
        ("margins", (1,), "tuple[file own.py.Margin, ...]"),
    ):
        config = settled(own)
        setattr(config.objective["repulsion"], field, value)
        with pytest.raises(ValueError) as refused:
            check(config)
        path = f"config.objective.repulsion.{field}"
        assert str(refused.value) == f"{path} is {value!r}; allowed is {hint}"


def test_inner_parts_are_checked_first(own):
    own.objective["repulsion"].alpha = 7.0
    own.size = (1, 1)
    with pytest.raises(ValueError) as refused:
        check(own)
    path = "config.objective.repulsion.alpha"
    assert str(refused.value) == f"{path} is 7.0; allowed is 0 to 1"
