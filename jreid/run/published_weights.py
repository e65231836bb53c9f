"""Published weights to begin with, and the commands that get them."""

from pathlib import Path
from typing import Any

from jreid.models.vision_transformer import VisionTransformer

TRANSFORMER = "ViT-B/16"
# a ResNet's depth, or a transformer -> the file of its ImageNet weights, torchvision's
# IMAGENET1K_V1 or timm's; its name ends with the first digits of its SHA-256
PUBLISHED = {
    18: "resnet18-f37072fd.pth",
    34: "resnet34-b627a593.pth",
    50: "resnet50-0676ba61.pth",
    101: "resnet101-63fe2227.pth",
    TRANSFORMER: "jx_vit_base_p16_224-80ecf9dd.pth",
}
FOLDER = "https://download.pytorch.org/models/"
TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-vitjx/"
FROM_SCRATCH = "train from scratch on purpose with --config.pretrained="


def kind_of(network: Any) -> int | str:
    """Which of PUBLISHED a network can begin with; 0: none that is known."""
    if isinstance(network, VisionTransformer):
        return TRANSFORMER
    return getattr(getattr(network, "trunk", None), "depth", 0)


def how_to_get(path: Path, kind: int | str) -> str:
    """What to say where a file of weights is missing; `kind` is one of PUBLISHED."""
    get, convert = commands(path, kind)
    whose = "timm" if kind == TRANSFORMER else "torchvision"
    return (
        f"config.pretrained names {path}, which is missing. Get and convert "
        f"{whose}'s ImageNet weights:\n"
        f"  {get}\n"
        f"  {convert}\n"
        f"(the second needs torch: pip install torch), or {FROM_SCRATCH}"
    )


def commands(path: Path, kind: int | str) -> tuple[str, str]:
    """Those that get the published file and convert it to `path`."""
    source = PUBLISHED[kind]
    return (
        f"curl -LO {TIMM if kind == TRANSFORMER else FOLDER}{source}",
        f"python -m jreid.convert.torchvision {source} {path}",
    )
