"""Which of a data set's training images a config is trained on."""

from jreid.config import Config
from jreid.data.datasets import Dataset, Images, drop_unpaired
from jreid.data.views import modalities_of


def training_images(config: Config, dataset: Dataset) -> Images:
    """Without identities that lack a modality that the views need, which are named.

    Where a hook between epochs gives the labels no identity is read, and all images
    stay.
    """
    if getattr(config.between_epochs, "classes", 0):
        return dataset.train
    return drop_unpaired(dataset.train, dataset.names, modalities_of(config.views))
