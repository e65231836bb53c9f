"""The doctor: on sound and on broken installations, machines, folders."""

import hashlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
import untrained
from PIL import Image

from jreid import machine_memory
from jreid.config_files import load
from jreid.config_json import to_json
from jreid.data.datasets import Dataset, Images
from jreid.doctor import __main__ as doctor
from jreid.doctor import (
    checkpoint_size,
    devices,
    machine,
    packages,
    permission,
    requirements,
)
from jreid.doctor.checkpoint_whole import check_checkpoint
from jreid.doctor.data_set import check_data_set, part_for
from jreid.doctor.devices import Probe, judge
from jreid.doctor.finding import Finding, lines_of
from jreid.doctor.published import LLCM, REGDB, SYSU, differences
from jreid.doctor.requirements import Requirement
from jreid.doctor.run_folder import check_run
from jreid.doctor.weights import check_run_weights, check_weights
from jreid.run.build import build_run
from jreid.run.images import read_images
from tools import stand_ins

CPU = Probe([("cpu", "cpu", 0)])
GPU = "GPU 0: NVIDIA H100 80GB HBM3"
PLUGIN = {"jax-cuda12-plugin": "0.10.2"}


def levels(findings):
    return {finding.level for finding in findings}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp("trees")
    for name in ("sysu_mm01", "regdb", "llcm"):
        getattr(stand_ins, name)(root / name)
    stand_ins.own_images(root / "folder")
    return root


# Devices


@pytest.mark.parametrize(
    ("gpus", "installed", "environment", "level", "words", "remedy"),
    [
        ([], {}, {}, "ok", "no GPU is seen", ""),
        ([GPU], {}, {}, "fail", "installed without CUDA", "cuda12"),
        ([GPU], PLUGIN, {}, "fail", "CUDA does not work", "jax[cuda12]=="),
        ([], PLUGIN, {}, "fail", "nor /dev/nvidia* shows a GPU", "nvidia-smi -L"),
        ([], PLUGIN, {"JAX_PLATFORMS": "cpu"}, "ok", "no GPU is seen", ""),
        (
            [GPU],
            PLUGIN,
            {"JAX_PLATFORMS": "cpu"},
            "warn",
            "asks",
            "unset JAX_PLATFORMS",
        ),
        (
            *([GPU], PLUGIN, {"CUDA_VISIBLE_DEVICES": ""}),
            *("fail", "CUDA_VISIBLE_DEVICES hides", "unset CUDA_VISIBLE_DEVICES"),
        ),
        (
            *([GPU], PLUGIN, {"LD_LIBRARY_PATH": "/usr/local/cuda-11/lib64"}),
            *("fail", "LD_LIBRARY_PATH is set", "unset LD_LIBRARY_PATH"),
        ),
    ],
)
def test_a_gpu_that_is_not_used_is_named(
    gpus, installed, environment, level, words, remedy
):
    found = judge(CPU, gpus, installed, environment)
    assert found.level == level
    assert words in found.words
    assert remedy in found.remedy and bool(remedy) == bool(found.remedy)
    if level == "fail":
        assert "JAX has fallen back to the CPU" in found.words


def test_a_gpu_that_is_used_is_described():
    probe = Probe(2 * [("gpu", "NVIDIA H100", 64_000_000_000)])
    found = judge(probe, [GPU, GPU], PLUGIN, {})
    assert (found.level, found.words) == ("ok", "2 x NVIDIA H100 (64.0 GB each)")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("the process was ended by SIGSEGV", "pip install --force-reinstall"),
        ("ModuleNotFoundError: No module named 'jax'", "cuda12"),
    ],
)
def test_a_jax_that_does_not_start_is_named(error, remedy):
    found = judge(Probe(error=error), [GPU], PLUGIN, {})
    assert found.level == "fail"
    assert found.words == f"JAX does not start: {error}"
    assert remedy in found.remedy


