"""A config as JSON and back: parts of this package and of a user's file."""

import json

import own_part
import pytest

from jreid import config_json
from jreid.config_files import load
from jreid.config_hash import config_hash
from jreid.config_json import from_json, to_json


@pytest.fixture
def own(tmp_path):
    """A config with a part of a user's file."""
    return own_part.load_from(tmp_path)


def stored(config):
    return json.loads(json.dumps(to_json(config)))


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
    (tmp_path / "own.py").write_text(f"{own_part.OWN}\n# another line\n")
    changed = load(str(tmp_path / "own.py"))
    again = from_json(values)
    assert capsys.readouterr().err == (
        "warning: own.py has changed since the run was begun\n"
    )
    assert again == changed and config_hash(again) == before


def test_a_new_field_breaks_no_stored_run_and_no_hash(own, tmp_path):
    values, before = stored(own), config_hash(own)
    newer = own_part.OWN.replace(
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
    with pytest.raises(ValueError, match="test_config_json.Local is no part that"):
        to_json(own)
