"""TFDS builders of SYSU-MM01, RegDB, LLCM and SynVI; importing this registers them.

    import jreid.data.builders
    tfds.load("synvi", split="test")
    tfds.data_source("regdb/trial_3", builder_kwargs={"file_format": "array_record"})

An example holds the image's file byte for byte: TFDS decodes it when it is read,
unless `decoders={"image": tfds.decode.SkipDecoding()}` is given. The programs here
read data sets in array_record files, which allow random access (`python -m
jreid.prepare` writes them).
"""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jreid.data import llcm, regdb, sysu_mm01
from jreid.data.datasets import MODALITY_NAMES, Dataset, Images
from jreid.data.records import LISTS, VERSION, split_name
from jreid.data.synvi import synvi_root
from jreid.evaluation.protocols.regdb import SPLITS


class _ImagesBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What the builders share: the images of a Dataset as examples."""

    VERSION = tfds.core.Version(VERSION)
    # Where TFDS would look for checksums of downloads: there are none, and it would
    # look with importlib_resources, which it does not install on Python 3.11.
    code_path = None
    DESCRIPTION, HOMEPAGE = "", ""

    def read(self, root: pathlib.Path) -> Dataset:
        """The Dataset in the folder `root`."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(),  # stored as the file is
                "id": np.int64,
                "camera": np.int64,
                "modality": tfds.features.ClassLabel(names=list(MODALITY_NAMES)),
                "path": tfds.features.Text(),  # relative to the data set's folder
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=features,
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager):
        root = self._root(dl_manager)
        dataset = self.read(root)
        return {
            name: self._generate_examples(images, root)
            for name in LISTS
            if len(images := getattr(dataset, name))
        }

    def _root(self, dl_manager) -> pathlib.Path:
        try:
            return pathlib.Path(dl_manager.manual_dir)
        except AssertionError as error:  # the folder is missing or empty
            raise FileNotFoundError(str(error)) from None

    def _generate_examples(
        self, images: Images, root: pathlib.Path
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Keys and examples; the key is the row, since a list may repeat a path."""
        for row, path in enumerate(images.paths.tolist()):
            yield (
                row,
                {
                    "image": path,
                    "id": images.ids[row],
                    "camera": images.cameras[row],
                    "modality": int(images.modality[row]),
                    "path": pathlib.Path(path).relative_to(root).as_posix(),
                },
            )


class SysuMm01(_ImagesBuilder):
    """SYSU-MM01: 296 training, 99 validation and 96 test identities."""

    DESCRIPTION = "Visible and infrared pedestrians in six cameras, 491 identities."
    HOMEPAGE = "https://github.com/wuancong/SYSU-MM01"
    MANUAL_DOWNLOAD_INSTRUCTIONS = sysu_mm01.LAYOUT.format(root="manual_dir")

    def read(self, root: pathlib.Path) -> Dataset:
        """The lists apart: `train` without the validation identities."""
        return sysu_mm01.read_sysu_mm01(root, train_on_val=False)


class Synvi(_ImagesBuilder):
    """SynVI, the embedded synthetic set; nothing has to be downloaded."""

    DESCRIPTION = "Synthetic visible and near-infrared pedestrians, 260 identities."

    def read(self, root: pathlib.Path) -> Dataset:
        """As SYSU-MM01, whose layout it has."""
        return sysu_mm01.read_sysu_mm01(root, train_on_val=False)

    def _root(self, dl_manager) -> pathlib.Path:
        return synvi_root()


class RegdbConfig(tfds.core.BuilderConfig):
    """One of the ten splits of RegDB."""

    def __init__(self, split: int):
        name = split_name(split)
        super().__init__(name=name, description=f"Split {split} of ten.")
        self.split = split


class Regdb(_ImagesBuilder):
    """RegDB: `regdb/trial_1` to `regdb/trial_10`; an id is a label of its list."""

    BUILDER_CONFIGS = [RegdbConfig(split) for split in SPLITS]
    DESCRIPTION = "Visible and thermal pedestrians, 412 identities, ten splits."
    HOMEPAGE = "http://dm.dongguk.edu/link.html"
    MANUAL_DOWNLOAD_INSTRUCTIONS = regdb.LAYOUT.format(root="manual_dir")

    def read(self, root: pathlib.Path) -> Dataset:
        """The split of the builder's config."""
        config = self.builder_config
        assert isinstance(config, RegdbConfig)
        return regdb.read_regdb(root, split=config.split)


class Llcm(_ImagesBuilder):
    """LLCM: 713 training and 351 test identities; an id of `train` is a label."""

    DESCRIPTION = (
        "Visible and near-infrared pedestrians in low light, 1,064 identities."
    )
    HOMEPAGE = "https://github.com/ZYK100/LLCM"
    MANUAL_DOWNLOAD_INSTRUCTIONS = llcm.LAYOUT.format(root="manual_dir")

    def read(self, root: pathlib.Path) -> Dataset:
        """The whole set."""
        return llcm.read_llcm(root)


BUILDERS = {"sysu_mm01": SysuMm01, "regdb": Regdb, "llcm": Llcm, "synvi": Synvi}


def make_builder(
    folder: str | os.PathLike[str], name: str, split: int = 1
) -> tfds.core.DatasetBuilder:
    """The builder that reads and writes below `folder`; `split` is RegDB's."""
    options = {"config": split_name(split)} if name == "regdb" else {}
    return BUILDERS[name](data_dir=os.fspath(folder), **options)
