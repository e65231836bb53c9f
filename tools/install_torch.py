"""Installs PyTorch, which the parity tests and weights files need, where it is missing.

    make torch                       # or make parity, which installs it first
    make torch TORCH_INDEX=URL       # from this package index
    make torch CUDA=1                # also where the build brings CUDA

On Linux, many indexes have a build that brings CUDA: gigabytes that are of no use
without a GPU, and that parity does not need. CUDA=1 installs them all the same.
"""

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

from packaging.requirements import Requirement

from tools.install import CONSTRAINTS, PIP, install

OF_CUDA = ("nvidia-", "cuda-", "triton", "pytorch-triton")


def cuda_packages(requirements: list[str]) -> list[str]:
    """Names of those of a package's requirements that are CUDA, on this machine."""
    parsed = [Requirement(line) for line in requirements]
    needed = [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return sorted(r.name for r in needed if r.name.lower().startswith(OF_CUDA))


def main() -> int:
    """Returns the exit code: 0 where torch is installed."""
    if sys.argv[1:]:  # --help, or what is not known
        print(__doc__)
        return 0 if sys.argv[1:] == ["--help"] else 2
    if importlib.util.find_spec("torch"):
        return 0
    index = os.environ.get("TORCH_INDEX", "")
    torch = ["--no-deps", *(["--index-url", index] if index else []), "torch"]
    asked = [
        *PIP,
        "install",
        "-q",
        "-c",
        str(CONSTRAINTS),
        "--dry-run",
        "--report",
        "-",
    ]
    found = subprocess.run([*asked, *torch], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        return found.returncode
    metadata: dict[str, Any] = json.loads(found.stdout)["install"][0]["metadata"]
    brought = cuda_packages(metadata.get("requires_dist", []))
    if brought and os.environ.get("CUDA") != "1":
        print(
            f"error: torch {metadata['version']} of this package index brings CUDA "
            f"({', '.join(brought)}), several gigabytes that parity does not need: "
            "give TORCH_INDEX=URL, a package index with builds for CPUs, or CUDA=1 to "
            "install all of it",
            file=sys.stderr,
        )
        return 1
    print(f"installing torch {metadata['version']}", flush=True)
    # Its dependencies come from pip's own index: TORCH_INDEX may not have them.
    return install(*torch) or install("torch")


if __name__ == "__main__":
    sys.exit(main())
