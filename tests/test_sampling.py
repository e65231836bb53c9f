"""Tests of the P x K sampler against its definition, counted naively."""

import collections
import itertools
import subprocess
import sys

import numpy as np
import pytest

from jreid.data import sampling


def columns(counts: dict[int, tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled ids and modality with (visible, infrared) images per identity."""
    rows = [
        (i, m) for i, pair in counts.items() for m in (0, 1) for _ in range(pair[m])
    ]
    ids, modality = np.array(rows)[np.random.default_rng(5).permutation(len(rows))].T
    return ids, modality


COUNTS = {10: (6, 5), 11: (4, 9), 15: (8, 4), 40: (2, 4), 41: (5, 1)}
IDS, MODALITY = columns(COUNTS)


def sampler(seed: int = 3, identities: int = 3, images: int = 4) -> sampling.Sampler:
    return sampling.make_sampler(
        IDS, MODALITY, identities=identities, images=images, seed=seed
    )


def test_every_batch_has_p_identities_with_k_images_of_each_modality():
    sample = sampler()
    for step in range(200):
        batch = sample(step)
        assert batch.shape == (12, 2)
        assert (IDS[batch[:, 0]] == IDS[batch[:, 1]]).all()
        assert (MODALITY[batch] == [0, 1]).all()
        assert set(collections.Counter(IDS[batch[:, 0]]).values()) == {4}
        assert len(set(IDS[batch[:, 0]])) == 3


def test_images_repeat_only_where_an_identity_has_too_few():
    sample = sampler()
    for step, column in itertools.product(range(100), (0, 1)):
        batch = sample(step)[:, column]
        for identity in set(IDS[batch]):
            used = collections.Counter(batch[IDS[batch] == identity])
            available = COUNTS[int(identity)][column]
            assert len(used) == min(4, available)
            assert max(used.values()) == -(-4 // available)


def test_identities_and_images_are_drawn_uniformly():
    sample = sampler(identities=2, images=2)
    batches = np.stack([sample(step) for step in range(4000)])
    drawn = collections.Counter(IDS[batches[:, ::2, 0]].ravel().tolist())
    # Binomial with p = 2/5: a deviation of five standard deviations is no accident.
    assert all(abs(drawn[i] - 1600) < 5 * np.sqrt(4000 * 0.4 * 0.6) for i in COUNTS)
    for m, rows in itertools.product((0, 1), (IDS == 10, IDS == 15)):
        members = np.flatnonzero(rows & (m == MODALITY))
        used = np.bincount(batches[..., m].ravel(), minlength=len(IDS))[members]
        assert used.max() / used.min() < 1.25


def test_a_step_is_the_same_however_the_run_got_there():
    whole = [sampler()(step) for step in range(8)]
    late = sampler()
    np.testing.assert_array_equal(late(7), whole[7])
    np.testing.assert_array_equal(late(2), whole[2])
    assert not np.array_equal(whole[2], whole[3])
    assert not np.array_equal(sampler(seed=4)(2), whole[2])


def test_an_identity_of_one_modality_is_never_drawn():
    # Five of the six identities can be paired; the sixth is never drawn.
    ids, modality = columns(COUNTS | {99: (7, 0)})
    sample = sampling.make_sampler(ids, modality, identities=5, images=1, seed=0)
    assert all(set(ids[sample(step)[:, 0]]) == set(COUNTS) for step in range(20))


def test_too_few_identities_name_both_numbers_and_the_override():
    ids, modality = columns({1: (2, 2), 2: (2, 2), 3: (2, 2), 4: (0, 5)})
    with pytest.raises(ValueError) as info:
        sampling.make_sampler(ids, modality, identities=8, images=4, seed=0)
    for part in ("identities = 8", "only 3 of the 4", "--config.data.identities=3"):
        assert part in str(info.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identities": 0}, r"identities \(P\) is 0"),
        ({"images": -1}, r"images \(K\) is -1"),
        ({"seed": -2}, "seed is -2"),
    ],
)
def test_senseless_numbers_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        sampler(**change)


def test_no_paired_identity_at_all_is_an_error_of_its_own():
    ids, modality = columns({1: (2, 0), 2: (0, 2)})
    with pytest.raises(ValueError, match="none of the 2 training identities"):
        sampling.make_sampler(ids, modality, identities=1, images=1, seed=0)


@pytest.mark.parametrize(
    ("visible", "infrared", "identities", "expected"),
    [(22258, 11909, 8, 696), (2060, 2060, 8, 65), (2060, 2060, 6, 86), (9, 64, 4, 5)],
)
def test_steps_per_epoch_are_the_published_ones(
    visible, infrared, identities, expected
):
    modality = np.repeat([0, 1], [visible, infrared])
    steps = sampling.steps_per_epoch(modality, identities=identities, images=4)
    assert steps == expected


def test_readers_and_sampler_import_neither_tensorflow_nor_jax():
    code = (
        "import sys, jreid.data.datasets, jreid.data.sampling;"
        "assert not {'tensorflow', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
