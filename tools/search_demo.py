"""Indexes SynVI's test people and searches them: `make search-demo`.

Writes a gallery and a picture of the ten best into --out. The images' cameras and
persons come from a CSV file, as one's own would.
"""

import argparse
import csv
import sys
from pathlib import Path

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.sysu_mm01 import SysuMM01
from jreid.search.__main__ import main as search


def main() -> int:
    """Exit code: that of the first command that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, default=Path("runs/demo"))
    parser.add_argument("--out", type=Path, default=Path("runs/search-demo"))
    given = parser.parse_args()
    test = SysuMM01(root="synvi").read().test
    folder = Path(test.paths[0]).parents[2]
    given.out.mkdir(parents=True, exist_ok=True)
    listed = given.out / "images.csv"
    infrared = test.modality == MODALITY_NAMES.index("infrared")
    query = int(infrared.nonzero()[0][0])
    with open(listed, "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["path", "camera", "modality", "identity"])
        for row in range(len(test)):
            path = Path(test.paths[row]).relative_to(folder).as_posix()
            modality = MODALITY_NAMES[test.modality[row]]
            lines.writerow([path, test.cameras[row], modality, test.ids[row]])
    gallery = ["--gallery", str(given.out / "gallery")]
    index = ["index", str(folder), *gallery, "--workdir", str(given.workdir)]
    asked = ["query", str(test.paths[query]), *gallery, "--modality", "infrared"]
    asked += ["--gallery-modality", "visible", "--identity", str(test.ids[query])]
    asked += ["--picture", str(given.out / "ten-best.png")]
    for words in ([*index, "--csv", str(listed)], asked):
        print("python -m jreid.search", *words, flush=True)
        if code := search(words):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
