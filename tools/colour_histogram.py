"""A baseline that sees only colour: histograms of three stripes, matched by distance.

    python tools/colour_histogram.py              SynVI
    python tools/colour_histogram.py SYSU_ROOT    any set in SYSU-MM01's layout

What it scores is what matching brightness and colour across modalities is worth.
"""

import argparse

import numpy as np
from PIL import Image

from jreid.data.synvi import synvi_root
from jreid.data.sysu_mm01 import read_sysu_mm01
from jreid.evaluation.protocols.sysu_mm01 import SysuProtocol
from jreid.evaluation.score import METRICS
from jreid.evaluation.score_features import score_features

STRIPES, BINS = 3, 16


def features(paths):
    """L2-normalised features [n, d]: per stripe, histograms of R, G, B and grey.

    Only the middle half of each stripe counts, where the person is.
    """
    rows = []
    for path in paths:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((32, 96)))[:, 8:24]
        channels = np.concatenate([pixels, pixels.mean(-1, keepdims=True)], -1)
        rows.append(
            [
                np.histogram(stripe[..., channel], BINS, (0, 256))[0]
                for stripe in np.split(channels, STRIPES)
                for channel in range(4)
            ]
        )
    roots = np.sqrt(np.array(rows, np.float32).reshape(len(rows), -1))
    return roots / np.linalg.norm(roots, axis=1, keepdims=True)


def all_search(features, test):
    """The all-search single-shot `Score` of one kind of feature, not re-ranked."""
    protocol = SysuProtocol(modes=("all",), shots=(1,))
    (score,) = score_features({"": features}, test, protocol, reranking=False)
    return score


def main():
    """Print the all-search single-shot scores of the colour baseline."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", nargs="?", help="in SYSU-MM01's layout; else SynVI")
    test = read_sysu_mm01(parser.parse_args().root or synvi_root()).test
    score = all_search(features(test.paths), test)
    print("\nFor comparison, a colour histogram, all-search single-shot, in percent:")
    print("  ".join(f"{name} {100 * score.mean[name]:.2f}" for name in METRICS))


if __name__ == "__main__":
    main()
