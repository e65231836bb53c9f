"""The paper's system on SYSU-MM01.

Paper: Wang, Wang, Chen, "Cross-modal Person Re-identification Based on Multi-branch
Fusion Variational Refinement Distillation", J. Chongqing Technol. Business Univ.
41(4):77-85, 2024, doi 10.16055/j.issn.1672-058X.2024.0004.010.

    python -m jreid.train --config configs/sysu.py --config.data.root=SYSU-MM01
    python -m jreid.train --config configs/sysu.py:base ...     (Table 1's other rows)

A run begins with ImageNet weights in weights/resnet50.npz; where they are missing, the
program says how to get and convert them. --config.model.pretrained= (nothing after it)
trains from scratch.

Reported there (R-1 / mAP / mINP, all-search single-shot, ImageNet initialisation; not
yet reproduced here):

    :base         47.50 / 47.65 / 35.30   one branch, no VRD: the AGW baseline
    :ours1        53.66 / 52.39 / 39.29   + DIAM
    :ours2        54.72 / 53.84 / 41.14   + DIAM + VRD on the first branch
    :ours3        54.43 / 53.47 / 40.37   + DIAM + VRD on the second branch
    :ours4, :full 56.36 / 54.96 / 42.01   + DIAM + VRD on both
                  66.93 / 65.25 / 53.05   the same model re-ranked (Ours5)
    :gem_only     47.50 / 47.65 / 35.30   Table 2: one branch, GeM
    :average_only 47.67 / 46.98 / 34.30   Table 2: one branch, average pooling
    :gem_max      49.83 / 47.62 / 33.53   Table 2: DIAM with GeM and maximum
    :gem_average  52.32 / 50.61 / 37.37   Table 2: DIAM with GeM and average

The one-branch rows are the same as AGW's published numbers; they are trained here with
AGW's losses, identity and WRT, without the hetero-centre triplet of eq. 9.

Cost: 80 epochs of 696 steps of 64 images, 3.6 million images forward and backward. Not
yet measured on a GPU.
"""

import copy

from jreid.config import BranchConfig, Config, ModelConfig, diam


def one_branch(pooling: str = "gem") -> ModelConfig:
    """The head of the AGW baseline."""
    return ModelConfig(branches=(BranchConfig("v1", pooling),), refined=())


MODELS = {
    "base": one_branch(),
    "ours1": ModelConfig(refined=()),
    "ours2": ModelConfig(refined=("v1",)),
    "ours3": ModelConfig(refined=("v2",)),
    "ours4": ModelConfig(),
    "full": ModelConfig(),
    "gem_only": one_branch(),
    "average_only": one_branch("average"),
    "gem_max": ModelConfig(branches=diam("gem", "max"), refined=()),
    "gem_average": ModelConfig(branches=diam("gem", "average"), refined=()),
}


def get_config(variant: str = "full") -> Config:
    """The config of one row of the paper's Tables 1 and 2."""
    if variant not in MODELS:
        raise ValueError(f"no variant {variant!r}; there are {', '.join(MODELS)}")
    config = Config(name="sysu", model=copy.deepcopy(MODELS[variant]))
    config.model.pretrained = "weights/resnet50.npz"
    if variant != "full":
        config.name = f"sysu-{variant}"
    if len(config.model.branches) == 1:
        config.loss.hc_tri = 0.0
    return config
