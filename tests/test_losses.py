"""Losses against naive loops, finite differences, PyTorch and hand-made figures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses.batch_hard import batch_hard_triplet
from jreid.losses.centres import hetero_center_triplet
from jreid.losses.distillation import variational_self_distillation
from jreid.losses.identity import identity
from jreid.losses.primitives import (
    agw_masked_softmax,
    euclidean_distances,
    farthest,
    group_means,
    masked_softmax,
    nearest,
)
from jreid.losses.weighted_triplet import weighted_regularized_triplet

# Unequal counts, scattered order; identity 7 is visible only, 9 infrared only.
IDS = np.array([3, 5, 3, 7, 5, 3, 5, 9, 3, 5, 8, 8, 8])
MODALITY = np.array([0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1])


def make_features(scale=1.0, n=13, d=6, seed=0):
    return scale * np.random.default_rng(seed).normal(size=(n, d))


def naive_softmax(logits):
    exponentials = [np.exp(x - max(logits)) for x in logits]
    return [x / sum(exponentials) for x in exponentials]


def agw_softmax(logits, largest):
    exponentials = [np.exp(x - largest) for x in logits]
    return [x / (sum(exponentials) + 1e-6) for x in exponentials]


def naive_wrt(features, ids, form):
    total = 0.0
    for i, anchor in enumerate(features):
        positives, negatives = [], []
        for j, other in enumerate(features):
            distance = np.sqrt(
                sum((x - y) ** 2 for x, y in zip(anchor, other, strict=True))
            )
            (positives if ids[i] == ids[j] else negatives).append(distance)
        if not negatives:
            continue
        negated = [-d for d in negatives]
        if form == "agw":
            wp, wn = agw_softmax(positives, max(positives)), agw_softmax(negated, 0.0)
        else:
            wp, wn = naive_softmax(positives), naive_softmax(negated)
        gap = np.dot(wp, positives) - np.dot(wn, negatives)
        total += np.log(1 + np.exp(gap))
    return total / len(features)


def naive_hc_tri(features, ids, modality, margin, reduction):
    groups = {}
    for feature, i, m in zip(features, ids, modality, strict=True):
        groups.setdefault((int(i), int(m)), []).append(feature)
    centers = {key: np.mean(group, axis=0) for key, group in groups.items()}
    hinges = []
    for (i, m), center in centers.items():
        if (i, 1 - m) not in centers:
            continue
        positive = np.linalg.norm(center - centers[i, 1 - m])
        nearest = min(
            (np.linalg.norm(center - c) for (j, _), c in centers.items() if j != i),
            default=np.inf,
        )
        hinges.append(max(margin + positive - nearest, 0.0))
    return np.mean(hinges) if reduction == "mean" else np.sum(hinges)


def assert_gradient_matches_differences(function, x, step=1e-5):
    """Compares slopes along random directions, in float64."""
    with jax.enable_x64(True):
        function = jax.jit(function)
        gradient = np.asarray(jax.jit(jax.grad(function))(jnp.asarray(x)))
        rng = np.random.default_rng(1)
        for _ in range(5):
            direction = rng.normal(size=x.shape)
            forward = float(function(jnp.asarray(x + step * direction)))
            backward = float(function(jnp.asarray(x - step * direction)))
            slope = (forward - backward) / (2 * step)
            np.testing.assert_allclose(
                np.sum(gradient * direction), slope, rtol=1e-5, atol=1e-8
            )


# --- Primitives ---------------------------------------------------------------------


def test_euclidean_distances_match_loops():
    a, b = make_features(n=4), make_features(n=5, seed=1)
    expected = [[np.sqrt(np.sum((x - y) ** 2)) for y in b] for x in a]
    actual = euclidean_distances(jnp.asarray(a, "f4"), jnp.asarray(b, "f4"))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_distances_survive_a_common_offset():
    features = make_features() + 1000.0
    exact = np.linalg.norm(features[:, None] - features[None], axis=2)
    features = jnp.asarray(features, "f4")
    actual = euclidean_distances(features, features)
    off_diagonal = ~np.eye(len(exact), dtype=bool)
    np.testing.assert_allclose(actual[off_diagonal], exact[off_diagonal], rtol=1e-3)


def test_zero_distance_has_zero_gradient():
    features = jnp.ones((3, 4))
    gradient = jax.grad(lambda x: jnp.sum(euclidean_distances(x, x)))(features)
    np.testing.assert_array_equal(gradient, np.zeros((3, 4)))


def test_group_means_and_extremes_by_hand():
    features = jnp.asarray([[1.0, 2.0], [3.0, 6.0], [5.0, 0.0]])
    mask = jnp.asarray([[True, True, False], [False, False, False]])
    means = group_means(features, mask)
    np.testing.assert_allclose(means, [[2.0, 4.0], [0.0, 0.0]])
    distances = jnp.asarray([[1.0, 2.0, 9.0], [1.0, 2.0, 3.0]])
    np.testing.assert_allclose(farthest(distances, mask), [2.0, 0.0])
    np.testing.assert_allclose(nearest(distances, mask), [1.0, np.inf])


def test_masked_softmax_matches_loop():
    logits = jnp.asarray([[1.0, 1e4, -1e4, 3.0], [1.0, 2.0, 3.0, 4.0]])
    mask = jnp.asarray([[True, False, True, True], [False] * 4])
    weights = masked_softmax(logits, mask)
    expected = np.zeros((2, 4))
    expected[0, [0, 2, 3]] = naive_softmax([1.0, -1e4, 3.0])
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "distance, total", [(10, 0.9996), (16, 0.86), (17.8, 0.51), (25, 7.8e-4)]
)
def test_agw_negative_weights_fade(distance, total):
    # A batch of 8 identities with 4 + 4 images: 56 of 64 are negatives.
    mask = jnp.asarray([[False] * 8 + [True] * 56])
    logits = jnp.full((1, 64), -float(distance))
    actual = jnp.sum(agw_masked_softmax(logits, mask))
    np.testing.assert_allclose(actual, total, rtol=6e-3)
    np.testing.assert_allclose(jnp.sum(masked_softmax(logits, mask)), 1.0, 1e-6)


# --- Identity -----------------------------------------------------------------------


def test_identity_matches_loop():
    logits, ids = make_features(n=5, d=4), np.array([0, 3, 1, 1, 2])
    expected = 0.0
    for row, label in zip(logits, ids, strict=True):
        expected -= np.log(np.exp(row[label]) / np.sum(np.exp(row))) / 5
    actual = identity(jnp.asarray(logits, "f4"), jnp.asarray(ids))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.torch
def test_identity_matches_torch(smoothing):
    torch = pytest.importorskip("torch")
    logits, ids = make_features(3.0, n=7, d=5), np.array([0, 3, 1, 1, 2, 4, 4])
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(ids), label_smoothing=smoothing
    )
    actual = identity(
        jnp.asarray(logits, "f4"), jnp.asarray(ids), label_smoothing=smoothing
    )
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5)


# --- Weighted regularised triplet ---------------------------------------------------


@pytest.mark.parametrize("form", ["softmax", "agw"])
@pytest.mark.parametrize("scale", [0.3, 6.0])
def test_wrt_matches_loops(form, scale):
    features = make_features(scale)
    actual = weighted_regularized_triplet(
        jnp.asarray(features, "f4"), jnp.asarray(IDS), form=form
    )
    np.testing.assert_allclose(actual, naive_wrt(features, IDS, form), rtol=1e-4)


def test_wrt_forms_differ_on_large_distances():
    # Otherwise the parity option would be tested by nothing.
    features = make_features(6.0)
    gap = naive_wrt(features, IDS, "agw") - naive_wrt(features, IDS, "softmax")
    assert gap > 0.1


@pytest.mark.parametrize("form", ["softmax", "agw"])
def test_wrt_gradient(form):
    def loss(features):
        return weighted_regularized_triplet(features, jnp.asarray(IDS), form=form)

    assert_gradient_matches_differences(loss, make_features(2.0))


def test_wrt_without_negatives_is_zero():
    def loss(features):
        return weighted_regularized_triplet(features, jnp.zeros(4, int))

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(make_features(n=4), "f4"))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((4, 6)))


def test_wrt_refuses_unknown_form():
    with pytest.raises(ValueError, match="'hard'.*'softmax' and 'agw'"):
        weighted_regularized_triplet(jnp.zeros((2, 3)), jnp.zeros(2, int), form="hard")


def test_wrt_of_one_identity_in_agws_form_is_agws_value():
    # AGW's loss.py ends with a soft margin of the gap, whatever the negatives.
    features = make_features(n=4)
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    weights = np.exp(distances - distances.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True) + 1e-6
    expected = np.log(1 + np.exp((weights * distances).sum(axis=1))).mean()
    actual = weighted_regularized_triplet(
        jnp.asarray(features, "f4"), jnp.zeros(4, int), form="agw"
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


# --- Batch-hard triplet -------------------------------------------------------------


def naive_batch_hard(features, ids, margin):
    losses = []
    for i, anchor in enumerate(features):
        gaps = [np.linalg.norm(anchor - other) for other in features]
        positive = max(g for g, j in zip(gaps, ids, strict=True) if j == ids[i])
        negative = min(
            (g for g, j in zip(gaps, ids, strict=True) if j != ids[i]), default=np.inf
        )
        losses.append(max(margin + positive - negative, 0.0))
    return np.mean(losses)


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
def test_batch_hard_matches_loops(margin):
    features = make_features()
    expected = naive_batch_hard(features, IDS, margin)
    assert expected > 0
    actual = batch_hard_triplet(
        jnp.asarray(features, "f4"), jnp.asarray(IDS), margin=margin
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_batch_hard_gradient():
    def loss(features):
        return batch_hard_triplet(features, jnp.asarray(IDS), margin=1.0)

    assert_gradient_matches_differences(loss, make_features())


def test_batch_hard_of_one_identity_is_zero():
    def loss(features):
        return batch_hard_triplet(features, jnp.zeros(4, int))

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(make_features(n=4), "f4"))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((4, 6)))


# --- Hetero-centre triplet ----------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("margin", [0.3, 2.0])
def test_hc_tri_matches_loops(reduction, margin):
    features = make_features()
    expected = naive_hc_tri(features, IDS, MODALITY, margin, reduction)
    assert expected > 0
    actual = hetero_center_triplet(
        jnp.asarray(features, "f4"),
        jnp.asarray(IDS),
        jnp.asarray(MODALITY),
        margin=margin,
        reduction=reduction,
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_hc_tri_by_hand():
    # Centres on a line: identity 0 at 0 (visible) and 2, identity 1 at 3 and 10.
    features = jnp.asarray([[-1.0], [1.0], [2.0], [3.0], [10.0]])
    ids, modality = jnp.asarray([0, 0, 0, 1, 1]), jnp.asarray([0, 0, 1, 0, 1])
    # Hinges: 0.5+2-3 -> 0; 0.5+2-1 = 1.5; 0.5+7-1 = 6.5; 0.5+7-8 -> 0.
    loss = hetero_center_triplet(features, ids, modality, margin=0.5)
    np.testing.assert_allclose(loss, (1.5 + 6.5) / 4, rtol=1e-6)


def test_hc_tri_gradient():
    def loss(features):
        return hetero_center_triplet(
            features, jnp.asarray(IDS), jnp.asarray(MODALITY), margin=1.0
        )

    assert_gradient_matches_differences(loss, make_features())


@pytest.mark.parametrize(
    "ids, modality",
    [([4, 4, 4, 4], [0, 1, 0, 1]), ([1, 1, 2, 2], [0, 0, 0, 0])],
    ids=["one identity", "one modality"],
)
def test_hc_tri_without_negatives_or_positives_is_zero(ids, modality):
    def loss(features):
        return hetero_center_triplet(features, jnp.asarray(ids), jnp.asarray(modality))

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(make_features(n=4), "f4"))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((4, 6)))


def test_hc_tri_refuses_unknown_reduction():
    with pytest.raises(ValueError, match="'max'.*'mean' and 'sum'"):
        hetero_center_triplet(
            jnp.zeros((2, 3)), jnp.zeros(2, int), jnp.zeros(2, int), reduction="max"
        )


# --- Variational self-distillation --------------------------------------------------


def vsd(teacher, student, **options):
    return variational_self_distillation(
        jnp.asarray(teacher), jnp.asarray(student), **options
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_vsd_matches_loop(temperature):
    teacher, student = make_features(2.0), make_features(2.0, seed=1)
    expected = 0.0
    for a, b in zip(teacher, student, strict=True):
        p, q = naive_softmax(a / temperature), naive_softmax(b / temperature)
        expected += sum(x * np.log(x / y) for x, y in zip(p, q, strict=True)) / len(
            teacher
        )
    actual = vsd(teacher.astype("f4"), student.astype("f4"), temperature=temperature)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_vsd_is_not_what_its_released_code_computes():
    """The two values of the docstring; released: the mean over rows and classes of
    p_z log p_z - p_z p_v."""
    teacher, student = np.array([[2.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    p_v, p_z = naive_softmax(teacher[0]), naive_softmax(student[0])
    released = np.mean([z * np.log(z) - z * v for z, v in zip(p_z, p_v, strict=True)])
    np.testing.assert_allclose(released, -0.409, atol=5e-4)
    np.testing.assert_allclose(vsd(teacher, student), 0.779, atol=5e-4)


@pytest.mark.torch
def test_vsd_matches_torch():
    torch = pytest.importorskip("torch")
    teacher, student = make_features(5.0), make_features(5.0, seed=1)
    log_p = torch.log_softmax(torch.tensor(teacher), dim=1)
    log_q = torch.log_softmax(torch.tensor(student), dim=1)
    expected = torch.nn.functional.kl_div(
        log_q, log_p, log_target=True, reduction="batchmean"
    )
    actual = vsd(teacher.astype("f4"), student.astype("f4"))
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5)


def test_vsd_gradients():
    teacher, student = make_features(), make_features(seed=1)
    assert_gradient_matches_differences(lambda x: vsd(teacher, x), student)
    assert_gradient_matches_differences(
        lambda x: vsd(x, student, stop_gradient=False), teacher
    )
    held = jax.grad(vsd)(teacher.astype("f4"), student.astype("f4"))
    np.testing.assert_array_equal(held, np.zeros_like(teacher))


# --- All terms ----------------------------------------------------------------------

TERMS = {
    "identity": lambda x: identity(x, jnp.asarray(IDS % x.shape[1])),
    "wrt": lambda x: weighted_regularized_triplet(x, jnp.asarray(IDS)),
    "wrt_agw": lambda x: weighted_regularized_triplet(x, jnp.asarray(IDS), form="agw"),
    "hc_tri": lambda x: hetero_center_triplet(
        x, jnp.asarray(IDS), jnp.asarray(MODALITY)
    ),
    "batch_hard": lambda x: batch_hard_triplet(x, jnp.asarray(IDS)),
    "vsd": lambda x: vsd(x, x[::-1], stop_gradient=False),
}


@functools.cache
def compiled(name):
    return jax.jit(jax.value_and_grad(TERMS[name]))


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e-2, 1.0, 50.0, 1e3, 1e4])
def test_finite_at_every_scale(name, scale):
    features = make_features(scale).astype("f4")
    features[5] = features[0]  # an exact duplicate of the same identity
    value, gradient = compiled(name)(jnp.asarray(features))
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", TERMS)
def test_computed_in_float32(name):
    features = jnp.asarray(make_features(3.0), jnp.bfloat16)
    narrow, wide = TERMS[name](features), TERMS[name](features.astype(jnp.float32))
    assert narrow.dtype == jnp.float32
    assert narrow == wide


@pytest.mark.parametrize("name", TERMS)
def test_not_a_number_is_not_hidden(name):
    features = make_features().astype("f4")
    features[2, 3] = np.nan
    assert np.isnan(TERMS[name](jnp.asarray(features)))


@pytest.mark.parametrize("form", ["softmax", "agw"])
def test_order_of_the_batch_does_not_matter(form):
    features = make_features().astype("f4")
    order = np.random.default_rng(2).permutation(len(IDS))

    def both(features, ids, modality):
        features, ids, modality = map(jnp.asarray, (features, ids, modality))
        return (
            weighted_regularized_triplet(features, ids, form=form),
            hetero_center_triplet(features, ids, modality),
        )

    np.testing.assert_allclose(
        both(features, IDS, MODALITY),
        both(features[order], IDS[order], MODALITY[order]),
        rtol=1e-5,
    )
