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

from jreid.config import BranchConfig, Config
from jreid.data import datasets
from jreid.data.folder import read_folder
from jreid.data.llcm import read_llcm
from jreid.data.regdb import read_regdb
from jreid.data.sampling import Sampler, make_sampler, steps_per_epoch
from jreid.data.synvi import synvi_root
from jreid.data.sysu_mm01 import read_sysu_mm01
from jreid.models.bottleneck import InformationBottleneck
from jreid.models.non_local import NonLocal
from jreid.models.pooling import GeM, average_pool, maximum_pool
from jreid.models.resnet import Stem, Trunk, stage_channels
from jreid.models.two_stream import Branch, TwoStreamNetwork
from jreid.progress import Progress
from jreid.training import optim
from jreid.training.objective import make_objective, paper_terms

STREAMS = datasets.MODALITY_NAMES  # stem of each column of a batch's slots


def quieten_tensorflow() -> None:
    """Before TensorFlow is first imported: no notices, and no oneDNN to notify of."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def read_dataset(config: Config) -> datasets.Dataset:
    """Reads the lists of the configured data set; opens no image."""
    data = config.data
    if data.tfds:
        from jreid.data.records import read_built  # imports TensorFlow

        return read_built(
            Path(data.tfds).expanduser().absolute(),
            "synvi" if data.root == "synvi" else data.dataset,
            trial=data.trial,
            train_on_val=data.train_on_val,
        )
    if not data.root:
        raise ValueError(
            "data.root is empty; name the data set's folder with "
            "--config.data.root=FOLDER, or where it was built for TFDS with "
            "--config.data.tfds=FOLDER, or use the embedded set with "
            "--config.data.root=synvi"
        )
    root = synvi_root() if data.root == "synvi" else Path(data.root).expanduser()
    if data.dataset == "regdb":
        return read_regdb(root, trial=data.trial)
    if data.dataset == "llcm":
        return read_llcm(root)
    if data.dataset == "folder":
        return read_folder(root, test_fraction=data.test_fraction)
    return read_sysu_mm01(root, train_on_val=data.train_on_val)


@dataclass(frozen=True)
class RunImages:
    """The images of a run, every file of them decoded once and found readable."""

    train: datasets.Images
    labels: np.ndarray  # of `train`: 0 to len(identities) - 1
    identities: np.ndarray  # the data set's numbers of the training identities
    names: list[str]  # of them, where the data set names them
    digest: int  # of the names of `train`'s files
    pixels: np.ndarray | None  # of `train`, if data.cache is set
    val: datasets.Images
    test: datasets.Images
    steps_per_epoch: int


def read_images(config: Config) -> RunImages:
    """Lists and checks all images before any work: a bad file is met now, not later."""
    data, dataset = config.data, read_dataset(config)
    paired = datasets.drop_unpaired(dataset.train, dataset.names)
    train = readable(config, paired, "training", keep_pixels=data.cache)
    val = dataset.val
    if config.evaluation.every_epochs:
        if not len(val):
            raise ValueError(
                "evaluation.every_epochs needs validation identities, and "
                f"{data.root} has no split val; add one, or set it to 0"
            )
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
        names=[dataset.names[i] for i in identities.tolist() if dataset.names],
        digest=digest(train.images),
        pixels=train.pixels,
        val=val,
        test=readable(config, dataset.test, "test").images,
        steps_per_epoch=config.optim.steps_per_epoch or steps,
    )


def digest(images: datasets.Images) -> int:
    """CRC-32 of the names below the data set's folder, which stay when it is moved."""
    folder = os.path.commonpath(images.paths.tolist()) if len(images) else ""
    names = [Path(path).relative_to(folder).as_posix() for path in images.paths]
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


def training_batches(
    config: Config, images: RunImages, start: int, stop: int, slots: slice | None = None
):
    """The batches of steps start to stop - 1, without what the step does not use.

    With `slots` only these rows of each: the share of one of several processes.
    """
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
        slots=slots,
    )
    used = ("images", "ids", "modality")
    return ({name: batch[name] for name in used} for batch in batches)


def slots(config: Config) -> int:
    """Rows of a batch: pairs of a visible and an infrared image of one identity."""
    return config.data.identities * config.data.images_per_identity


def batch_files(config: Config, images: RunImages, step: int) -> dict:
    """The files in the batch of `step`, counted from 1 as in the log: JSON values."""
    batch = _sampler(config, images)(step - 1)
    rows = [
        {
            "slot": slot,
            "path": str(images.train.paths[row]),
            "identity": int(images.train.ids[row]),
            "camera": int(images.train.cameras[row]),
            "modality": STREAMS[images.train.modality[row]],
        }
        for slot, pair in enumerate(batch.tolist())
        for row in pair
    ]
    return {"step": step, "seed": config.seed, "images": rows}


def images_per_step(config: Config) -> int:
    """Images of all modalities in one batch."""
    return slots(config) * len(STREAMS)


def check_sampler(config: Config, images: RunImages, devices: int) -> None:
    """Raises ValueError if no batch can be drawn, or not divided over the devices."""
    _sampler(config, images)
    rows = slots(config)
    if rows % devices:
        raise ValueError(
            f"a batch has {rows} slots (data.identities x data.images_per_identity), "
            f"which {devices} devices cannot share evenly; choose a multiple"
        )


def _sampler(config: Config, images: RunImages) -> Sampler:
    return make_sampler(
        images.train.ids,
        images.train.modality,
        identities=config.data.identities,
        images=config.data.images_per_identity,
        seed=config.seed,
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
        rematerialise=model.rematerialise,
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
