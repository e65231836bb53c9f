"""Tests of the samplers against their definition, counted naively."""

import collections
import itertools
import json
import pathlib
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest

from jreid.data.datasets import Images
from jreid.data.sampling import ByIdentity, PerModality, Sampler
from jreid.data.views import View


def listed(counts: dict[int, tuple[int, int]]) -> Images:
    """Shuffled images, (visible, infrared) of them per identity."""
    rows = [
        (i, m) for i, pair in counts.items() for m in (0, 1) for _ in range(pair[m])
    ]
    ids, modality = np.array(rows)[np.random.default_rng(5).permutation(len(rows))].T
    return Images(np.arange(len(ids)).astype(str), ids, modality + 1, modality)


COUNTS = {10: (6, 5), 11: (4, 9), 15: (8, 4), 40: (2, 4), 41: (5, 1)}
IMAGES = listed(COUNTS)
IDS, MODALITY = IMAGES.ids, IMAGES.modality
TWO = {"visible": View("visible"), "infrared": View("infrared")}
MIXED = {"all": View("shared")}


def sampler(
    seed: int = 3, identities: int = 3, images: int = 4, views: dict[str, View] = TWO
) -> Sampler:
    return PerModality(identities, images).make(IMAGES, views, seed)


def stacked(rows: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(rows.values()), axis=1)


def repeats_only_where_needed(rows: np.ndarray, available: np.ndarray) -> bool:
    """Whether every available row is used as often as any other, or once less."""
    used = np.bincount(rows, minlength=len(IDS))[available]
    return bool(used.sum() == len(rows) and used.max() - used.min() <= 1)


@pytest.mark.parametrize(
    ("identities", "images", "seed", "digest"),
    [(3, 4, 3, 1991425151), (5, 2, 0, 3932153089), (2, 7, 123, 2612993995)],
)
def test_draws_are_those_of_version_0_1(identities, images, seed, digest):
    sample = sampler(seed, identities, images)
    crc = 0
    for step in (*range(20), 99999):
        crc = zlib.crc32(stacked(sample(step)).astype("<i8").tobytes(), crc)
    assert crc == digest


def test_every_batch_has_p_identities_with_k_images_of_each_modality():
    sample = sampler()
    for step in range(200):
        rows = sample(step)
        assert list(rows) == ["visible", "infrared"]
        batch = stacked(rows)
        assert batch.shape == (12, 2)
        assert (IDS[batch[:, 0]] == IDS[batch[:, 1]]).all()
        assert (MODALITY[batch] == [0, 1]).all()
        assert set(collections.Counter(IDS[batch[:, 0]]).values()) == {4}
        assert len(set(IDS[batch[:, 0]])) == 3


