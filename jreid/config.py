"""The typed configuration of a run: plain values, checked by `validate`.

A config file defines `get_config(variant) -> Config`; every field can be overridden on
the command line (`--config.optim.lr=0.05`). Only the programs and system.py read it.
"""

import copy
import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

POOLINGS = ("gem", "average", "max")
DATASETS = ("sysu_mm01", "regdb", "llcm", "folder")
DRAWS = ("agw", "official")
DEPTHS = (18, 34, 50, 101)


@dataclass
class DataConfig:
    """Which images, and what is done to them before the network."""

    dataset: str = "sysu_mm01"
    root: str = ""  # the data set's folder (or CSV); "synvi" is the embedded set
    tfds: str = ""  # instead of root: where `python -m jreid.prepare` wrote the set
    trial: int = 1  # RegDB's split, 1 to 10; 0: all ten, one run each
    test_fraction: float = 0.5  # folder: of the identities, where none are named
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

    pretrained: str = ""  # of tools/convert_torchvision.py; "": random weights
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
    rematerialise: bool = False  # the trunk's blocks in the backward pass: less memory


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
    draw: str = "agw"  # of SYSU-MM01's galleries; or "official"
    permutations: str = ""  # rand_perm_cam.mat; multi-shot "official" needs it
    legacy: bool = False  # LLCM: query and gallery as in the released code
    rerank: bool = True
    flip: bool = False  # average each embedding with that of the mirrored image
    feature: str = "embeddings"  # after the neck; "features": before it
    sheet_rows: int = 8  # queries on the rank-list sheet


@dataclass
class CheckpointConfig:
    """Checkpoints, written asynchronously."""

    every_epochs: int = 1
    keep: int = 2
    step: int = -1  # resume from this one, deleting later ones; -1: the newest


@dataclass
class LogConfig:
    """What the run reports."""

    every_steps: int = 20
    tensorboard: bool = True


@dataclass
class DistributedConfig:
    """The processes of one run; see docs/scaling.md."""

    coordinator: str = ""  # HOST:PORT of process 0; "auto": from the cluster
    processes: int = 1
    process: int = 0  # the number of this one, 0 to processes - 1
    timeout: float = 30.0  # seconds of silence after which a process is lost


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
    distributed: DistributedConfig = field(default_factory=DistributedConfig)


# Fields that may differ when a run is continued: they change no trained parameter.
RESUMABLE = (
    "steps",
    "data.root",
    "data.tfds",
    "data.cache",
    "data.workers",
    "data.max_unreadable",
    "evaluation",
    "checkpoint",
    "log",
    "distributed",
)


def validate(config: Config) -> None:
    """Raises ValueError naming a field whose value is not allowed."""
    for (section, *keys), low, high in RANGES:
        for key in keys:
            value = getattr(getattr(config, section), key)
            # written so that NaN is refused as well
            if not (value >= low and (high is None or value <= high)):
                limits = f"at least {low}" if high is None else f"{low} to {high}"
                raise ValueError(f"{section}.{key} is {value}; it must be {limits}")
    if config.seed < 0 or config.steps < 0:
        raise ValueError(
            f"seed is {config.seed} and steps {config.steps}; neither may be negative"
        )
    _validate_data(config)
    _validate_model(config.model)
    _validate_training(config)
    _validate_evaluation(config)
    _validate_distributed(config)