@pytest.fixture
def fake_smi(tmp_path, monkeypatch):
    """A program nvidia-smi that lists one GPU, as on a machine that has one."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "{GPU} (UUID: GPU-1234)"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_the_driver_is_asked_for_its_gpus(fake_smi):
    assert devices.gpus_seen() == [GPU]


def fake_package(folder, name, text):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise ImportError('libcudart.so.12: cannot open')", "libcudart.so.12"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("print('no devices() here')", "has no attribute 'devices'"),
    ],
)
def test_jax_is_started_in_a_process_that_may_crash(tmp_path, monkeypatch, text, why):
    fake_package(tmp_path, "jax", text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert why in devices.ask_jax().error
    if "devices" not in why:
        found = packages.check_imports(("json", "jax"))
        assert found.level == "fail"
        assert "`import jax` fails" in found.words and why in found.words
        assert "--force-reinstall" in found.remedy and "jax==" in found.remedy


def test_the_notice_of_a_cpu_only_jax_is_kept(tmp_path, monkeypatch):
    text = (
        "import sys, types\n"
        "def devices():\n"
        "    print('An NVIDIA GPU may be present, but CUDA is not', file=sys.stderr)\n"
        "    return [types.SimpleNamespace(platform='cpu', device_kind='cpu',\n"
        "            memory_stats=lambda: None)]\n"
    )
    fake_package(tmp_path, "jax", text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe = devices.ask_jax()
    assert [tuple(device) for device in probe.devices] == [("cpu", "cpu", 0)]
    found = judge(probe, [GPU], {}, {})
    assert "JAX says: An NVIDIA GPU may be present" in found.words


# Packages


def test_packages_are_compared_with_what_is_needed_and_tested():
    needed = [Requirement("numpy", "2.0"), Requirement("jax", "0.10.2")]

    def judged(numpy, jax):
        versions = {"numpy": numpy, "jax": jax}
        tested = {"numpy": "2.4.6", "jax": "0.10.2"}
        return packages.judge_packages(needed, versions.get, tested)

    assert judged("2.4.6", "0.10.2").level == "ok"
    assert judged("2.10.0", "0.10.2").level == "warn"
    assert "numpy 2.10.0 (2.4.6)" in judged("2.10.0", "0.10.2").words
    assert judged("1.26.4", "0.10.2").level == "fail"
    assert "numpy 1.26.4 (needed: 2.0)" in judged("1.26.4", "0.10.2").words
    assert "not installed: jax" in judged("2.4.6", "").words
    assert "pip install" in judged("2.4.6", "").remedy


def test_requirements_and_tested_versions_are_those_of_the_project():
    groups = requirements.required()
    assert Requirement("jax", "0.10.2") in groups[""]
    assert [each.name for each in groups["cuda12"]] == ["jax-cuda12-plugin"]
    assert {"torch", "wandb", "ray"} <= groups.keys()
    assert requirements.tested()["optax"] == "0.2.8"
    assert packages.check_packages().level != "fail"


def test_extras_are_listed_and_never_missing():
    groups = {"": [], "ray": [Requirement("ray")], "test": [], "x": [Requirement("x")]}
    found = packages.judge_extras(groups, {"ray": "2.60"}.get)
    assert found.level == "ok"
    assert found.words.startswith("installed: ray; not installed: x (")


# Data sets


@pytest.mark.parametrize("name", ["sysu_mm01", "regdb", "llcm", "folder"])
def test_a_whole_data_set_is_recognised_by_its_folders(trees, name):
    part = part_for(trees / name)
    assert part.key == name
    findings, _ = check_data_set(part)
    assert levels(findings) == {"ok"}
    tested = 9 if name == "folder" else 4
    assert f"test {tested} people" in findings[0].words
    assert "files have contents" in findings[1].words


def copied(trees, name, target):
    """The data set, by links that a test may take away."""
    for path in (trees / name).rglob("*"):
        if path.is_file():
            place = target / path.relative_to(trees / name)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)
    return target


@pytest.mark.parametrize(
    ("name", "gone", "level", "words"),
    [
        ("sysu_mm01", "cam3/0021/*.jpg", "ok", "3_"),
        ("sysu_mm01", "cam*/0021/*.jpg", "warn", "21"),
        ("sysu_mm01", "exp/test_id.txt", "fail", "test_id.txt"),
        ("regdb", "Visible/3/*.bmp", "fail", "Visible/3"),
        ("llcm", "nir/0002/*.png", "fail", "nir/0002"),
        ("llcm", "test_nir/*/*/*", "fail", "no infrared image"),
        ("folder", "infrared/*/*.jpg", "fail", "infrared"),
    ],
)
def test_half_a_data_set_is_told(trees, tmp_path, name, gone, level, words):
    root = copied(trees, name, tmp_path / name)
    for path in root.glob(gone):
        path.unlink()
    findings, _ = check_data_set(part_for(root))
    assert level in levels(findings)
    if level == "ok":  # a stand-in's numbers are not known: nothing is claimed
        assert "are not SYSU-MM01's" in findings[0].words
        return
    found = next(finding for finding in findings if finding.level == level)
    assert words in found.words
    assert found.remedy == f"rsync -a --info=progress2 SOURCE/ {root}/"


def test_files_cut_short_are_named(trees, tmp_path):
    root = copied(trees, "folder", tmp_path / "folder")
    cut, empty = (root / "visible" / f"person {n}" / "1.jpg" for n in (1, 2))
    contents = cut.read_bytes()
    for path in (cut, empty):
        path.unlink()
    cut.write_bytes(contents[: len(contents) // 2])
    empty.touch()
    findings, _ = check_data_set(part_for(root))
    (found,) = (finding for finding in findings if finding.level == "fail")
    assert found.words.startswith("2 damaged: ")
    assert f"{empty}: empty" in found.words and f"{cut}: " in found.words


def test_a_data_set_that_is_not_there_or_not_named_is_told(tmp_path):
    part = load("sysu").data
    findings, dataset = check_data_set(part)
    assert (levels(findings), dataset) == ({"warn"}, None)
    part.root = str(tmp_path / "none")
    findings, dataset = check_data_set(part)
    assert (levels(findings), dataset) == ({"fail"}, None)
    assert "SYSU-MM01 is expected as" in findings[0].words


def as_published(root, lost=0):
    """A tree with SYSU-MM01's numbers of files, all of them one; less some."""
    image = root / "image.jpg"
    root.mkdir()
    Image.new("L", (2, 4)).save(image)
    groups = {"train": (1, 296), "val": (297, 99), "test": (396, 96)}
    counts = {"train": (20_284, 9_929), "val": (1_974, 1_980), "test": (6_775, 3_803)}
    (root / "exp").mkdir()
    for part, (first, people) in groups.items():
        ids = range(first, first + people)
        (root / "exp" / f"{part}_id.txt").write_text(",".join(map(str, ids)))
        for camera, count in zip((1, 3), counts[part], strict=True):
            for number in range(count - (lost if (part, camera) == ("test", 3) else 0)):
                folder = root / f"cam{camera}" / f"{first + number % people:04d}"
                folder.mkdir(parents=True, exist_ok=True)
                os.link(image, folder / f"{number // people:04d}.jpg")
    return root


