"""Check of the devices: also a GPU that is there, and that JAX does not use."""

import glob
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jreid.doctor.finding import Finding
from jreid.doctor.packages import SECONDS, install, reinstall, why
from jreid.doctor.requirements import installed

_PROBE = """
import json, jax
print(json.dumps([
    (d.platform, d.device_kind, (d.memory_stats() or {}).get("bytes_limit", 0))
    for d in jax.devices()
]))
"""

NAME = "devices"
HIDING = ("", "-1", "NoDevFiles")  # values that hide all GPUs


@dataclass(frozen=True)
class Probe:
    """What JAX says in a process of its own."""

    devices: Sequence[tuple[str, str, int]] = ()  # platform, kind, bytes
    error: str = ""  # why it says nothing
    notice: str = ""  # why it uses no GPU, where it has said so


def check_devices() -> Finding:
    """What JAX computes on."""
    return judge(ask_jax(), gpus_seen(), cuda_packages(), os.environ)


def ask_jax() -> Probe:
    """Starts JAX in a process of its own: it may crash, and would keep the memory."""
    command = [sys.executable, "-c", _PROBE]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return Probe(error=f"no answer in {SECONDS} s")
    if ran.returncode:
        return Probe(error=why(ran.returncode, ran.stderr))
    told = [
        line
        for line in ran.stderr.splitlines()
        if re.search("CUDA|cuda|GPU|Unable to initialize", line)
    ]
    devices = json.loads(ran.stdout.splitlines()[-1])
    return Probe([tuple(d) for d in devices], notice=told[-1].strip() if told else "")


def gpus_seen() -> list[str]:
    """NVIDIA's GPUs as the driver names them, or their device files."""
    if program := shutil.which("nvidia-smi"):
        try:
            ran = subprocess.run(
                [program, "-L"], capture_output=True, text=True, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            ran = None
        if ran and ran.returncode == 0:
            lines = [line for line in ran.stdout.splitlines() if line.startswith("GPU")]
            return [re.sub(r" \(UUID.*", "", line) for line in lines]
    return sorted(glob.glob("/dev/nvidia[0-9]*"))


def cuda_packages() -> dict[str, str]:
    """The installed packages that let JAX use CUDA, and their versions."""
    names = (each.metadata["Name"] or "" for each in importlib.metadata.distributions())
    found = {name for name in names if re.fullmatch(r"jax-cuda\d+-(plugin|pjrt)", name)}
    return {name: installed(name) for name in sorted(found)}


def judge(
    probe: Probe,
    gpus: Sequence[str],
    packages: Mapping[str, str],
    environment: Mapping[str, str],
) -> Finding:
    """Of `check_devices`, from what JAX, the driver and the installation say."""
    asked = environment.get("JAX_PLATFORMS", "")
    if probe.error:
        return _not_started(probe.error, packages, asked)
    words = describe(probe.devices)
    if any(platform != "cpu" for platform, _, _ in probe.devices):
        return Finding("ok", NAME, words)
    if not gpus and (not packages or asked.lower() == "cpu"):
        return Finding("ok", NAME, f"{words}; no GPU is seen")
    if asked.lower() == "cpu":
        words += f", as JAX_PLATFORMS asks; {', '.join(gpus)} is here"
        return Finding("warn", NAME, words, "unset JAX_PLATFORMS")
    cause, remedy = _fallen_back(gpus, packages, environment)
    told = f". JAX says: {probe.notice}" if probe.notice else ""
    words = f"JAX has fallen back to the CPU ({words}): {cause}{told}"
    return Finding("fail", NAME, words, remedy)


def _not_started(error: str, packages: Mapping[str, str], asked: str) -> Finding:
    if "No module named" in error:
        remedy = install(_cuda(packages))
    elif asked and "backend" in error.lower():
        remedy = "unset JAX_PLATFORMS"
    else:
        remedy = reinstall("jax", "jaxlib", *packages)
    return Finding("fail", NAME, f"JAX does not start: {error}", remedy)


def _fallen_back(
    gpus: Sequence[str], packages: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[str, str]:
    """Why JAX uses no GPU, as far as can be seen, and the command that mends it."""
    there = f"{', '.join(gpus)} is here"
    has = ", ".join(f"{name} {version}" for name, version in packages.items())
    if gpus and environment.get("CUDA_VISIBLE_DEVICES", "0") in HIDING:
        return (
            f"{there}, but CUDA_VISIBLE_DEVICES hides it",
            "unset CUDA_VISIBLE_DEVICES",
        )
    if gpus and not packages:
        return f"{there}, but JAX is installed without CUDA", install("cuda12")
    if not gpus:
        cause = (
            f"{has} are installed, but neither nvidia-smi nor /dev/nvidia* shows a "
            "GPU: there is none, or no driver, or a container was started without "
            "its GPUs (if the CPU is meant: export JAX_PLATFORMS=cpu)"
        )
        return cause, "nvidia-smi -L"
    cause = f"{there} and {has} are installed, but CUDA does not work"
    if environment.get("LD_LIBRARY_PATH"):
        cause += "; LD_LIBRARY_PATH is set, which may lead to other CUDA libraries"
        return cause, "unset LD_LIBRARY_PATH"
    version = installed("jax")
    return cause, f"pip install --force-reinstall 'jax[{_cuda(packages)}]=={version}'"


def _cuda(packages: Mapping[str, str]) -> str:
    """The extra that the installed packages are of, "" where there are none."""
    return next((name.split("-")[1] for name in packages), "")


def describe(devices: Sequence[tuple[str, str, int]]) -> str:
    """`2 x NVIDIA H100 (80.0 GB each)`, or `cpu, 8 cores`."""
    kinds: dict[Any, int] = {}
    for _, kind, limit in devices:
        kinds[kind, limit] = kinds.get((kind, limit), 0) + 1
    told = [
        (f"{count} x {kind}" if count > 1 else kind)
        + (f" ({limit / 1e9:.1f} GB each)" if limit else "")
        for (kind, limit), count in kinds.items()
    ]
    is_cpu = all(platform == "cpu" for platform, _, _ in devices)
    return ", ".join(told) + (f", {os.cpu_count()} cores" if is_cpu else "")
