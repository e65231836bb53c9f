"""The typed configuration of a run: plain values, checked by `validate`.

A config file defines `get_config(variant) -> Config`; every field can be overridden on
the command line (`--config.optim.lr=0.05`). Only the programs and system.py read it.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

POOLINGS = ("gem", "average", "max")
DATASETS = ("sysu_mm01", "regdb")


@dataclass
class DataConfig:
    """Which images, and what is done to them before the network."""

    dataset: str = "sysu_mm01"
    root: str = ""  # the data set's folder; "synvi" is the embedded set
    trial: int = 1  # RegDB's split, 1 to 10
    train_on_val: bool = True  # SYSU-MM01: train on 296 + 99 identities
    height: int = 288
    width: int = 144
    identities: int = 8  # P
    images_per_identity: int = 4  # K, per modality
    padding: int = 10  # of the random crop, in pixels
    flip: float = 0.5  # probabilities, per image
    random_erasing: float = 0.0
    random_grey: float = 0.0  # visible images only
    channel_exchange: float = 0.0  # visible images only
    cache: bool = False  # keep decoded images in memory
    max_unreadable: float = 0.001  # fraction of the images that may be skipped
    workers: int = 0  # threads that decode and augment; 0: one per core


@dataclass
class BranchConfig:
    """One branch of the head; `adds` names an earlier branch, as DIAM's second does."""

    name: str = "v1"
    pooling: str = "gem"
    p: float = 3.0  # GeM's exponent, or where it starts; at least 1
    learn_p: bool = True
    adds: str = ""


def diam(first: str = "gem", second: str = "gem") -> tuple[BranchConfig, ...]:
    """The two branches of DIAM (paper eq. 4 and 5), each with its own pooling."""
    return (
        BranchConfig(name="v1", pooling=first),
        BranchConfig(name="v2", pooling=second, adds="v1"),
    )


@dataclass
class ModelConfig:
    """The network."""

    depth: int = 50
    width: float = 1.0  # multiplies every channel count of stems and trunk
    last_stride: int = 1
    non_local_after: tuple[str, ...] = ("2.2", "2.3", "3.3", "3.4", "3.5")
    non_local_channels: int = 1  # inner width; 0: half the channels
    branches: tuple[BranchConfig, ...] = field(default_factory=diam)
    refined: tuple[str, ...] = ("v1", "v2")  # the branches that VRD refines
    bottleneck_hidden: tuple[int, ...] = (1024, 512)
    bottleneck_features: int = 512
    bfloat16: bool = False  # activations; parameters and losses stay float32


@dataclass
class LossConfig:
    """Weights and options of the objective (eq. 9); a weight of 0 drops the term."""

    identity: float = 1.0
    label_smoothing: float = 0.0
    vsd: float = 1.0
    vsd_temperature: float = 1.0
    vsd_stop_gradient: bool = True
    wrt: float = 1.0
    wrt_form: str = "softmax"  # or "agw", the released code's
    wrt_branch: str = "v1"
    hc_tri: float = 1.0
    hc_tri_margin: float = 0.3
    hc_tri_reduction: str = "mean"  # or "sum", as eq. 14 prints
    hc_tri_branch: str = "v1"


@dataclass
class OptimConfig:
    """Optimiser and learning rate schedule."""

    optimizer: str = "sgd"  # or "adamw"
    lr: float = 0.1  # per batch of 64 images
    pretrained_lr_factor: float = 0.1  # of stems, trunk and non-local blocks
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float = 0.0  # 0: no clipping
    epochs: int = 80
    steps_per_epoch: int = 0  # 0: floor(N / (P K)) + 1, N the larger modality's images
    schedule: str = "steps"  # or "cosine"
    warmup_epochs: int = 10
    milestones: tuple[int, ...] = (20, 50)
    factors: tuple[float, ...] = (0.1, 0.01)


@dataclass
class EvalConfig:
    """Evaluation, at the end of a run and on the validation identities during it."""

    every_epochs: int = 0  # on the validation identities; 0: never
    batch_size: int = 64
    trials: int = 10
    rerank: bool = True
    flip: bool = False  # average each embedding with that of the mirrored image
    feature: str = "embeddings"  # after the neck; "features": before it
    sheet_rows: int = 8  # queries on the rank-list sheet


@dataclass
class CheckpointConfig:
    """Checkpoints, written asynchronously."""

    every_epochs: int = 1
    keep: int = 2
    step: int = -1  # resume or evaluate this one; -1: the newest


@dataclass
class LogConfig:
    """What the run reports."""

    every_steps: int = 20
    tensorboard: bool = True


@dataclass
class Config:
    """One run."""

    name: str = "sysu"
    seed: int = 0
    steps: int = 0  # stop after this many steps in all, for trying out; 0: run all
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)