def test_images_repeat_only_where_an_identity_has_too_few():
    sample = sampler()
    for step, column in itertools.product(range(100), (0, 1)):
        batch = stacked(sample(step))[:, column]
        for identity in set(IDS[batch]):
            used = collections.Counter(batch[IDS[batch] == identity])
            available = COUNTS[int(identity)][column]
            assert len(used) == min(4, available)
            assert max(used.values()) == -(-4 // available)


@pytest.mark.slow
def test_identities_and_images_are_drawn_uniformly():
    sample = sampler(identities=2, images=2)
    batches = np.stack([stacked(sample(step)) for step in range(4000)])
    drawn = collections.Counter(IDS[batches[:, ::2, 0]].ravel().tolist())
    # Binomial with p = 2/5: a deviation of five standard deviations is no accident.
    assert all(abs(drawn[i] - 1600) < 5 * np.sqrt(4000 * 0.4 * 0.6) for i in COUNTS)
    for m, rows in itertools.product((0, 1), (IDS == 10, IDS == 15)):
        members = np.flatnonzero(rows & (m == MODALITY))
        used = np.bincount(batches[..., m].ravel(), minlength=len(IDS))[members]
        assert used.max() / used.min() < 1.25


@pytest.mark.parametrize(
    ("part", "views"), [(PerModality(3, 4), TWO), (ByIdentity(3, 4), MIXED)]
)
def test_a_step_is_the_same_however_the_run_got_there(part, views):
    def make(seed=3):
        return part.make(IMAGES, views, seed)

    whole = [stacked(make()(step)) for step in range(8)]
    late = make()
    np.testing.assert_array_equal(stacked(late(7)), whole[7])
    np.testing.assert_array_equal(stacked(late(2)), whole[2])
    assert not np.array_equal(whole[2], whole[3])
    assert not np.array_equal(stacked(make(4)(2)), whole[2])


# Other views than one per modality


def test_a_view_with_the_same_image_repeats_the_rows():
    views = TWO | {"again": View("visible", same_image_as="visible")}
    plain, sample = sampler(), sampler(views=views)
    for step in range(20):
        rows = sample(step)
        np.testing.assert_array_equal(rows["again"], rows["visible"])
        assert list(rows) == list(views)
        for name in TWO:
            np.testing.assert_array_equal(rows[name], plain(step)[name])


def test_a_second_view_of_a_modality_shows_other_images_where_there_are_enough():
    views = {"visible": View("visible"), "two": View("visible")} | TWO
    sample = sampler(views=views, identities=4, images=3)
    for step in range(50):
        rows = sample(step)
        np.testing.assert_array_equal(IDS[rows["two"]], IDS[rows["infrared"]])
        assert (MODALITY[rows["two"]] == 0).all()
        for i in range(4):
            both = [rows[name][3 * i : 3 * i + 3] for name in ("visible", "two")]
            identity = IDS[both[0][0]]
            there = np.flatnonzero((identity == IDS) & (MODALITY == 0))
            assert repeats_only_where_needed(np.concatenate(both), there)


def test_views_of_one_modality_alone_need_no_other():
    images = listed({1: (3, 0), 2: (2, 4), 3: (0, 5)})
    views = {"a": View("visible"), "b": View("all", modality="visible")}
    sample = PerModality(2, 2).make(images, views, 0)
    for step in range(20):
        for rows in sample(step).values():
            assert set(images.ids[rows]) == {1, 2}
            assert (images.modality[rows] == 0).all()


def test_labels_take_the_place_of_identities_and_minus_one_is_left_out():
    labels = np.where(IDS == 10, 0, np.where(IDS == 15, 7, IDS))
    labels[np.isin(IDS, (11, 41))] = -1
    labels[np.flatnonzero(IDS == 40)[:2]] = 7  # a cluster of two people
    for part in (PerModality(3, 2), ByIdentity(3, 2)):
        sample = part.make(IMAGES, TWO, 1, labels=labels)
        seen = np.concatenate([stacked(sample(step)) for step in range(60)])
        assert set(labels[seen.ravel()]) == {0, 7, 40}
        assert set(IDS[seen.ravel()]) == {10, 15, 40}
    with pytest.raises(ValueError, match="only 3 of the 3 training identities"):
        PerModality(4, 2).make(IMAGES, TWO, 1, labels=labels)
    with pytest.raises(ValueError, match="only 3 of the 3 training identities"):
        ByIdentity(4, 2).make(IMAGES, MIXED, 1, labels=labels)
    with pytest.raises(ValueError, match="there are 3 labels for 48 images"):
        PerModality(3, 2).make(IMAGES, TWO, 1, labels=labels[:3])


# By identity


def test_by_identity_is_blind_to_modality():
    images, sample = 6, ByIdentity(3, 6).make(IMAGES, MIXED, 0)
    visible = []
    for step in range(200):
        rows = sample(step)["all"]
        assert rows.shape == (18,)
        ids = IDS[rows].reshape(3, images)
        assert (ids == ids[:, :1]).all() and len(set(ids[:, 0])) == 3
        for own in rows.reshape(3, images):
            assert repeats_only_where_needed(own, np.flatnonzero(IDS[own[0]] == IDS))
        visible.append((MODALITY[rows] == 0).sum())
    assert len(set(visible)) > 3


def test_by_identity_draws_each_modality_apart():
    # Clusters of one modality each, as they are found before they are matched.
    images = listed({1: (3, 0), 2: (4, 0), 3: (0, 5), 4: (0, 2), 5: (0, 2)})
    sample = ByIdentity(2, 3).make(images, TWO, 0)
    drawn = collections.Counter()
    for step in range(50):
        rows = sample(step)
        assert set(images.ids[rows["visible"]]) == {1, 2}
        assert (images.modality[rows["infrared"]] == 1).all()
        drawn[tuple(sorted(set(images.ids[rows["infrared"]])))] += 1
    assert set(drawn) == {(3, 4), (3, 5), (4, 5)}
    with pytest.raises(ValueError, match="only 2 of the 5 .* have visible images"):
        ByIdentity(3, 3).make(images, TWO, 0)


# What is refused, and how long an epoch is


def test_an_identity_of_one_modality_is_never_drawn():
    # Five of the six identities can be paired; the sixth is never drawn.
    images = listed(COUNTS | {99: (7, 0)})
    sample = PerModality(5, 1).make(images, TWO, 0)
    for step in range(20):
        assert set(images.ids[sample(step)["visible"]]) == set(COUNTS)


@pytest.mark.parametrize(
    ("part", "views"), [(PerModality(8, 4), TWO), (ByIdentity(8, 4), MIXED)]
)
def test_too_few_identities_name_both_numbers_and_the_override(part, views):
    counts = {1: (2, 2), 2: (2, 2), 3: (2, 2)}
    counts |= {4: (0, 5)} if views is TWO else {}
    with pytest.raises(ValueError) as info:
        part.make(listed(counts), views, 0)
    there = f"only 3 of the {len(counts)}"
    for text in ("identities = 8", there, "--config.sampling.identities=3"):
        assert text in str(info.value)


@pytest.mark.parametrize("part", [PerModality, ByIdentity])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identities": 0}, "identities is 0; allowed is 1 and more"),
        ({"images": -1}, "images is -1; allowed is 1 and more"),
    ],
)
def test_senseless_numbers_are_refused(part, change: dict[str, Any], message):
    with pytest.raises(ValueError, match=f"^{message}"):
        part(**change).check()
    with pytest.raises(ValueError, match="seed is -2"):
        part(2, 2).make(IMAGES, TWO, -2)


