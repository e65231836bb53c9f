"""What the ablation keeps of a run, and the tables that show it."""

import json
import pathlib
import runpy
from types import SimpleNamespace

import pytest

FILE = pathlib.Path(__file__).parents[1] / "docs" / "ablation" / "record.py"
record = SimpleNamespace(**runpy.run_path(str(FILE)))
tables = SimpleNamespace(**runpy.run_path(str(FILE.with_name("tables.py"))))
draw = SimpleNamespace(**runpy.run_path(str(FILE.with_name("draw.py"))))


def test_a_point_is_the_mean_over_ten_steps_however_long_the_lines_are():
    lines = [
        {"step": 4, "loss": 1.0, "loss/identity_v1": 5.0, "images_per_second": 9.0},
        {"step": 10, "loss": 2.0, "loss/identity_v1": 3.0, "images_per_second": 9.0},
        {"step": 15, "loss": 7.0, "loss/identity_v1": 1.0, "images_per_second": 9.0},
        {"step": 20, "loss": None, "loss/identity_v1": 2.0, "images_per_second": 9.0},
        {"step": 23, "loss": 0.0, "loss/identity_v1": 9.0, "images_per_second": 9.0},
    ]
    curves = record.means(lines)
    assert curves["step"] == [10, 20]
    assert curves["loss"] == [(4 * 1.0 + 6 * 2.0) / 10, None]
    assert curves["loss/identity_v1"] == [(4 * 5.0 + 6 * 3.0) / 10, 1.5]
    assert "images_per_second" not in curves
    curves = record.means([{"step": 15, "loss": 1.0}, {"step": 30, "loss": 2.0}])
    assert curves == {"step": [10, 20, 30], "loss": [1.0, 1.5, 2.0]}


def test_an_entry_is_written_anew_under_its_name(tmp_path):
    path = tmp_path / "runs.json"
    path.write_text(json.dumps({"about": "x", "runs": [{"run": "b", "steps": 1}]}))
    for run, steps in (("c", 2), ("a", 3), ("b", 4)):
        record.put(path, "runs", run, {"run": run, "steps": steps})
    whole = json.loads(path.read_text())
    assert whole["about"] == "x"
    assert [(x["run"], x["steps"]) for x in whole["runs"]] == [
        ("a", 3),
        ("b", 4),
        ("c", 2),
    ]
    record.put(tmp_path / "new.json", "runs", "a", {"steps": [1]})
    assert json.loads((tmp_path / "new.json").read_text())["runs"] == {
        "a": {"steps": [1]}
    }


def test_losses_are_those_of_the_step_and_of_each_player_and_nothing_else():
    line = {
        "step": 5,
        "loss": 3.00004,
        "loss/identity": None,
        "judge/loss": 1.0,
        "judge/loss/real": 0.12345,
        "judge/grad_norm": 2.0,
        "lr": 0.1,
    }
    assert record.losses_of(line) == {
        "judge/loss": 1.0,
        "judge/loss/real": 0.1235,
        "loss": 3.0,
        "loss/identity": None,
    }


def test_validation_is_that_of_the_last_line_if_it_has_any():
    lines = [{"step": 5, "validation/R-1": 0.1}, {"step": 9, "loss": 1.0}]
    assert record.validation(lines) == {}
    lines[1] |= {"validation/R-1": 0.12345, "validation/mAP": 1.0}
    assert record.validation(lines) == {"R-1": 12.35, "mAP": 100.0}


@pytest.mark.parametrize(
    ("config", "weights", "name"),
    [
        ("docs/ablation/rows.py:full", "resnet50.npz", "take_row"),
        ("docs/ablation/imagenet.py:strong+own_size", "", "take_imagenet"),
        ("demo:agw", "", "take_demo"),
        ("demo", "", "take_demo"),
        ("configs/demo.py:agw", "", "take_demo"),
        ("demo:adca", "resnet50.npz", "take_imagenet"),
    ],
)
def test_a_run_goes_where_it_belongs(config, weights, name):
    assert record.taker(config, pretrained=weights).__name__ == name


def test_a_run_of_another_config_is_refused():
    with pytest.raises(ValueError, match=r"of sysu, only of rows\.py, imagenet\.py"):
        record.taker("sysu:full", pretrained="")


@pytest.mark.parametrize("path", tables.PAGES, ids=lambda path: path.parent.name)
def test_a_page_has_the_numbers_of_the_runs(path):
    page = path.read_text()
    assert tables.PAGES[path](page) == page, "run python docs/ablation/tables.py"


@pytest.mark.parametrize(
    ("path", "begin"),
    [
        ("docs/systems.md", "| mcja | "),
        ("README.md", "| `configs/demo.py:base` | "),
        ("README.md", "three seeds:\n\n| `"),
        ("docs/ablation/README.md", "| `full` | "),
        ("docs/ablation/README.md", "(`branches.1.adds=`) | "),
    ],
)
def test_a_number_of_no_run_is_found(path, begin):
    change, page = tables.PAGES[tables.ROOT / path], (tables.ROOT / path).read_text()
    other = page.replace(begin, f"{begin}9", 1)
    assert other != page
    assert change(other) == page


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("`agw`", "agw"),
        ("`dscnet`, rate .003", "dscnet@lr003"),
        ("`strong`, at its own size of 384 x 192", "strong+own_size"),
        ("`cmcen`, rate .03, 408 steps", "cmcen@lr03,408"),
        ("**untrained**", "untrained"),
    ],
)
def test_a_row_names_its_run(label, name):
    assert tables.key(label) == name


@pytest.mark.parametrize("system", ["mac_like", "mace_like"])
def test_what_is_drawn_is_the_loss_that_the_page_calls_identity(system):
    """Of heads in common and of modalities' own, that in common."""
    last = {}
    for name in (system, f"{system}@lr03"):
        *_, last[name] = draw.IMAGENET[name]["losses"].values()
    for row in tables.read(tables.PAGE.read_text(), tables.IMAGENET):
        if (scalars := last.pop(tables.key(row["system"]), None)) is not None:
            told = row["at the end"].split()[1].rstrip(",")
            digits = len(told.partition(".")[2])
            assert f"{draw.identity_loss(scalars):.{digits}f}" == told
    assert not last