@pytest.mark.slow
def test_counts_are_compared_with_the_published_ones(tmp_path):
    findings, _ = check_data_set(part_for(as_published(tmp_path / "whole")))
    assert "as published (Wu et al., ICCV 2017" in findings[0].words
    assert findings[0].level == "ok"
    findings, _ = check_data_set(part_for(as_published(tmp_path / "half", lost=800)))
    assert findings[0].level == "fail"
    assert "test has 3,003 of 3,803 infrared images (Wu et al." in findings[0].words


def images_of(people=0, visible=0, infrared=0):
    count = visible + infrared
    return Images(
        paths=np.array([f"{n}.jpg" for n in range(count)], str),
        ids=np.arange(count) % max(people, 1),
        cameras=np.zeros(count, int),
        modality=np.repeat([0, 1], [visible, infrared]),
    )


def made_of(parts):
    rest = {name: images_of() for name in ("train", "val", "test")}
    return Dataset("made", **(rest | parts))


@pytest.mark.parametrize("published", [SYSU, REGDB, LLCM])
def test_differences_from_published_numbers_are_told_by_part(published):
    parts = {name: images_of(*counts) for name, counts in published.parts.items()}
    assert differences(published, made_of(parts)) == []
    people, visible, infrared = published.parts["test"]
    parts["test"] = images_of(people, visible - 1, infrared)
    told = f"test has {visible - 1:,} of {visible:,} visible images"
    assert differences(published, made_of(parts)) == [told]


