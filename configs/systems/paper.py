"""The paper's system, and the other rows of its Tables 1 and 2.

Paper: Wang, Wang, Chen, "Cross-modal Person Re-identification Based on Multi-branch
Fusion Variational Refinement Distillation", J. Chongqing Technol. Business Univ.
41(4):77-85, 2024, doi 10.16055/j.issn.1672-058X.2024.0004.010.

Reported there (R-1 / mAP / mINP, SYSU-MM01 all-search single-shot, ImageNet
initialisation; not yet reproduced here):

    base         47.50 / 47.65 / 35.30   one branch, no VRD: the AGW baseline
    ours1        53.66 / 52.39 / 39.29   + DIAM
    ours2        54.72 / 53.84 / 41.14   + DIAM + VRD on the first branch
    ours3        54.43 / 53.47 / 40.37   + DIAM + VRD on the second branch
    ours4, full  56.36 / 54.96 / 42.01   + DIAM + VRD on both
                 66.93 / 65.25 / 53.05   the same model re-ranked (Ours5)
    gem_only     47.50 / 47.65 / 35.30   Table 2: one branch, GeM
    average_only 47.67 / 46.98 / 34.30   Table 2: one branch, average pooling
    gem_max      49.83 / 47.62 / 33.53   Table 2: DIAM with GeM and maximum
    gem_average  52.32 / 50.61 / 37.37   Table 2: DIAM with GeM and average

The one-branch rows are the same as AGW's published numbers; they are trained here with
an identity loss and a WRT, without the hetero-centre triplet of eq. 9. agw.py is AGW as
released, and says in what these rows differ.

The learning rate of 0.1, for batches of 64 images, needs the long warm-up, ten epochs
of some 65 steps and more; where the warm-up has about 50 steps it is 0.01 to 0.03. It
is not scaled with the batch: of 32 or 48 images nothing was measured. The
bottleneck's z is its second ReLU layer, as the paper's text has it: with VSD's further
Linear, `refine.features=512`, training diverges at 0.1 after a short warm-up and the
bottleneck unlearns after a long one. docs/ablation/ has the runs.

Cost on SYSU-MM01: 80 epochs of 696 steps of 64 images, 3.6 million images forward and
backward.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.llcm import LLCM
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.centres import HeteroCenterTriplet
from jreid.losses.distillation import SelfDistillation
from jreid.losses.identity import Identity
from jreid.losses.weighted_triplet import WeightedTriplet
from jreid.models.bottleneck import Bottleneck, refined_name
from jreid.models.embedding import Embedding
from jreid.models.non_local import NonLocal
from jreid.models.pooling import Average, GeM, Maximum
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

NON_LOCAL = ("2.2", "2.3", "3.3", "3.4", "3.5")  # AGW: blocks that one follows


def system(
    data: Any, branches: tuple[Branch, ...], refined: tuple[str, ...] = ()
) -> Config:
    """These branches on AGW's trunk, some of them refined (paper section 3.2)."""
    pipe = (PadCrop(10), Flip(0.5))
    return Config(
        name="paper",
        data=data,
        # LLCM's, and the batches, are those of its authors (DEEN train.py)
        size=(384, 144) if isinstance(data, LLCM) else (288, 144),
        views={"visible": View("visible", pipe), "infrared": View("infrared", pipe)},
        sampling=PerModality(
            identities=6 if isinstance(data, LLCM | RegDB) else 8, images=4
        ),
        network=TwoStream(
            branches=branches,
            trunk=ResNet(
                depth=50,
                last_stride=1,
                after={place: NonLocal(inner_channels=1) for place in NON_LOCAL},
            ),
            refine=Bottleneck((1024, 512), 0, of=refined) if refined else None,
        ),
        pretrained="weights/resnet50.npz",
        objective=objective(tuple(branch.name for branch in branches), refined),
        optimizer=SGD(
            lr=0.1,
            momentum=0.9,
            nesterov=True,
            weight_decay=5e-4,
            groups=(("stems|trunk", 0.1),),
        ),
        schedule=Steps(epochs=80, warmup=10, drops=((20, 0.1), (50, 0.01))),
        embedding=Embedding(features=0.0, embeddings=1.0),
    )


def objective(branches: tuple[str, ...], refined: tuple[str, ...]) -> dict[str, Any]:
    """Eq. 9; with one branch the identity loss and WRT alone."""
    terms: dict[str, Any] = {}
    for name in branches + tuple(refined_name(branch) for branch in refined):
        terms[f"identity_{name}"] = Identity(on=f"logits.{name}")
    for name in refined:
        terms[f"vsd_{name.removeprefix('v')}"] = SelfDistillation(
            teacher=f"logits.{name}", on=f"logits.{refined_name(name)}"
        )
    terms["wrt"] = WeightedTriplet(on="features.v1")
    if len(branches) > 1:
        terms["hc_tri"] = HeteroCenterTriplet(on="features.v1", margin=0.3)
    return terms


def diam(first: Any, second: Any) -> tuple[Branch, ...]:
    """The two branches of DIAM (eq. 4 and 5), each with its own pooling."""
    return Branch("v1", first), Branch("v2", second, adds="v1")


def full(data: Any) -> Config:
    """DIAM and VRD on both branches: the paper's system."""
    return system(data, diam(GeM(p=3.0), GeM(p=3.0)), refined=("v1", "v2"))


def base(data: Any) -> Config:
    """One branch, no VRD: the baseline."""
    return system(data, (Branch("v1", GeM(p=3.0)),))


def ours1(data: Any) -> Config:
    """DIAM, no VRD."""
    return system(data, diam(GeM(p=3.0), GeM(p=3.0)))


def ours2(data: Any) -> Config:
    """DIAM, and VRD on the first branch."""
    return system(data, diam(GeM(p=3.0), GeM(p=3.0)), refined=("v1",))


def ours3(data: Any) -> Config:
    """DIAM, and VRD on the second branch."""
    return system(data, diam(GeM(p=3.0), GeM(p=3.0)), refined=("v2",))


def ours4(data: Any) -> Config:
    """The same as full, by its name in Table 1."""
    return full(data)


def gem_only(data: Any) -> Config:
    """The same as base, by its name in Table 2."""
    return base(data)


def average_only(data: Any) -> Config:
    """One branch with average pooling."""
    return system(data, (Branch("v1", Average()),))


def gem_max(data: Any) -> Config:
    """DIAM of GeM and maximum pooling, no VRD."""
    return system(data, diam(GeM(p=3.0), Maximum()))


def gem_average(data: Any) -> Config:
    """DIAM of GeM and average pooling, no VRD."""
    return system(data, diam(GeM(p=3.0), Average()))


SYSTEMS = {
    function.__name__: function
    for function in (
        *(full, base, ours1, ours2, ours3, ours4),
        *(gem_only, average_only, gem_max, gem_average),
    )
}
PUBLISHED = {
    "base": {"SYSU all": (47.50, 47.65)},
    "ours1": {"SYSU all": (53.66, 52.39)},
    "ours2": {"SYSU all": (54.72, 53.84)},
    "ours3": {"SYSU all": (54.43, 53.47)},
    "ours4": {"SYSU all": (56.36, 54.96)},
    "full": {"SYSU all": (56.36, 54.96)},
    "gem_only": {"SYSU all": (47.50, 47.65)},
    "average_only": {"SYSU all": (47.67, 46.98)},
    "gem_max": {"SYSU all": (49.83, 47.62)},
    "gem_average": {"SYSU all": (52.32, 50.61)},
}