def test_mixed_columns_need_another_sampler():
    with pytest.raises(ValueError, match=r"views.all has no modality.* ByIdentity"):
        sampler(views=MIXED)


def test_no_paired_identity_at_all_is_an_error_of_its_own():
    images = listed({1: (2, 0), 2: (0, 2)})
    with pytest.raises(ValueError, match="none of the 2 training identities"):
        PerModality(1, 1).make(images, TWO, 0)


@pytest.mark.parametrize(
    ("visible", "infrared", "identities", "expected"),
    [(22258, 11909, 8, 696), (2060, 2060, 8, 65), (2060, 2060, 6, 86), (9, 64, 4, 5)],
)
def test_steps_per_epoch_are_the_published_ones(
    visible, infrared, identities, expected
):
    modality = np.repeat([0, 1], [visible, infrared])
    images = Images(modality.astype(str), modality, modality, modality)
    assert PerModality(identities, 4).steps_per_epoch(images) == expected


def test_steps_per_epoch_of_pairs_count_each_identitys_rarer_modality():
    images = listed({1: (9, 4), 2: (3, 8), 4: (5, 5), 7: (2, 2)})
    groups = 4 // 2 + 3 // 2 + 5 // 2 + 2 // 2  # of two images of each modality
    assert PerModality(2, 2, epoch="pairs").steps_per_epoch(images) == groups // 2
    assert PerModality(4, 5, epoch="pairs").steps_per_epoch(images) == 1
    regdb = listed(dict.fromkeys(range(206), (10, 10)))
    assert PerModality(12, 5, epoch="pairs").steps_per_epoch(regdb) == 34


def test_an_epoch_of_identities_has_each_once():
    images = listed(dict.fromkeys(range(11), (3, 2)) | {20: (4, 0), 21: (0, 4)})
    part = PerModality(3, 2, epoch="identities")
    assert part.steps_per_epoch(images) == 3  # and two identities are left out
    draw, turns = part.make(images, TWO, 5), []
    for turn in range(4):
        steps = range(3 * turn, 3 * turn + 3)
        seen = np.concatenate([images.ids[draw(step)["visible"]] for step in steps])
        assert len(set(seen)) == 9 and set(seen) <= set(range(11))
        turns.append(tuple(seen))
    assert len(set(turns)) == 4
    regdb = listed(dict.fromkeys(range(206), (10, 10)))
    assert PerModality(8, 4, epoch="identities").steps_per_epoch(regdb) == 25


def test_steps_per_epoch_by_identity_count_every_image():
    assert ByIdentity(3, 5).steps_per_epoch(IMAGES) == 48 // 15 + 1


def test_steps_per_epoch_of_groups_are_those_of_one_pass_over_them():
    """Of MCJA: RegDB has 206 identities of 10 + 10 images; SYSU-MM01's are counted."""
    regdb = listed(dict.fromkeys(range(206), (10, 10)))
    assert ByIdentity(4, 32).steps_per_epoch(regdb) == 33
    assert ByIdentity(4, 32, epoch="groups").steps_per_epoch(regdb) == 51
    groups = 11 // 2 + 13 // 2 + 12 // 2 + 6 // 2 + 6 // 2
    assert ByIdentity(3, 2, epoch="groups").steps_per_epoch(IMAGES) == groups // 3
    # each identity has one group, two of them with an image too few
    assert ByIdentity(2, 7, epoch="groups").steps_per_epoch(IMAGES) == 5 // 2
    assert ByIdentity(5, 50, epoch="groups").steps_per_epoch(IMAGES) == 1
    assert ByIdentity(8, 50, epoch="groups").steps_per_epoch(IMAGES) == 1

    stored = pathlib.Path(__file__).parent / "data" / "sysu_mm01_train.json"
    counts = np.array(list(json.loads(stored.read_text())["images"].values())).sum(0)
    sysu = listed({i: (count, 0) for i, count in enumerate(counts)})
    steps = ByIdentity(8, 16, epoch="groups").steps_per_epoch(sysu)
    assert steps == 243
    rng = np.random.default_rng(0)
    for _ in range(5):  # the released sampler, which ends with less than a batch left
        left, drawn = [max(count // 16, 1) for count in counts], 0
        while np.count_nonzero(left) >= 8:
            for i in rng.choice(np.flatnonzero(left), 8, replace=False):
                left[i] -= 1
            drawn += 1
        assert steps - 1 <= drawn <= steps


def test_readers_and_samplers_import_neither_tensorflow_nor_jax():
    code = (
        "import sys, jreid.data.data_sets, jreid.data.sampling\n"
        "assert not {'tensorflow', 'jax', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_seed_draws_another_order_of_identities():
    images = listed(dict.fromkeys(range(11), (3, 2)))
    part = PerModality(3, 2, epoch="identities")
    one, other = (part.make(images, TWO, seed)(0)["visible"] for seed in (5, 6))
    assert images.ids[one].tolist() != images.ids[other].tolist()