# (section, fields ...), smallest value, largest value
RANGES: tuple[tuple[tuple[str, ...], float, float | None], ...] = (
    (("data", "trial"), 0, 10),
    (("data", "height", "width", "identities", "images_per_identity"), 1, None),
    (("data", "padding", "workers"), 0, None),
    (("data", "flip", "random_erasing", "random_grey", "channel_exchange"), 0, 1),
    (("data", "max_unreadable", "test_fraction"), 0, 1),
    (("model", "width"), 1 / 64, None),
    (("model", "last_stride"), 1, 2),
    (("model", "non_local_channels"), 0, None),
    (("model", "bottleneck_features"), 1, None),
    (("loss", "identity", "vsd", "wrt", "hc_tri", "hc_tri_margin"), 0, None),
    (("loss", "label_smoothing"), 0, 1),
    (("loss", "vsd_temperature"), 1e-3, None),
    (("optim", "lr", "pretrained_lr_factor", "weight_decay", "clip_norm"), 0, None),
    (("optim", "momentum"), 0, 1),
    (("optim", "epochs"), 1, None),
    (("optim", "steps_per_epoch", "warmup_epochs"), 0, None),
    (("evaluation", "every_epochs"), 0, None),
    (("evaluation", "batch_size", "trials", "sheet_rows"), 1, None),
    (("checkpoint", "every_epochs", "keep"), 1, None),
    (("checkpoint", "step"), -1, None),
    (("log", "every_steps"), 1, None),
    (("distributed", "processes"), 1, None),
    (("distributed", "timeout"), 3, 60),
)


def _validate_data(config):
    data = config.data
    _one_of("data.dataset", data.dataset, DATASETS)
    if data.trial == 0 and data.dataset != "regdb":
        raise ValueError(
            f"data.trial is 0, all ten splits of RegDB, but data.dataset is "
            f"{data.dataset!r}; leave data.trial at 1"
        )
    if data.tfds and data.root not in ("", "synvi"):
        raise ValueError(
            f"data.root is {data.root!r} and data.tfds {data.tfds!r}; the images can "
            "be read from one of them only: set the other to ''"
        )
    if data.tfds and data.dataset == "folder":
        raise ValueError(
            "data.tfds is for the data sets that `python -m jreid.prepare` builds; a "
            "folder of your own is read from data.root"
        )
    with_validation = {"sysu_mm01": not data.train_on_val, "folder": True}
    if config.evaluation.every_epochs and not with_validation.get(data.dataset):
        raise ValueError(
            "evaluation.every_epochs needs validation identities: use the data set "
            "sysu_mm01 with --config.data.train_on_val=False, or a folder with the "
            "split val, or set it to 0"
        )


def _validate_model(model):
    _one_of("model.depth", model.depth, DEPTHS)
    if model.pretrained and model.width != 1:
        raise ValueError(
            f"model.width is {model.width}, but the weights of model.pretrained "
            f"{model.pretrained!r} are of full width: set the width to 1, or train "
            "from scratch with --config.model.pretrained="
        )
    names = []
    for branch in model.branches:
        _one_of(f"the pooling of branch {branch.name!r}", branch.pooling, POOLINGS)
        _one_of(f"what branch {branch.name!r} adds", branch.adds, ("", *names))
        if not branch.p >= 1:
            raise ValueError(
                f"p of branch {branch.name!r} is {branch.p}; it must be at least 1"
            )
        names.append(branch.name)
    if not names or len(set(names)) < len(names) or {"", "fused"} & set(names):
        raise ValueError(
            f"model.branches are named {names}; at least one is needed, each with a "
            'name of its own other than "fused"'
        )
    for name in model.refined:
        _one_of("model.refined", name, names)
    for place in model.non_local_after:
        parts = place.split(".") if isinstance(place, str) else ()
        if len(parts) != 2 or not all(part.isdigit() for part in parts):
            raise ValueError(
                f"model.non_local_after has {place!r}; write stage.block in quotes, as "
                """in --config.model.non_local_after="('2.3',)" """.rstrip()
            )


def _validate_training(config):
    loss, optim = config.loss, config.optim
    names = [branch.name for branch in config.model.branches]
    _one_of("loss.wrt_form", loss.wrt_form, ("softmax", "agw"))
    _one_of("loss.hc_tri_reduction", loss.hc_tri_reduction, ("mean", "sum"))
    _one_of("loss.wrt_branch", loss.wrt_branch, names)
    _one_of("loss.hc_tri_branch", loss.hc_tri_branch, names)
    _one_of("optim.optimizer", optim.optimizer, ("sgd", "adamw"))
    _one_of("optim.schedule", optim.schedule, ("steps", "cosine"))
    if optim.schedule == "cosine" and optim.warmup_epochs >= optim.epochs:
        raise ValueError(
            f"optim.warmup_epochs is {optim.warmup_epochs} of optim.epochs "
            f"{optim.epochs}; a cosine schedule needs a shorter warm-up"
        )


