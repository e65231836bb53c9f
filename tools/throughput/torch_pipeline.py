"""The PyTorch side's input pipeline: a DataLoader over the same files.

With jreid's sampler, Pillow for decoding and resizing, and torch for augmentations.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from PIL import Image
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.utils.data import DataLoader, Dataset, Sampler  # pyright: ignore[reportMissingImports]

from jreid.config import Config
from jreid.data.augmentations import LUMINANCE, Flip, Grey, PadCrop, RandomChannel
from jreid.data.datasets import MODALITY_NAMES, Images, drop_unpaired
from jreid.data.rows import joined
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import read_sysu_mm01
from jreid.data.views import modality_of
from tools.throughput.case import Case


def make_loader(
    config: Config,
    case: Case,
    files: Path,
    steps: int,
    *,
    workers: int,
    pin_memory: bool = False,
) -> DataLoader[dict[str, Tensor]]:
    """The rows of `steps` batches, slot by slot, from a tree in SYSU-MM01's layout.

    Raises ValueError for an augmentation that is not written in torch here.
    """
    images = drop_unpaired(read_sysu_mm01(files).train)
    views = config.views
    draw = PerModality(*case.sampling).make(images, views, config.seed)
    for name, view in views.items():
        for augmentation in view.pipe:
            if type(augmentation) not in AUGMENTATIONS:
                raise ValueError(
                    f"config.views.{name}.pipe has {augmentation!r}, which the PyTorch "
                    "side has not"
                )
    pipes = {modality_of(view): view.pipe for view in views.values()}
    return DataLoader(
        Photographs(
            images,
            pipes=[pipes[modality] for modality in MODALITY_NAMES],
            size=(case.width, case.height),
            resampling=Image.Resampling[config.resize.upper()],
        ),
        batch_sampler=Batches(lambda step: joined([*draw(step).values()]), steps),
        num_workers=workers,
        pin_memory=pin_memory,
    )


class Batches(Sampler[list[int]]):
    """Rows of each step's images, slot by slot."""

    def __init__(self, draw, steps: int):
        self.draw, self.count = draw, steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.count):
            yield self.draw(step).tolist()

    def __len__(self) -> int:
        return self.count


class Photographs(Dataset[dict[str, Tensor]]):
    """Files decoded and resized by Pillow, augmented by torch."""

    def __init__(
        self,
        images: Images,
        *,
        pipes: Sequence[Sequence[Any]],
        size: tuple[int, int],
        resampling: Image.Resampling,
    ):
        """Of augmentations by modality; `size` is the width and the height."""
        self.images, self.pipes = images, pipes
        self.labels = np.unique(images.ids, return_inverse=True)[1]
        self.size, self.resampling = size, resampling

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        with Image.open(self.images.paths[row]) as file:
            small = file.convert("RGB").resize(self.size, self.resampling)
        image, modality = torch.from_numpy(np.array(small)), self.images.modality[row]
        for augmentation in self.pipes[modality]:
            image = AUGMENTATIONS[type(augmentation)](image, augmentation)
        return {
            "images": image.contiguous(),
            "ids": torch.tensor(int(self.labels[row])),
            "modality": torch.tensor(int(modality)),
        }


def pad_crop(image: Tensor, part: PadCrop) -> Tensor:
    """A border, and a window of the image's size at a random place."""
    if part.fill == "symmetric":
        borders = [(part.pixels, part.pixels)] * 2 + [(0, 0)]
        padded = torch.from_numpy(np.pad(image.numpy(), borders, mode="symmetric"))
    else:
        border = (0, 0, *[part.pixels] * 4)
        padded = nn.functional.pad(image, border, value=part.fill)
    top, left = torch.randint(2 * part.pixels + 1, (2,)).tolist()
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


def flip(image: Tensor, part: Flip) -> Tensor:
    """The mirrored image, or the image as it is."""
    return image.flip(1) if torch.rand(()) < part.p else image


def grey(image: Tensor, part: Grey) -> Tensor:
    """The luminance in all channels, or the image as it is."""
    if torch.rand(()) >= part.p:
        return image
    luminance = (image.float() @ torch.tensor(LUMINANCE)).round().to(torch.uint8)
    return luminance[..., None].expand(image.shape)


def random_channel(image: Tensor, part: RandomChannel) -> Tensor:
    """One channel in all three, or the image as it is."""
    if torch.rand(()) >= part.p:
        return image
    channel = int(torch.randint(3, ()))
    return image[..., channel : channel + 1].expand(image.shape)


AUGMENTATIONS = {
    PadCrop: pad_crop,
    Flip: flip,
    Grey: grey,
    RandomChannel: random_channel,
}