# Weights and runs


def write_weights(path, source, digest):
    about = json.dumps({"source": source, "source_sha256": digest, "depth": 50})
    np.savez(path, about=np.array(about), x=np.arange(9.0))


def test_weights_are_held_to_the_hash_in_their_name(tmp_path):
    path, good = tmp_path / "w.npz", "0676ba61" + 56 * "0"
    write_weights(path, "resnet50-0676ba61.pth", good)
    found = check_weights(str(path), 50)
    assert (found.level, "as its name says" in found.words) == ("ok", True)
    write_weights(path, "resnet50-0676ba61.pth", 64 * "1")
    found = check_weights(str(path), 50)
    assert found.level == "fail" and "should begin with 0676ba61" in found.words
    write_weights(path, "mine.pth", good)
    assert check_weights(str(path), 50).level == "ok"
    path.write_bytes(path.read_bytes()[:-60])
    found = check_weights(str(path), 50)
    assert found.level == "fail" and "not whole" in found.words
    missing = check_weights(str(tmp_path / "none.npz"), 50)
    assert missing.level == "fail"
    assert "curl -LO https://download.pytorch.org/models/resnet50-0676ba61.pth" in (
        missing.remedy.splitlines()
    )
    assert check_weights("", 50).level == "ok"
    assert check_weights(str(tmp_path), 50).level == "fail"


