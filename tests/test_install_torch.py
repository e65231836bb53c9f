"""PyTorch's installation stops before it brings gigabytes that nobody asked for."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

from tools.install_torch import cuda_packages

ROOT = pathlib.Path(__file__).parent.parent
LINUX_AND_WINDOWS = [  # of published builds, shortened
    "filelock",
    'nvidia-cublas-cu12==12.8.4.1; platform_system == "Linux"',
    'triton==3.5.0; platform_system != "Nowhere"',
    'nvidia-cudnn-cu12==9.10; platform_system == "Nowhere"',
    'opt-einsum>=3.3; extra == "opt-einsum"',
    'nvidia-more; extra == "all"',
]


@pytest.mark.skipif(sys.platform != "linux", reason="the markers are those of Linux")
def test_what_this_machine_would_get_counts():
    assert cuda_packages(LINUX_AND_WINDOWS) == ["nvidia-cublas-cu12", "triton"]
    assert cuda_packages(["filelock", "sympy>=1.13.3", "networkx"]) == []


@pytest.fixture
def index(tmp_path) -> pathlib.Path:
    """A package index that has nothing but a torch that brings CUDA."""
    constraints = (ROOT / "constraints.txt").read_text()
    (version,) = re.findall(r"^torch==(.+)$", constraints, re.M)
    folder = tmp_path / "index" / "torch"
    folder.mkdir(parents=True)
    name, info = f"torch-{version}-py3-none-any.whl", f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        needs = "Requires-Dist: nvidia-cublas-cu12\nRequires-Dist: triton\n"
        head = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
        wheel.writestr(f"{info}/METADATA", head + needs)
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')
    return folder.parent


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is not None, reason="nothing is to be installed"
)
def test_it_stops_and_says_what_to_give(index, tmp_path):
    ours = {n: v for n, v in os.environ.items() if not n.startswith(("PIP_", "CUDA"))}
    ours |= {
        "TORCH_INDEX": index.as_uri(),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_TARGET": str(tmp_path / "never"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tools.install_torch"],
        **{"capture_output": True, "text": True, "cwd": ROOT, "env": ours},
    )
    assert done.returncode == 1, done.stderr
    assert "error: torch" in done.stderr
    assert "brings CUDA (nvidia-cublas-cu12, triton)" in done.stderr
    assert "TORCH_INDEX=" in done.stderr and "CUDA=1" in done.stderr
    assert not (tmp_path / "never").exists()
