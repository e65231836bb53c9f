"""The doctor on GPUs that are there, hidden, or not used."""

import os

import pytest
from doctoring import CPU, GPU, fake_package

from jreid.doctor import (
    devices,
    packages,
)
from jreid.doctor.devices import Probe, judge

PLUGIN = {"jax-cuda12-plugin": "0.10.2"}


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