def _validate_evaluation(config):
    evaluation, dataset = config.evaluation, config.data.dataset
    _one_of("evaluation.feature", evaluation.feature, ("embeddings", "features"))
    _one_of("evaluation.draw", evaluation.draw, DRAWS)
    if evaluation.draw != "agw" and dataset != "sysu_mm01":
        raise ValueError(
            f"evaluation.draw is {evaluation.draw!r}: the data set {dataset!r} has one "
            "draw only, leave it at 'agw'"
        )
    if evaluation.permutations and evaluation.draw != "official":
        raise ValueError(
            f"evaluation.permutations is {evaluation.permutations!r}, which only the "
            "official draw of SYSU-MM01 reads: set evaluation.draw to 'official', or "
            "leave it empty"
        )
    if evaluation.legacy and dataset != "llcm":
        raise ValueError(
            f"evaluation.legacy is set, but the data set is {dataset!r}: LLCM alone "
            "has a legacy protocol"
        )


def _validate_distributed(config):
    """Also before anything else: joining the processes comes first."""
    peers = config.distributed
    if not 0 <= peers.process < peers.processes:
        raise ValueError(
            f"distributed.process is {peers.process} and distributed.processes "
            f"{peers.processes}; number the processes from 0 to processes - 1"
        )
    if peers.processes > 1 and ":" not in peers.coordinator:
        raise ValueError(
            f"distributed.processes is {peers.processes} and distributed.coordinator "
            f"{peers.coordinator!r}; give HOST:PORT of process 0, or leave processes "
            "at 1 and set coordinator to 'auto'"
        )
    if not re.fullmatch(r"|auto|.+:\d{1,5}", peers.coordinator):
        raise ValueError(
            f"distributed.coordinator is {peers.coordinator!r}; it must be HOST:PORT "
            "of process 0, 'auto' or empty"
        )
    if peers.coordinator and config.data.trial == 0:
        raise ValueError(
            "RegDB's ten splits are processes of their own; with several processes "
            "for each, train one at a time with --config.data.trial=1 to 10"
        )


def _one_of(name, value, allowed):
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{name} is {value!r}; allowed are {choices}")


def as_dict(config: Config) -> dict:
    """The config as nested dicts of JSON values (tuples become lists)."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    return plain(dataclasses.asdict(config))


def config_hash(config: Config) -> str:
    """12 hex digits that tell trained networks apart: SHA-256 of what shapes them.

    The `RESUMABLE` fields, which change no trained parameter, are left out.
    """
    values = copy.deepcopy(as_dict(config))
    for name in RESUMABLE:
        *sections, field_name = name.split(".")
        group = values
        for section in sections:
            group = group[section]
        del group[field_name]
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def config_from_dict(values: dict) -> Config:
    """The inverse of `as_dict`; raises ValueError for a field that Config lacks."""
    return _build(Config, values, "")


def _build(kind, values, path):
    if not isinstance(values, dict):
        raise ValueError(f"{path.rstrip('.') or 'the config'} is no group of fields")
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    if unknown := sorted(path + name for name in set(values) - set(types)):
        raise ValueError(f"unknown config fields {unknown}: written by another version")
    return kind(
        **{
            name: _convert(types[name], value, f"{path}{name}.")
            for name, value in values.items()
        }
    )


def _convert(kind, value, path):
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, path)
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{path.rstrip('.')} is {value!r}; it must be a list")
        return tuple(_convert(get_args(kind)[0], item, path) for item in value)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{path.rstrip('.')} is {value!r}; it must be {kind.__name__}")
    return value
