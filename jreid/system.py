"""From a Config to the parts it describes: data set, network, objective, optimiser."""

import functools
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jreid import optim
from jreid.config import BranchConfig, Config
from jreid.data import datasets
from jreid.data.sampling import make_sampler, steps_per_epoch
from jreid.data.synvi import synvi_root
from jreid.models.bottleneck import InformationBottleneck
from jreid.models.non_local import NonLocal
from jreid.models.pooling import GeM, average_pool, maximum_pool
from jreid.models.resnet import Stem, Trunk, stage_channels
from jreid.models.two_stream import Branch, TwoStreamNetwork
from jreid.objective import make_objective, paper_terms
from jreid.progress import Progress

STREAMS = datasets.MODALITY_NAMES  # stem of each column of a batch's slots


def quieten_tensorflow() -> None:
    """Before TensorFlow is first imported: no notices, and no oneDNN to notify of."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def read_dataset(config: Config) -> datasets.Dataset:
    """Reads the lists of the configured data set; opens no image."""
    data = config.data
    if not data.root:
        raise ValueError(
            "data.root is empty; name the data set's folder with "
            "--config.data.root=FOLDER, or use the embedded set with "
            "--config.data.root=synvi"
        )
    root = synvi_root() if data.root == "synvi" else Path(data.root).expanduser()
    if data.dataset == "regdb":
        return datasets.read_regdb(root, trial=data.trial)
    return datasets.read_sysu_mm01(root, train_on_val=data.train_on_val)


@dataclass(frozen=True)
class RunImages:
    """The images of a run, every file of them decoded once and found readable."""

    train: datasets.Images
    labels: np.ndarray  # of `train`: 0 to len(identities) - 1
    identities: np.ndarray  # the data set's numbers of the training identities
    digest: int  # of the names of `train`'s files
    pixels: np.ndarray | None  # of `train`, if data.cache is set
    val: datasets.Images
    test: datasets.Images
    steps_per_epoch: int


def read_images(config: Config) -> RunImages:
    """Lists and checks all images before any work: a bad file is met now, not later."""
    data, dataset = config.data, read_dataset(config)
    paired = datasets.drop_unpaired(dataset.train)
    train = readable(config, paired, "training", keep_pixels=data.cache)
    val = dataset.val
    if config.evaluation.every_epochs:
        val = readable(config, val, "validation").images
    identities, labels = np.unique(train.images.ids, return_inverse=True)
    steps = steps_per_epoch(
        train.images.modality,
        identities=data.identities,
        images=data.images_per_identity,
    )
    return RunImages(
        train=train.images,
        labels=labels,
        identities=identities,
        digest=_digest(train.images),
        pixels=train.pixels,
        val=val,
        test=readable(config, dataset.test, "test").images,
        steps_per_epoch=config.optim.steps_per_epoch or steps,
    )


def _digest(images: datasets.Images) -> int:
    """CRC-32 of folder and file names, which stay when a data set is moved."""
    names = ["/".join(Path(path).parts[-3:]) for path in images.paths]
    return zlib.crc32("\n".join(names).encode())


def readable(
    config: Config, images: datasets.Images, label: str, *, keep_pixels: bool = False
):
    """Leaves out the files that cannot be decoded; see `decoding.drop_unreadable`."""
    from jreid.data.decoding import drop_unreadable  # imports TensorFlow

    data = config.data
    with Progress(len(images), f"check {label} images", unit="images") as bar:
        return drop_unreadable(
            images,
            height=data.height,
            width=data.width,
            max_fraction=data.max_unreadable,
            keep_pixels=keep_pixels,
            workers=data.workers,
            progress=lambda done, _: bar.update(done),
        )


def training_batches(config: Config, images: RunImages, start: int, stop: int):
    """The batches of steps start to stop - 1, without what the step does not use."""
    from jreid.data.pipeline import train_batches  # imports TensorFlow

    data = config.data
    batches = train_batches(
        images.train,
        images.labels,
        start_step=start,
        stop_step=stop,
        seed=config.seed,
        identities=data.identities,
        images_per_identity=data.images_per_identity,
        height=data.height,
        width=data.width,
        augmentations=build_augmentations(config),
        pixels=images.pixels,
        workers=data.workers,
    )
    used = ("images", "ids", "modality")
    return ({name: batch[name] for name in used} for batch in batches)


def images_per_step(config: Config) -> int:
    """Images of all modalities in one batch."""
    slots = config.data.identities * config.data.images_per_identity
    return slots * len(STREAMS)


def check_sampler(config: Config, images: RunImages, devices: int) -> None:
    """Raises ValueError if no batch can be drawn, or not divided over the devices."""
    data = config.data
    make_sampler(
        images.train.ids,
        images.train.modality,
        identities=data.identities,
        images=data.images_per_identity,
        seed=config.seed,
    )
    slots = data.identities * data.images_per_identity
    if slots % devices:
        raise ValueError(
            f"a batch has {slots} slots (data.identities x data.images_per_identity), "
            f"which {devices} devices cannot share evenly; choose a multiple"
        )


def make_network(config: Config, classes: int, rngs: nnx.Rngs) -> TwoStreamNetwork:
    """The configured network for `classes` training identities."""
    model = config.model
    dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
    options = {"width": model.width, "dtype": dtype, "rngs": rngs}
    non_local = functools.partial(
        NonLocal,
        inner_channels=model.non_local_channels or None,
        dtype=dtype,
        rngs=rngs,
    )
    places = [tuple(map(int, text.split("."))) for text in model.non_local_after]
    trunk = Trunk(
        model.depth,
        last_stride=model.last_stride,
        after={(stage, block): non_local for stage, block in places},
        **options,
    )
    channels = stage_channels(model.depth, model.width)[-1]
    bottleneck = None
    if model.refined:
        bottleneck = InformationBottleneck(
            channels,
            classes,
            hidden=model.bottleneck_hidden,
            features=model.bottleneck_features,
            dtype=dtype,
            rngs=rngs,
        )
    return TwoStreamNetwork(
        stems={stream: Stem(**options) for stream in STREAMS},
        trunk=trunk,
        branches=[Branch(b.name, _pool(b), b.adds) for b in model.branches],
        channels=channels,
        classes=classes,
        bottleneck=bottleneck,
        refined=model.refined,
        rngs=rngs,
    )


def _pool(branch: BranchConfig):
    if branch.pooling == "gem":
        return GeM(branch.p, learnable=branch.learn_p)
    return {"average": average_pool, "max": maximum_pool}[branch.pooling]


def build_augmentations(config: Config):
    """The training augmentations of visible and of infrared images."""
    from jreid.data import augment  # imports TensorFlow

    data = config.data
    geometric = (augment.pad_and_crop(data.padding), augment.flip(data.flip))
    colour, erasing = (), ()
    if data.random_grey:
        colour += (augment.random_grey(data.random_grey),)
    if data.channel_exchange:
        colour += (augment.channel_exchange(data.channel_exchange),)
    if data.random_erasing:
        erasing += (augment.random_erasing(data.random_erasing),)
    return geometric + colour + erasing, geometric + erasing


def build_objective(config: Config):
    """The objective of eq. 9 over the configured branches."""
    loss, model = config.loss, config.model
    terms = paper_terms(
        branches=tuple(branch.name for branch in model.branches),
        refined=model.refined,
        identity_weight=loss.identity,
        label_smoothing=loss.label_smoothing,
        vsd_weight=loss.vsd,
        temperature=loss.vsd_temperature,
        stop_gradient=loss.vsd_stop_gradient,
        wrt_weight=loss.wrt,
        wrt_form=loss.wrt_form,
        wrt_feature=loss.wrt_branch,
        hc_tri_weight=loss.hc_tri,
        hc_tri_margin=loss.hc_tri_margin,
        hc_tri_reduction=loss.hc_tri_reduction,
        hc_tri_feature=loss.hc_tri_branch,
    )
    return make_objective(terms)


def build_schedule(config: Config, steps_per_epoch: int) -> optax.Schedule:
    """The configured learning rate as a function of the step."""
    optimizer = config.optim
    if optimizer.schedule == "cosine":
        return optim.cosine_schedule(
            peak=optimizer.lr,
            total_steps=optimizer.epochs * steps_per_epoch,
            warmup_steps=optimizer.warmup_epochs * steps_per_epoch,
        )
    return optim.learning_rate_schedule(
        peak=optimizer.lr,
        steps_per_epoch=steps_per_epoch,
        warmup_epochs=optimizer.warmup_epochs,
        milestones=optimizer.milestones,
        factors=optimizer.factors,
    )


def build_tx(config: Config, schedule: optax.Schedule) -> optax.GradientTransformation:
    """The configured optimiser with its two groups of parameters."""
    optimizer = config.optim
    factor = optimizer.pretrained_lr_factor
    return optim.make_tx(
        schedule,
        multiplier=lambda path: optim.lr_multiplier(path, pretrained=factor),
        weight_decay=optimizer.weight_decay,
        momentum=optimizer.momentum,
        clip_norm=optimizer.clip_norm or None,
        optimizer=optimizer.optimizer,
    )