# Fields that may differ when a run is continued: they change no trained parameter.
RESUMABLE = (
    "steps",
    "data.root",
    "data.cache",
    "data.workers",
    "data.max_unreadable",
    "evaluation",
    "checkpoint",
    "log",
)


def validate(config: Config) -> None:
    """Raises ValueError naming the first field whose value is not allowed."""
    data, model, loss, optim = config.data, config.model, config.loss, config.optim
    names = tuple(branch.name for branch in model.branches)
    _one_of("data.dataset", data.dataset, DATASETS)
    _one_of("data.trial", data.trial, tuple(range(1, 11)))
    for branch in model.branches:
        _one_of(f"the pooling of branch {branch.name}", branch.pooling, POOLINGS)
        if branch.p < 1:
            raise ValueError(
                f"p of branch {branch.name} is {branch.p}; it must be at least 1"
            )
    for name in model.refined:
        _one_of("model.refined", name, names)
    for text in model.non_local_after:
        parts = text.split(".")
        if len(parts) != 2 or not all(part.isdigit() for part in parts):
            raise ValueError(
                f'model.non_local_after has {text!r}; write "stage.block", e.g. "2.3"'
            )
    _one_of("loss.wrt_form", loss.wrt_form, ("softmax", "agw"))
    _one_of("loss.hc_tri_reduction", loss.hc_tri_reduction, ("mean", "sum"))
    _one_of("loss.wrt_branch", loss.wrt_branch, names)
    _one_of("loss.hc_tri_branch", loss.hc_tri_branch, names)
    _one_of("optim.optimizer", optim.optimizer, ("sgd", "adamw"))
    _one_of("optim.schedule", optim.schedule, ("steps", "cosine"))
    _one_of("evaluation.feature", config.evaluation.feature, ("embeddings", "features"))
    if len(optim.milestones) != len(optim.factors):
        raise ValueError(
            f"optim.milestones {optim.milestones} and optim.factors {optim.factors} "
            "need the same length"
        )
    if config.evaluation.every_epochs and (
        data.dataset != "sysu_mm01" or data.train_on_val
    ):
        raise ValueError(
            "evaluation.every_epochs needs validation identities: use the data set "
            "sysu_mm01 with --config.data.train_on_val=False, or set it to 0"
        )
    for section, key in PROBABILITIES:
        _between(config, section, key, 0, 1)
    for section, key in POSITIVE:
        _between(config, section, key, 1, None)
    for section, key in NOT_NEGATIVE:
        _between(config, section, key, 0, None)


PROBABILITIES = tuple(
    ("data", key)
    for key in (
        "flip",
        "random_erasing",
        "random_grey",
        "channel_exchange",
        "max_unreadable",
    )
)
POSITIVE = (
    *(("data", key) for key in ("height", "width", "identities")),
    ("data", "images_per_identity"),
    *(("optim", "epochs"), ("evaluation", "batch_size"), ("evaluation", "trials")),
    *(("checkpoint", "every_epochs"), ("checkpoint", "keep"), ("log", "every_steps")),
)
NOT_NEGATIVE = (
    *(("data", "padding"), ("data", "workers"), ("model", "non_local_channels")),
    *(("loss", key) for key in ("identity", "vsd", "wrt", "hc_tri", "hc_tri_margin")),
    *(("optim", key) for key in ("lr", "weight_decay", "clip_norm", "warmup_epochs")),
    *(("optim", "steps_per_epoch"), ("evaluation", "every_epochs")),
)


def _one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(
            f"{name} is {value!r}; allowed are {', '.join(map(str, allowed))}"
        )


def _between(config, section, key, low, high):
    value = getattr(getattr(config, section), key)
    if value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{section}.{key} is {value}; it must be {limits}")


def as_dict(config: Config) -> dict:
    """The config as nested dicts of JSON values (tuples become lists)."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    return plain(dataclasses.asdict(config))


def config_from_dict(values: dict) -> Config:
    """The inverse of `as_dict`; raises ValueError for a field that Config lacks."""

    def build(kind, values, path):
        known = {f.name: f for f in dataclasses.fields(kind)}
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(
                f"unknown config fields {[path + name for name in unknown]}; the file "
                "was written by another version"
            )
        return kind(
            **{
                key: convert(key, known[key].type, value, path)
                for key, value in values.items()
            }
        )

    def convert(key, kind, value, path):
        if dataclasses.is_dataclass(kind):
            return build(kind, value, f"{path}{key}.")
        if isinstance(value, list):
            if key == "branches":
                return tuple(build(BranchConfig, item, "branches.") for item in value)
            return tuple(value)
        return value

    return build(Config, values, "")
