"""Batches of pairs."""

import numpy as np
import pytest

from jreid.data.datasets import Images
from jreid.data.pair_sampling import RandomPairs
from jreid.data.views import View

VIEWS = {"visible": View("visible"), "infrared": View("infrared")}


def images():
    ids = np.repeat(np.arange(20), 6)
    modality = np.tile([0, 0, 0, 0, 1, 1], 20)
    modality[ids == 3] = 0  # one identity lacks infrared images
    return Images(
        paths=np.array([f"{k}.jpg" for k in range(len(ids))]),
        ids=ids,
        cameras=np.zeros(len(ids), int),
        modality=modality,
    )


def test_half_of_the_pairs_show_one_identity_and_the_step_decides():
    found = images()
    sampler = RandomPairs(pairs=64).make(found, VIEWS, seed=1)
    alike = []
    for step in range(40):
        rows = sampler(step)
        assert all(len(rows[view]) == 64 for view in VIEWS)
        assert (found.modality[rows["visible"]] == 0).all()
        assert (found.modality[rows["infrared"]] == 1).all()
        same = found.ids[rows["visible"]] == found.ids[rows["infrared"]]
        assert same[:32].all() and (found.ids[rows["visible"][:32]] != 3).all()
        alike.append(same[32:].mean())
        again = sampler(step)
        assert all((rows[view] == again[view]).all() for view in VIEWS)
    assert 0 < np.mean(alike) < 0.1
    assert (sampler(0)["visible"] != sampler(1)["visible"]).any()


def test_labels_replace_identities():
    found = images()
    labels = np.where(found.ids < 4, found.ids, -1)
    rows = RandomPairs(pairs=8).make(found, VIEWS, seed=0, labels=labels)(0)
    assert (labels[np.concatenate(list(rows.values()))] >= 0).all()


def test_steps_per_epoch():
    assert RandomPairs(pairs=16).steps_per_epoch(images()) == 82 // 16 + 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="one view of each"):
        RandomPairs().make(images(), {"visible": View("visible")}, seed=0)
    with pytest.raises(ValueError, match="no identity"):
        RandomPairs().make(images(), VIEWS, seed=0, labels=images().modality)
    with pytest.raises(ValueError, match="alike is 2"):
        RandomPairs(alike=2.0).check()


def test_another_seed_draws_other_pairs():
    one, other = (RandomPairs(8).make(images(), VIEWS, seed)(0) for seed in (1, 2))
    assert all((one[view] != other[view]).any() for view in VIEWS)


@pytest.mark.parametrize(("alike", "count"), [(0.0, 0), (0.29, 3), (1.0, 10)])
def test_so_many_pairs_show_one_identity(alike, count):
    found = images()
    sampler = RandomPairs(10, alike).make(found, VIEWS, seed=1)
    rows = [sampler(step) for step in range(60)]
    same = np.mean(
        [found.ids[x["visible"]] == found.ids[x["infrared"]] for x in rows], 0
    )
    assert (same[:count] == 1).all() and (same[count:] < 0.4).all() and len(same) == 10
