"""ADCA: no labels, clusters of each modality between epochs, then pairs of clusters.

Paper: Yang, Ye, Chen, Wu, "Augmented Dual-Contrastive Aggregation Learning for
Unsupervised Visible-Infrared Person Re-Identification", ACM MM 2022. Code:
yangbincv/ADCA, MIT; only its facts are used here.

Published (R-1 / mAP, not re-ranked, not verified, not yet reproduced here):

    SYSU-MM01 all search 45.5 / 42.7, indoor search 50.6 / 59.1
    RegDB visible to infrared 67.2 / 64.1

Before each epoch the training images of each modality are embedded, with their mirror
images, and clustered by DBSCAN on k-reciprocal Jaccard distances. A memory of each
cluster's vector is what images are contrasted with, and follows them. In the second
stage clusters that look alike across the modalities are paired, greedily by votes of
their images, and both vectors of a pair become mostly the infrared one. Views and
augmentations are CAJ's, the network is AGW's without non-local blocks and classifier.
A batch has 8 visible clusters and 16 infrared ones with 16 images each, those of the
visible in two views. DBSCAN's neighbours are within .6, on RegDB within .3.

Ours is the released form, of which this differs. Adam's running means and the last
weights go on into the second stage, which begins with its best ones by the test set
there. Normalisation is over the whole batch, not over each GPU's part. Images are
resized as CAJ's. The mean vector of an image and its mirror image is of length 1 in
clustering too. Neighbours are counted as in our re-ranking, k1 and the image itself. A
batch's clusters are drawn anew, and their images whatever the camera is, where theirs
pass in a permutation and prefer images of other cameras than the first one's. No
identity is read, so that people who lack a modality are trained on too. From random
weights, as in the demo, the first clusters are not people, and short trainings do not
get beyond that: it needs pretrained ones. And `pip install 'jreid[clusters]'`.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.configs.systems.caj import caj
from jreid.data.cluster_sampling import PerCluster
from jreid.data.regdb import RegDB
from jreid.losses.cluster_contrast import ClusterContrast
from jreid.models.embedding import Embedding
from jreid.models.pooling import GeM
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.cluster_memory import ClusterMemory
from jreid.training.clusters import Clusters
from jreid.training.optimizers import Adam
from jreid.training.phases import Phase
from jreid.training.schedules import Steps

STAGE, DROPS = 50, ((20, 0.1), (40, 0.01))  # epochs


def adca(data: Any) -> Config:
    """Unsupervised: clusters of each modality, then pairs of them (ACM MM 2022)."""
    pool = GeM(p=3.0, learn=False, form="agw")
    return Config(
        name="adca",
        data=data,
        size=(288, 144),
        resize="lanczos",
        views=caj(data).views,
        sampling=PerCluster(
            visible=8,
            infrared=16,
            images=16,
            steps=100 if isinstance(data, RegDB) else 200,
        ),
        network=TwoStream(
            branches=(Branch("v1", pool, classifier=None),),
            trunk=ResNet(depth=50, last_stride=1),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "visible": ClusterContrast("visible", temperature=0.05),
            "infrared": ClusterContrast("infrared", temperature=0.05),
        },
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4, groups=()),
        schedule=Steps(epochs=2 * STAGE, warmup=0, drops=()),  # each stage has its own
        phases=(stage(STAGE, DROPS), stage(STAGE, DROPS)),
        between_epochs=Clusters(classes=2000, eps=reach(data), aggregate_from=STAGE),
        memory=ClusterMemory(classes=2000, keep=0.1),
        embedding=Embedding(flip=True),
    )


def reach(data: Any) -> float:
    """DBSCAN's largest distance of neighbours, as in the script of the data set."""
    return 0.3 if isinstance(data, RegDB) else 0.6


def stage(epochs: int, drops: tuple[tuple[int, float], ...]) -> Phase:
    """Epochs with a learning rate of their own."""
    return Phase(epochs, schedule=Steps(epochs=epochs, warmup=0, drops=drops))


def small_adca(config: Config) -> Config:
    """Made small for the demo: three epochs in each stage, of smaller batches."""
    config = small(config)
    config.sampling = PerCluster(visible=4, infrared=8, images=8, steps=40)
    config.phases = (Phase(3), Phase(3))
    if config.between_epochs.aggregate_from >= 0:
        config.between_epochs.aggregate_from = 3
    return config


SYSTEMS = {"adca": adca}
DEMOS = {"adca": small_adca}
PUBLISHED = {
    "adca": {
        "SYSU all": (45.5, 42.7),
        "SYSU indoor": (50.6, 59.1),
        "RegDB V-I": (67.2, 64.1),
    }
}
