"""Small stand-ins for the data that the README names: noise in the published layouts.

    python tools/stand_ins.py FOLDER      # SYSU-MM01, RegDB, LLCM, features.npz, ...

With them the README's commands run as they are written; their scores mean nothing.
"""

import argparse
import importlib
import sys
from itertools import product
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

TRAIN, TEST = range(1, 13), range(21, 25)  # identities
IMAGES = range(1, 5)  # of an identity and camera
SYSU_INFRARED = (3, 6)
LLCM_CAMERAS = {"vis": range(1, 10), "nir": (1, 2, 4, 5, 6, 7, 8, 9)}


def picture(path: Path) -> None:
    """A JPEG, BMP or PNG of blocks of colour, others for every path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode()) + list(str(path).encode()))
    blocks = rng.integers(0, 256, (8, 4, 3), dtype=np.uint8)
    Image.fromarray(blocks.repeat(16, 0).repeat(16, 1)).save(path)


def text(path: Path, lines) -> None:
    """One of a data set's lists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def sysu_mm01(root: Path) -> None:
    """Every identity in every camera."""
    for camera, identity, number in product(range(1, 7), (*TRAIN, *TEST), IMAGES):
        picture(root / f"cam{camera}" / f"{identity:04d}" / f"{number:04d}.jpg")
    parts = {"train": TRAIN[:-2], "val": TRAIN[-2:], "test": TEST}
    for name, ids in parts.items():
        text(root / "exp" / f"{name}_id.txt", [",".join(map(str, ids))])


def regdb(root: Path) -> None:
    """The same two halves in all ten splits."""
    for kind, (part, ids) in product(
        ("Visible", "Thermal"), {"train": TRAIN, "test": TEST}.items()
    ):
        paths = [f"{kind}/{i}/{n}.bmp" for i, n in product(ids, IMAGES)]
        labels = [label for label in range(len(ids)) for _ in IMAGES]
        for path in paths:
            picture(root / path)
        lines = [f"{path} {label}" for path, label in zip(paths, labels, strict=True)]
        for split in range(1, 11):
            text(root / "idx" / f"{part}_{kind.lower()}_{split}.txt", lines)


def llcm(root: Path) -> None:
    """Training images of one camera, test images of all."""
    text(root / "idx" / "test_id.txt", [",".join(map(str, TEST))])
    for kind, cameras in LLCM_CAMERAS.items():
        lines = []
        for (label, identity), number in product(enumerate(TRAIN), IMAGES):
            path = f"{kind}/{identity:04d}/{identity:04d}_c01_s{number}_f1_{kind}.png"
            picture(root / path)
            lines.append(f"{path} {label}")
        text(root / "idx" / f"train_{kind}.txt", lines)
        for camera, identity in product(cameras, TEST):
            folder = root / f"test_{kind}" / f"cam{camera}" / f"{identity:04d}"
            picture(folder / f"{identity:04d}_c{camera:02d}_f1.png")


def own_images(root: Path) -> None:
    """`visible/NAME/*.jpg` and `infrared/NAME/*.jpg` of 24 people."""
    for kind, name, n in product(("visible", "infrared"), range(24), IMAGES):
        picture(root / kind / f"person {name}" / f"{n}.jpg")


def features(folder: Path) -> None:
    """For SYSU-MM01's and LLCM's protocol; two splits for RegDB's."""
    rng = np.random.default_rng(0)
    ids, cameras, _ = np.array([*product(TEST, range(1, 7), range(2))]).T
    columns = {
        "features": rng.normal(size=(len(ids), 8)) + np.eye(8)[ids % 8],
        "ids": ids,
        "cameras": cameras,
        "modality": np.isin(cameras, SYSU_INFRARED).astype(int),
    }
    np.savez(folder / "features.npz", **columns)
    for split in (1, 2):
        scipy.io.savemat(folder / f"split{split}.mat", columns)


def weights(folder: Path) -> None:
    """Random ones by torchvision's names, and as AGW stores its network."""
    import torch  # pyright: ignore[reportMissingImports]

    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    random_state = importlib.import_module("torch_resnet").random_state
    torch.save(random_state(50, classes=1000), folder / "resnet50-0676ba61.pth")
    parts = ("visible_module.visible", "thermal_module.thermal", "base_resnet.base")
    net = {
        f"{part}.{name}": tensor
        for part in parts
        for name, tensor in random_state(18).items()
        if not name.startswith("fc.")
    }
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        make = torch.zeros if leaf in ("bias", "running_mean") else torch.ones
        net[f"bottleneck.{leaf}"] = make(512)
    net["classifier.weight"] = torch.randn(len(TRAIN), 512) * 0.01
    torch.save({"net": net, "mAP": np.float64(0.5)}, folder / "sysu_agw_best.t")


def main(folder: str) -> None:
    """Everything into `folder`, what needs torch only where it is installed."""
    root = Path(folder)
    sysu_mm01(root / "SYSU-MM01")
    regdb(root / "RegDB")
    llcm(root / "LLCM")
    own_images(root / "FOLDER")
    features(root)
    weights(root)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", help="made if it is missing")
    main(parser.parse_args().folder)
