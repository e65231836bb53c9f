"""The doctor's program: what is printed, its exit code, what may not be read."""

import json
import os

from doctoring import GPU, full, stubbed

from jreid.doctor import __main__ as doctor
from jreid.doctor import checkpoint_size, machine, permission
from jreid.doctor.data_set import check_data_set
from jreid.doctor.finding import Finding, lines_of


def test_lines_fit_a_narrow_terminal_and_commands_stay_whole():
    command = "pip install -c constraints.txt -e '.[cuda12]' --force-reinstall"
    found = Finding(
        "fail", "devices", "JAX has fallen back to the CPU, it seems", command
    )
    assert lines_of(found, 30) == [
        "FAIL  devices: JAX has fallen",
        "      back to the CPU, it",
        "      seems",
        f"      $ {command}",
    ]


def test_the_exit_code_says_whether_something_is_missing(monkeypatch, capsys, trees):
    stubbed(monkeypatch)
    monkeypatch.setattr(machine.os, "statvfs", full(free=10**12))
    run = ["--workdir", str(trees / "no run yet")]
    assert doctor.main(["--root", str(trees / "regdb"), *run]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "data set regdb: train 12 people" in out and "a new run" in out
    stubbed(monkeypatch, gpus=[GPU])
    assert doctor.main(["--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    (failed,) = (found for found in findings if found["level"] == "fail")
    assert failed["name"] == "devices" and "cuda12" in failed["remedy"]


def test_a_config_is_looked_at(monkeypatch, capsys, trees):
    stubbed(monkeypatch)
    monkeypatch.setattr(machine.os, "statvfs", full(free=10**12))
    monkeypatch.setattr(checkpoint_size, "checkpoint_size", lambda config: 0.25)
    root = f"--config.data.root={trees / 'sysu_mm01'}"
    arguments = ["--config", "sysu", root, "--config.pretrained=none.npz"]
    assert doctor.main(arguments) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "FAIL weights: none.npz is missing" in out
    assert "this run may take 1.8 GB" in out  # three checkpoints, and what is beside


def test_what_may_not_be_read_is_told(tmp_path, monkeypatch, capsys, trees):
    def locked(place):  # root, who may run this, may read all
        raise PermissionError(13, "Permission denied", os.fspath(place))

    stubbed(monkeypatch)
    monkeypatch.setattr(machine.os, "statvfs", full(free=10**12))
    monkeypatch.setattr(permission.os, "listdir", locked)
    arguments = [f"--workdir={tmp_path}", f"--root={trees / 'folder'}"]
    assert doctor.main(arguments) == 1
    out = capsys.readouterr().out
    assert f"sudo chmod -R a+rX {tmp_path}\n" in out
    assert f"sudo chmod -R a+rX {trees / 'folder'}\n" in out

    class Locked:
        key, root = "sysu_mm01", str(trees / "sysu_mm01")

        def read(self):
            locked(f"{self.root}/exp/train_id.txt")

    (found,), _ = check_data_set(Locked())
    assert found.level == "fail" and "may not read" in found.words
