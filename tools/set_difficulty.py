"""How hard a set is before training: who is found by colour, who by ImageNet's weights.

    python -m jreid.train --config docs/ablation/rows.py:base --config.steps=1 \\
        --config.optimizer.lr=1e-9 --config.data.root=ROOT --workdir RUN
    python tools/set_difficulty.py RUN ROOT

Prints, for both, all-search single-shot scores, and the mean R-1 over pairs of cameras,
one the query's and the other, with all its images, the gallery: within a modality, and
across. ROOT is in SYSU-MM01's layout; without it, and with root=synvi, SynVI.
"""

import argparse

import numpy as np
from colour_histogram import all_search
from colour_histogram import features as colours

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.synvi import synvi_root
from jreid.data.sysu_mm01 import read_sysu_mm01
from jreid.evaluation.camera_matrix import camera_matrix
from jreid.search.embedder import Embedder


def main() -> None:
    """Print a line for each kind of feature."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="a run after one step")
    parser.add_argument("root", nargs="?", help="in SYSU-MM01's layout; else SynVI")
    given = parser.parse_args()
    test = read_sysu_mm01(given.root or synvi_root()).test
    modalities = [MODALITY_NAMES[modality] for modality in test.modality]
    print(f"{len(np.unique(test.ids))} identities, {len(test.paths)} images")
    for name, features in (
        ("colour histogram", colours(test.paths)),
        ("ImageNet", Embedder.from_run(given.run)(test.paths, modalities)),
    ):
        score = all_search(features, test)
        found = camera_matrix(
            features, ids=test.ids, cameras=test.cameras, modality=test.modality
        )
        kinds = np.array([modality for _, modality in found.cameras])
        across = kinds[:, None] != kinds
        pairs = {
            "visible to visible": ~across & (kinds[:, None] == 0),
            "infrared to infrared": ~across & (kinds[:, None] == 1),
            "infrared to visible": across & (kinds[:, None] == 1),
        }
        told = [f"R-1 {100 * score.mean['R-1']:.1f}, mAP {100 * score.mean['mAP']:.1f}"]
        told += [
            f"{w} {100 * np.nanmean(found.rank1[p]):.1f}" for w, p in pairs.items()
        ]
        print(f"{name}: {'; '.join(told)}")


if __name__ == "__main__":
    main()
