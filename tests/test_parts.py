"""Parts of a user's file: what a config may hold, stored and found again, compared."""

import json

import numpy as np
import pytest

from jreid import config_json, parts
from jreid.config_differences import differences, overrides
from jreid.config_files import load
from jreid.config_hash import config_hash
from jreid.config_json import from_json, to_json
from jreid.parts import check, settled

OWN = '''
"""A loss of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field

from jreid.configs.systems import paper
from jreid.data.sysu_mm01 import SysuMM01


@dataclass(slots=True)
class Margin:
    inner: float = 1.0


@dataclass(slots=True)
class Repulsion:
    weight: float = 1.0
    on: str = "features.v2"
    alpha: float = 0.1
    shares: tuple[tuple[str, float], ...] = ()
    pair: tuple[int, float] | None = None
    scales: dict[str, float] = field(default_factory=dict)
    margins: tuple[Margin, ...] = (Margin(), Margin(2.0))
    note: str = field(default="", metadata={"may_differ": True})

    def check(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; allowed is 0 to 1")

    def __call__(self, outputs, batch, rng=None): ...


def get_config():
    config = paper.base(SysuMM01())
    config.objective["repulsion"] = Repulsion(on="features.v1")
    return config
'''


@pytest.fixture
def own(tmp_path):
    """A config with a part of a user's file."""
    (tmp_path / "own.py").write_text(OWN)
    return load(str(tmp_path / "own.py"))


def stored(config):
    return json.loads(json.dumps(to_json(config)))


# What a config may hold


def test_whole_numbers_given_for_floats_are_floats(own):
    term = own.objective["repulsion"]
    term.weight, term.shares, term.pair = 1, (("features.v1", 1),), (1, 2)
    term.scales = {"a": 3}
    config = settled(own)
    check(config)
    found = config.objective["repulsion"]
    values = (found.weight, found.shares[0][1], found.pair, found.scales["a"])
    assert repr(values) == "(1.0, 1.0, (1, 2.0), 3.0)"
    assert config_hash(config) == config_hash(from_json(stored(config)))


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


# Stored


def test_a_user_s_class_is_found_by_its_file(own):
    values = stored(own)
    assert values["objective"]["repulsion"]["is"] == "file own.py:Repulsion"
    assert len(values["objective"]["repulsion"]["sha256"]) == 64
    assert values["network"]["is"] == "jreid.models.two_stream:TwoStream"
    assert "sha256" not in values["network"]
    assert from_json(values) == own


def test_without_the_user_s_file_the_run_asks_for_it(own):
    values = stored(own)
    values["objective"]["repulsion"]["is"] = "file nobody.py:Repulsion"
    with pytest.raises(ValueError) as refused:
        from_json(values)
    assert str(refused.value) == (
        "config.objective.repulsion is Repulsion of nobody.py: give that file again, "
        "--config nobody.py"
    )


def test_a_file_that_has_changed_is_warned_about_once(own, tmp_path, capsys):
    values, before = stored(own), config_hash(own)
    (tmp_path / "own.py").write_text(f"{OWN}\n# another line\n")
    changed = load(str(tmp_path / "own.py"))
    again = from_json(values)
    assert capsys.readouterr().err == (
        "warning: own.py has changed since the run was begun\n"
    )
    assert again == changed and config_hash(again) == before


def test_a_new_field_breaks_no_stored_run_and_no_hash(own, tmp_path):
    values, before = stored(own), config_hash(own)
    newer = OWN.replace(
        "    alpha: float = 0.1\n", "    new: int = 3\n    alpha: float = 0.1\n"
    )
    (tmp_path / "own.py").write_text(newer)
    load(str(tmp_path / "own.py"))
    config = from_json(values)
    assert config.objective["repulsion"].new == 3
    assert config_hash(config) == before


def test_a_field_of_another_version_is_named(own):
    values = stored(own)
    values["optimizer"]["larning_rate"] = 0.1
    with pytest.raises(ValueError) as refused:
        from_json(values)
    assert str(refused.value) == (
        "config.optimizer has the field larning_rate, which SGD has not: the run was "
        "begun by another version of jreid"
    )


def test_a_renamed_part_goes_on_by_one_entry(own, monkeypatch):
    values, before = stored(own), config_hash(own)
    now = values["optimizer"]["is"]
    values["optimizer"]["is"] = "jreid.training.old_place:OldSGD"
    with pytest.raises(ValueError, match="config.optimizer is jreid.training.old_pla"):
        from_json(values)
    monkeypatch.setitem(config_json.MOVED, "jreid.training.old_place:OldSGD", now)
    again = from_json(values)
    assert again == own
    assert config_hash(again) != before, "the run's hash has the name of its day"
    monkeypatch.setitem(
        config_json.MOVED, "jreid.training.old_place:OldSGD", "other:Part"
    )
    assert config_hash(again) == before


def test_the_flat_format_names_the_version_that_reads_it():
    with pytest.raises(ValueError, match=r"format of jreid 0\.1, before parts: .*$"):
        from_json({"name": "sysu", "seed": 0, "optim": {"lr": 0.1}})


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "subprocess:Popen",
        "jreid.lazy:importlib",
        "jreid.models.modules.resnet:Trunk",
        "jreid.parts:check",
        "jreid.no_such_module:Part",
        "jreid:Config",
        "file :Part",
        "",
        ":",
        7,
        None,
        ["jreid.training.optimizers:SGD"],
        {"is": "jreid.training.optimizers:SGD"},
    ],
)
def test_only_parts_are_made_of_what_was_stored(own, name):
    values = stored(own)
    values["optimizer"] = {"is": name}
    with pytest.raises(ValueError, match="config.optimizer"):
        from_json(values)


def test_a_field_without_a_default_is_needed(own):
    values = stored(own)
    del values["name"]
    with pytest.raises(ValueError, match="config: .*name"):
        from_json(values)
    with pytest.raises(ValueError, match="not a Config"):
        from_json(values["optimizer"])
    for other in ([], 3, None, "x", {}):
        with pytest.raises(ValueError, match=r"jreid 0\.1"):
            from_json(other)


def test_a_class_that_would_not_be_found_again_is_not_stored(own):
    class_ = type("Local", (type(own.optimizer),), {"__module__": __name__})
    own.optimizer = class_()
    with pytest.raises(ValueError, match="test_parts.Local is no part that can be sto"):
        to_json(own)


# Compared


def test_differences_say_path_values_and_whether_they_matter(own):
    other = from_json(stored(own))
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
