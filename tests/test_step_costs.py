"""The table of what a step needs: what it compiles, what it leaves, in which order."""

import json
import subprocess
from types import SimpleNamespace

import pytest
from test_leaderboard import REPORT

from jreid.config_files import load
from jreid.config_hash import config_hash
from tools import step_costs

SECONDS = {"rle": 0.05, "full": 0.01}


def bfloat16(spec):
    config = load(spec)
    config.precision = "bfloat16"
    return config


@pytest.fixture
def compiled(monkeypatch) -> list:
    """Calls of the compiler, which writes made-up reports."""
    calls, other = [], subprocess.run

    def compile_(words, *rest, **more):
        if "compile_report.py" not in str(words[1:2]):
            return other(words, *rest, **more)
        calls.append(words[2:])
        name = words[words.index("--config") + 1].partition(":")[2]
        roofline = REPORT["roofline"] | {"seconds": SECONDS.get(name, 1.0)}
        config = bfloat16(f"llcm:{name}")
        own = {"config": config.name, "precision": "bfloat16", "roofline": roofline}
        own |= {"config_hash": config_hash(config)}
        own |= {"height": config.size[0], "width": config.size[1]}
        if name in SECONDS:
            with open(words[words.index("--json") + 1], "w") as file:
                json.dump(REPORT | own, file)
        return SimpleNamespace(returncode=0 if name in SECONDS else 2)

    monkeypatch.setattr(subprocess, "run", compile_)
    return calls


def run(tmp_path, *systems, precision="bfloat16"):
    words = ["--config", "llcm", f"--config.precision={precision}"]
    words += ["--systems", *systems]
    return step_costs.main([*words, "--out", str(tmp_path / "out")])


def test_compiles_what_is_missing_and_shows_the_cheapest_first(
    tmp_path, compiled, capsys
):
    assert run(tmp_path, "rle") == 0
    assert run(tmp_path, "rle", "full") == 0
    specs = [words[words.index("--config") + 1] for words in compiled]
    assert specs == ["llcm:rle", "llcm:full"]
    for words in compiled:
        assert words[words.index("--batch") + 1] == "0"
        assert "--config.precision=bfloat16" in words
    text = (tmp_path / "out" / "step_costs.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == ["| system", "| ---", "| full", "| rle"]
    assert rows[2][1:6] == ["24.3", "384 x 144", "96", "1,962", "3.2"]
    assert rows[3][6:] == ["50.0", "0.52 |"]
    assert text.strip() in capsys.readouterr().out


def test_what_is_the_first_systems_own_is_set_in_the_others(tmp_path, compiled):
    size = ["--config.size", *map(str, load("llcm").size)]
    words = ["--config", "llcm", *size, "--out", str(tmp_path), "--systems", "rle"]
    assert load("llcm:rle").size != load("llcm").size
    step_costs.main([*words, "--config.seed=0"])
    (given,) = compiled
    assert given[2:6] == [*size, "--config.seed=0"]


def test_what_does_not_compile_ends_it_and_keeps_the_others(tmp_path, compiled):
    assert run(tmp_path, "full", "mmn", "rle") == 2
    assert (tmp_path / "out" / "full.json").is_file() and len(compiled) == 2


def test_a_report_of_another_config_is_not_shown(tmp_path, compiled, capsys):
    assert run(tmp_path, "full") == 0
    assert run(tmp_path, "full", precision="float32") == 2
    error = capsys.readouterr().err
    assert "full.json is of precision bfloat16, not of float32: give another" in error


@pytest.mark.parametrize(
    "word",
    ["sampling.identities=2", "network.trunk.last_stride=2"],
)
def test_a_report_of_other_parts_is_not_shown(tmp_path, compiled, capsys, word):
    words = ["--config", "llcm", "--config.precision=bfloat16", "--systems", "rle"]
    words += ["--out", str(tmp_path)]
    assert step_costs.main(words) == step_costs.main(words) == 0 and len(compiled) == 1
    assert step_costs.main([*words, f"--config.{word}"]) == 2
    digest = config_hash(bfloat16("llcm:rle"))
    assert f"rle.json is of config_hash {digest}, not of" in capsys.readouterr().err


def test_a_report_that_does_not_say_of_which_config_it_is_is_not_shown(
    tmp_path, compiled, capsys
):
    assert run(tmp_path, "full") == 0
    path = tmp_path / "out" / "full.json"
    report = json.loads(path.read_text())
    del report["config_hash"]
    path.write_text(json.dumps(report))
    assert run(tmp_path, "full") == 2
    assert "full.json is of config_hash unknown, not of" in capsys.readouterr().err


def test_systems_whose_loops_are_left_out_are_named():
    loops = REPORT["roofline"] | {"loops_left_out": 2}
    reports = {"rle": REPORT, "vsd": REPORT | {"roofline": loops}}
    assert "vsd." in step_costs.table(reports).splitlines()[-1]
    assert step_costs.table({"rle": REPORT}).endswith(f"\n{step_costs.NOTE}\n")


def test_systems_may_stand_between_commas_or_spaces():
    assert step_costs.named(("rle,deen", "mmn")) == ("rle", "deen", "mmn")
    assert step_costs.named(("agw,",)) == ("agw",)
