"""What tests of the doctor share: made-up machines and programs that start quickly."""

import types

from jreid.doctor import devices, packages
from jreid.doctor.devices import Probe

CPU = Probe([("cpu", "cpu", 0)])
GPU = "GPU 0: NVIDIA H100 80GB HBM3"


def levels(findings):
    return {finding.level for finding in findings}


def fake_package(folder, name, text):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)


def full(*, free=0, inodes=9):
    return lambda place: types.SimpleNamespace(
        f_bavail=free, f_frsize=1, f_files=99, f_favail=inodes
    )


def stubbed(monkeypatch, **probes):
    """Programs that start quickly: what JAX says is given."""
    monkeypatch.setattr(devices, "ask_jax", lambda: probes.get("jax", CPU))
    monkeypatch.setattr(devices, "gpus_seen", lambda: probes.get("gpus", []))
    monkeypatch.setattr(devices, "cuda_packages", lambda: {})
    monkeypatch.setattr(packages, "IMPORTS", ("json",))
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
