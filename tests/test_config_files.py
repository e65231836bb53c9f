"""Config files: the shipped ones by name, a user's own with its neighbours."""

import sys

import pytest

from jreid.config_files import load, shipped
from jreid.config_json import from_json, to_json
from jreid.user_files import loaded_beside

BODY = """
from jreid.configs.systems import paper
from jreid.data.sysu_mm01 import SysuMM01

def get_config(variant="base"):
    return getattr(paper, variant)(SysuMM01())
"""


def refusal(spec):
    with pytest.raises(ValueError) as refused:
        load(str(spec))
    return str(refused.value)


def test_the_shipped_are_found_by_name_and_by_path(monkeypatch):
    assert shipped() == ["custom", "demo", "llcm", "regdb", "sysu"]
    by_name = load("sysu:base")
    from jreid import configs

    assert load(f"{configs.FOLDER}/sysu.py:base") == by_name
    monkeypatch.chdir(configs.FOLDER)
    assert load("sysu.py:base") == by_name


def test_a_file_from_anywhere_with_its_variants(tmp_path):
    path = tmp_path / "my.own:file.py"
    path.write_text(BODY)
    assert len(load(f"{path}").network.branches) == 1
    assert len(load(f"{path}:full").network.branches) == 2


def test_names_that_are_not_there():
    assert refusal("ssyu") == (
        "there is no config 'ssyu'; shipped are sysu, and a path ends in .py"
    )
    assert "shipped are custom, demo, llcm, regdb, sysu" in refusal("xyz")
    assert refusal("nowhere/mine.py:full").startswith("there is no config 'nowhere/mi")
    message = refusal("sysu:bsae")
    assert message.startswith("there is no system 'bsae'; did you mean base?\n")
    assert "\n  full         DIAM and VRD" in message
    assert "there is no system 'al'" in refusal("regdb:al")


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        ("config.objective['hc_tri'].magrin = 1", "no attribute 'magrin'"),
        ("config.objective['hctri']", "KeyError: 'hctri'"),
        ("config.optimizer = SGD(learning_rate=1.0)", "learning_rate"),
        ("config.optimizer = Sgd()", "name 'Sgd' is not defined"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("return None", "get_config returns None, which is no Config"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_slip_in_a_file_is_told_in_one_line(tmp_path, slip, said):
    path = tmp_path / "broken.py"
    path.write_text(
        "from jreid.configs.systems import paper\n"
        "from jreid.data.sysu_mm01 import SysuMM01\n"
        "from jreid.training.optimizers import SGD\n"
        "def get_config():\n"
        "    config = paper.full(SysuMM01())\n"
        f"    {slip}\n"
        "    return config\n"
    )
    message = refusal(path)
    assert message.startswith(f"{path}: ") and said in message


def test_a_file_that_is_no_config_file(tmp_path):
    path = tmp_path / "other.py"
    path.write_text("x = 1\n")
    assert refusal(path) == f"{path} has no function get_config(variant)"
    path.write_text("def get_config(:\n")
    assert refusal(path).startswith(f"{path}: invalid syntax")


def test_parts_of_neighbours_are_stored_and_found(tmp_path):
    (tmp_path / "my_losses.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(slots=True)\n"
        "class Mine:\n"
        "    weight: float = 1.0\n"
        "    def __call__(self, outputs, batch, rng=None):\n"
        "        import my_arithmetic\n"
        "        return my_arithmetic.three()\n"
    )
    (tmp_path / "my_arithmetic.py").write_text("def three():\n    return 3\n")
    path = tmp_path / "mine.py"
    path.write_text(
        BODY.replace("def get", "from my_losses import Mine\ndef get").replace(
            "    return", "    config ="
        )
        + "    config.objective['mine'] = Mine(2.0)\n    return config\n"
    )
    config = load(str(path))
    values = to_json(config)
    assert values["objective"]["mine"]["is"] == "file my_losses.py:Mine"
    again = from_json(values)
    assert again == config
    assert again.objective["mine"]({}, {}) == 3, "imported when it is called"


def test_a_slip_that_is_undone_leaves_no_trace(tmp_path):
    """As in a notebook or a server, whose process goes on."""
    neighbour, path = tmp_path / "names_of_mine.py", tmp_path / "mine_undone.py"
    neighbour.write_text("NAME = 'mine'\n")
    whole = BODY.replace("def get", "from names_of_mine import NAME\ndef get")
    broken = whole.replace("def get", "broken\ndef get")
    for text in (broken, whole, broken, whole):
        path.write_text(text)
        if text == broken:
            assert "'broken' is not defined" in refusal(path)
        else:
            assert load(str(path)) == load(str(path))
            assert {file.path for file in loaded_beside(path)} == {path, neighbour}
    sys.modules.pop("names_of_mine", None)


def test_neighbours_of_one_name_are_those_of_the_file(tmp_path):
    weights = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "numbers_of_mine.py").write_text(f"NAME = '{folder}'\n")
        path = tmp_path / folder / "mine.py"
        path.write_text(
            BODY.replace(
                "def get", "from numbers_of_mine import NAME\ndef get"
            ).replace("    return", "    config =")
            + "    config.name = NAME\n    return config\n"
        )
        weights.append(load(str(path)).name)
    assert weights == ["a", "b"]
    sys.modules.pop("numbers_of_mine", None)


def test_a_part_that_shares_a_class_with_another_load_is_equal(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(slots=True)\n"
        "class Mine:\n"
        "    weight: float = 1.0\n"
        "    def __call__(self, outputs, batch, rng=None): ...\n"
        + BODY.replace("    return", "    config =")
        + "    config.objective['mine'] = Mine()\n    return config\n"
    )
    assert load(str(path)) == load(str(path))
