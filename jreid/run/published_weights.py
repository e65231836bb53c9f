"""Published weights to begin with, and the commands that get them."""

from pathlib import Path

# depth -> the file of torchvision's IMAGENET1K_V1 weights; its name ends with the
# first digits of its SHA-256
PUBLISHED = {
    18: "resnet18-f37072fd.pth",
    34: "resnet34-b627a593.pth",
    50: "resnet50-0676ba61.pth",
    101: "resnet101-63fe2227.pth",
}
FOLDER = "https://download.pytorch.org/models/"
FROM_SCRATCH = "train from scratch on purpose with --config.pretrained="


def how_to_get(path: Path, depth: int) -> str:
    """What to say where a file of weights is missing."""
    get, convert = commands(path, depth)
    return (
        f"config.pretrained names {path}, which is missing. Get and convert "
        f"torchvision's ImageNet weights:\n"
        f"  {get}\n"
        f"  {convert}\n"
        f"(the second needs torch: pip install torch), or {FROM_SCRATCH}"
    )


def commands(path: Path, depth: int) -> tuple[str, str]:
    """Those that get torchvision's file and convert it to `path`."""
    source = PUBLISHED[depth]
    return (
        f"curl -LO {FOLDER}{source}",
        f"python tools/convert_torchvision.py {source} {path}",
    )
