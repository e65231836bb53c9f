"""The doctor on packages that are missing, old or broken."""

import os
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import packaging.requirements
import pytest
from doctoring import fake_package
from packaging.markers import Marker

from jreid.doctor import __main__ as doctor
from jreid.doctor import (
    markers,
    packages,
    requirements,
)
from jreid.doctor.requirements import Requirement

MACHINES = {  # sys.platform and platform.machine(): TensorFlow's build
    ("linux", "x86_64"): "tensorflow-cpu",
    ("linux", "aarch64"): "tensorflow",
    ("darwin", "arm64"): "tensorflow",
    ("darwin", "x86_64"): "tensorflow",
    ("win32", "AMD64"): "tensorflow-cpu",
}


@pytest.fixture(params=MACHINES, ids="-".join)
def build(request, monkeypatch):
    """TensorFlow's build for a machine, which this one seems to be."""
    system, processor = request.param
    python = types.SimpleNamespace(platform=system, version_info=sys.version_info)
    monkeypatch.setattr(markers, "sys", python)
    machine = types.SimpleNamespace(machine=lambda: processor)
    monkeypatch.setattr(markers, "platform", machine)
    return MACHINES[request.param]


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


def of_tensorflow(names):
    return [name for name in names if name in MACHINES.values()]


def test_each_machine_needs_the_build_of_tensorflow_that_it_has(
    build, tmp_path, monkeypatch
):
    lines = tomllib.loads((requirements.CHECKOUT / "pyproject.toml").read_text())
    lines = lines["project"]["dependencies"]
    asked = [packaging.requirements.Requirement(line) for line in lines]
    here = markers.environment()
    needed = [r.name for r in asked if not r.marker or r.marker.evaluate(here)]
    assert of_tensorflow(needed) == [build]  # by what pip itself reads it with
    assert [each.name for each in requirements.required()[""]] == needed
    tested = requirements.tested()
    assert tested["tensorflow"] == tested["tensorflow-cpu"]

    fake_package(tmp_path, "tensorflow", "raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    remedy = packages.check_imports(("tensorflow",)).remedy
    assert remedy.endswith(f" {build}=={tested[build]}")

    monkeypatch.setattr(requirements, "CHECKOUT", tmp_path)  # of an installed wheel
    monkeypatch.setattr(requirements.importlib.metadata, "requires", lambda _: lines)
    assert [each.name for each in requirements.required()[""]] == needed


@pytest.mark.parametrize(
    "marker",
    [
        "",
        "python_version < '3.12'",
        'python_version >= "3.9" and python_version <= "3.10"',
        "sys_platform == 'darwin' or platform_machine not in 'x86_64 AMD64'",
        "extra == 'a' and (sys_platform != 'linux' or python_version > '3.2')",
        "'3.12' <= python_version and extra != 'a'",
        "(sys_platform == 'linux' and extra == 'a') or platform_machine == 'arm64'",
    ],
)
def test_markers_hold_where_packaging_says_so(marker):
    for platform, processor in MACHINES:
        for python in ("3.2", "3.9", "3.11", "3.12"):
            here = {"sys_platform": platform, "platform_machine": processor}
            here |= {"python_version": python, "extra": "a"}
            expected = not marker or Marker(marker).evaluate(here)
            assert markers.holds(marker, here) == expected, here
