"""A small config that each of these systems changes: one branch, 8 channels."""

from jreid.config import Config, Log
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.identity import Identity
from jreid.models.embedding import Embedding
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

PIPE = (PadCrop(2), Flip())


def small(name: str, **changes) -> Config:
    """Two epochs of three steps of eight images of each modality."""
    fields = {
        "name": name,
        "data": SysuMM01(),
        "size": (32, 16),
        "views": {
            "visible": View("visible", PIPE),
            "infrared": View("infrared", PIPE),
        },
        "sampling": PerModality(identities=4, images=2),
        "steps_per_epoch": 3,
        "network": TwoStream((Branch("v1"),), trunk=trunk()),
        "objective": {"identity": Identity()},
        "optimizer": SGD(lr=0.01),
        "schedule": Steps(epochs=2, warmup=1, drops=((1, 0.5),)),
        "embedding": Embedding(),
        "log": Log(every_steps=1, writers=()),
    }
    config = Config(**(fields | changes))
    config.evaluation.trials, config.evaluation.rerank = 1, False
    return config


def trunk(**changes) -> ResNet:
    """Two stages of a ResNet-18 with 8 and 16 channels."""
    return ResNet(**({"depth": 18, "width": 1 / 8, "stages": 2} | changes))