def test_weights_of_a_run_are_compared_with_its_record(tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    record = {"path": str(path), "sha256": digest}
    assert check_run_weights(record).words.endswith("which is there")
    path.write_bytes(b"others")
    assert "another file is there now" in check_run_weights(record).words


def test_a_runs_folder_is_described(tmp_path):
    assert check_run(tmp_path)[0].level == "fail"
    config = to_json(load("demo"))
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "no checkpoint yet" in check_run(tmp_path)[0].words
    (tmp_path / "checkpoints" / "7").mkdir(parents=True)
    found = check_run(tmp_path)[0]
    assert found.level == "ok" and "checkpoints of steps 7" in found.words
    (tmp_path / "config.json").write_text("{")
    assert check_run(tmp_path)[0].level == "fail"
    config["sampling"]["is"] = "jreid.data.sampling:Gone"
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = check_run(tmp_path)[0]
    assert found.level == "fail" and "begun by another version" in found.words
    assert "--workdir /OTHER/runs/x" in found.remedy
    config["sampling"]["is"] = "file mine.py:Own"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert check_run(tmp_path)[0].remedy.startswith(
        "python -m jreid.doctor --config mine"
    )


@pytest.mark.slow  # two processes that import JAX
def test_a_checkpoint_that_is_cut_short_is_told(tmp_path):
    run = tmp_path / "run"
    untrained.make_run(run)
    found = check_checkpoint(run)
    assert found and (found.level, found.words[-8:]) == ("ok", "as saved")
    files = [path for path in (run / "checkpoints").rglob("d/*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    os.truncate(largest, 100)
    found = check_checkpoint(run)
    assert found and found.level == "fail" and "is damaged" in found.words
    assert "--workdir /OTHER/runs/x" in found.remedy  # there is no earlier one


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


def test_the_embedded_data_set_is_known_by_its_name():
    assert (part_for(Path("synvi")).key, part_for(Path("synvi")).root) == (
        "sysu_mm01",
        "synvi",
    )


# Memory and disk


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\n")
    (proc / "self" / "cgroup").write_text("0::/job/step\n")
    (groups / "job" / "step").mkdir(parents=True)
    monkeypatch.setattr(machine_memory, "PROC", proc)
    monkeypatch.setattr(machine_memory, "CGROUPS", groups)
    assert machine_memory.available_memory() == 32_000_000 * 1024
    assert machine_memory.memory_limit() == 0
    for group, limit in (("job/step", "max"), ("job", "4000000000")):
        (groups / group / "memory.max").write_text(f"{limit}\n")
        (groups / group / "memory.current").write_text("1500000000\n")
    assert machine_memory.available_memory() == 2_500_000_000
    assert machine_memory.whole_memory() == 4_000_000_000
    found = machine.check_memory()
    assert found.level == "warn" and "limits it to 4.0 GB" in found.words
    (groups / "job" / "memory.current").write_text("0\n")
    assert machine.check_memory().level == "ok"
    assert "--config.loading.cache=False" in machine.check_memory(needed=2.0).remedy


def full(*, free=0, inodes=9):
    return lambda place: types.SimpleNamespace(
        f_bavail=free, f_frsize=1, f_files=99, f_favail=inodes
    )


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("JREID_CACHE", str(tmp_path / "cache"))
    runs = tmp_path / "runs" / "demo"
    monkeypatch.setattr(machine.os, "statvfs", full(free=5_000_000_000))
    assert machine.check_runs_disk(runs, 3.0).level == "ok"
    found = machine.check_runs_disk(runs, 8.0)
    assert found.level == "fail"
    assert f"5.0 GB free in {tmp_path}; this run may take 9.0 GB" in found.words
    assert f"df -h {tmp_path}" in found.remedy
    assert machine.check_cache_disk().level == "ok"
    monkeypatch.setattr(machine.os, "statvfs", full(free=500_000_000))
    assert machine.check_cache_disk().level == "warn"
    monkeypatch.setattr(machine.os, "statvfs", full())
    assert machine.check_cache_disk().level == "fail"
    monkeypatch.setattr(machine.os, "statvfs", full(free=10**12, inodes=0))
    assert "no inode is free" in machine.check_runs_disk(runs, None).words


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path):
    (tmp_path / "runs").touch()
    found = machine.check_runs_disk(tmp_path / "runs" / "x", None)
    assert found.level == "fail" and "cannot be written" in found.words


# What is printed


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


def stubbed(monkeypatch, **probes):
    """Programs that start quickly: what JAX says is given."""
    monkeypatch.setattr(devices, "ask_jax", lambda: probes.get("jax", CPU))
    monkeypatch.setattr(devices, "gpus_seen", lambda: probes.get("gpus", []))
    monkeypatch.setattr(devices, "cuda_packages", lambda: {})
    monkeypatch.setattr(packages, "IMPORTS", ("json",))
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)


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


@pytest.mark.slow
def test_the_size_of_a_checkpoint_is_that_of_the_state(tmp_path):
    config = tiny.tiny_config(tiny.make_tree(tmp_path / "tiny"))
    size = checkpoint_size.checkpoint_size(json.dumps(to_json(config)))
    state = build_run(config, read_images(config)).state
    leaves = (np.asarray(leaf) for leaf in jax.tree.leaves(state))
    assert size == sum(leaf.nbytes for leaf in leaves) / 1e9


def test_without_the_command_lines_library_packages_are_told(tmp_path):
    fake_package(tmp_path, "tyro", "raise ImportError('broken')")
    places = [str(tmp_path), str(Path(doctor.__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, "-m", "jreid.doctor"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 1
    assert "packages: " in ran.stdout and "Traceback" not in ran.stderr


def test_an_installed_wheel_says_what_it_needs(tmp_path, monkeypatch):
    lines = [
        "numpy>=2.0",
        "jax[cuda12]; extra == 'cuda12'",
        'ray[data]>=2.50; extra == "ray"',
        'jreid[ray]; extra == "test"',
    ]
    monkeypatch.setattr(requirements, "CHECKOUT", tmp_path)
    monkeypatch.setattr(requirements.importlib.metadata, "requires", lambda _: lines)
    assert requirements.required() == {
        "": [Requirement("numpy", "2.0")],
        "cuda12": [Requirement("jax-cuda12-plugin")],
        "ray": [Requirement("ray", "2.50")],
    }
    package = tmp_path / "jreid"
    package.mkdir()
    (package / "constraints.txt").write_text(
        "# tested\nnumpy==2.4.6\njax==0.1; python_version < '3.0'\n"
        "jax==0.2; python_version >= '3.0'\n"
    )
    monkeypatch.setattr(requirements, "PACKAGE", package)
    assert requirements.tested() == {"numpy": "2.4.6", "jax": "0.2"}
    assert packages.install("ray") == "pip install 'jreid[ray]'"
