"""Batches of clusters, more of infrared ones than of visible ones."""

import numpy as np
import pytest

from jreid.data.cluster_sampling import PerCluster
from jreid.data.datasets import Images
from jreid.data.views import View

VIEWS = {
    "visible": View("visible"),
    "channel": View("visible", same_image_as="visible"),
    "infrared": View("infrared"),
}
MODALITY = np.repeat([0, 1], [60, 40])


def images(ids=None):
    ids = np.repeat(np.arange(10), 10) if ids is None else ids
    paths = np.array([f"{k}.jpg" for k in range(100)])
    return Images(paths=paths, ids=ids, cameras=np.zeros(100, int), modality=MODALITY)


def labels():
    """Six clusters of visible images, two of infrared, and images in none."""
    found = np.concatenate([np.arange(60) % 7, np.arange(40) % 3]) - 1
    return found


def test_each_modality_has_its_own_clusters_evenly_and_two_views_show_the_same():
    sampler = PerCluster(visible=4, infrared=6, images=5).make(
        images(), VIEWS, seed=1, labels=labels()
    )
    seen = set()
    for step in range(20):
        rows = sampler(step)
        assert [len(rows[view]) for view in VIEWS] == [20, 20, 30]
        np.testing.assert_array_equal(rows["visible"], rows["channel"])
        for view, modality, distinct in (("visible", 0, 4), ("infrared", 1, 2)):
            assert (MODALITY[rows[view]] == modality).all()
            own = labels()[rows[view]].reshape(-1, 5)
            assert (own == own[:, :1]).all() and (own >= 0).all()
            counts = np.unique(own[:, 0], return_counts=True)[1]
            assert len(counts) == distinct and np.ptp(counts) == 0
        for group in rows["visible"].reshape(4, 5):
            assert len(set(group)) == 5
        seen |= set(labels()[rows["visible"]])
        again = sampler(step)
        assert all((rows[view] == again[view]).all() for view in VIEWS)
    assert seen == set(range(6))


@pytest.mark.parametrize("of_labels", [None, labels()])
def test_identities_are_not_read(of_labels):
    part = PerCluster(visible=2, infrared=3, images=4)
    shuffled = np.random.default_rng(0).integers(0, 99, 100)
    for step in range(3):
        one, other = (
            part.make(images(ids), VIEWS, 0, of_labels)(step)
            for ids in (None, shuffled)
        )
        assert all((one[view] == other[view]).all() for view in VIEWS)


def test_what_cannot_be_drawn_is_refused():
    part = PerCluster()
    assert part.steps_per_epoch(images()) == 200
    with pytest.raises(ValueError, match="views.mixed has no modality"):
        part.make(images(), {"mixed": View("any")}, 0)
    with pytest.raises(ValueError, match="none of the infrared images is in a cluster"):
        part.make(images(), VIEWS, 0, np.where(MODALITY, -1, 0))
    with pytest.raises(ValueError, match="steps is 0"):
        PerCluster(steps=0).check()


def test_another_seed_draws_other_clusters():
    part = PerCluster(visible=4, infrared=6, images=5)
    one, other = (part.make(images(), VIEWS, seed, labels())(0) for seed in (1, 2))
    assert all((one[view] != other[view]).any() for view in VIEWS)
