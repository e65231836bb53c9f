"""HCML's offline metric, against loops, finite differences and what it is for."""

import itertools

import numpy as np
import pytest

from jreid.training import hcml


def features(identities=12, each=5, d=8, seed=0):
    """Two modalities, each the identity's vector turned in its own way, with noise."""
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(identities, d))
    turns = [rng.normal(size=(d, d)) / d**0.5 for _ in range(2)]
    ids = np.repeat(np.arange(identities), 2 * each)
    modality = np.tile(np.repeat([0, 1], each), identities)
    x = np.stack([codes[i] @ turns[m] for i, m in zip(ids, modality, strict=True)])
    x += 0.1 * rng.normal(size=x.shape)
    return x / np.linalg.norm(x, axis=1, keepdims=True), ids, modality


def small_problem():
    x, ids, modality = features(4, 3, 3)
    problem, within = hcml.make_problem(x, ids, modality)
    rng = np.random.default_rng(1)
    v, t = (np.eye(3) + 0.3 * rng.normal(size=(3, 3)) for _ in range(2))
    root = np.eye(3) + 0.3 * rng.normal(size=(3, 3))
    return problem, within, v, t, root @ root.T


def test_objective_is_the_sum_over_pairs():
    problem, _, v, t, metric = small_problem()
    total = 0.0
    start = np.mean(
        [np.sum((a - b) ** 2) for a in problem.infrared for b in problem.visible]
    )
    for k, j in itertools.product(range(4), range(4)):
        gap = problem.infrared[k] @ v - problem.visible[j] @ t
        y, w = (1, 1 / 4) if k == j else (-1, 1 / 12)
        total += w * np.log(1 + np.exp(y * (gap @ metric @ gap - start)))
    assert abs(hcml.objective(problem, v, t, metric) - total) < 1e-12


def test_exact_gradients_match_differences():
    problem, _, v, t, metric = small_problem()
    of_v, of_t = hcml.cross_gradients(problem, v, t, metric, exact=True)
    for i, j in itertools.product(range(3), range(3)):
        step = np.zeros((3, 3))
        step[i, j] = 1e-6
        for gradient, plus, minus in (
            (of_v, (v + step, t), (v - step, t)),
            (of_t, (v, t + step), (v, t - step)),
        ):
            slope = hcml.objective(problem, *plus, metric)
            slope -= hcml.objective(problem, *minus, metric)
            assert abs(gradient[i, j] - slope / 2e-6) < 1e-7


def test_released_gradients_are_the_released_sums():
    """Written as sums over pairs of identities, from the description of the code."""
    problem, _, v, t, s = small_problem()
    x, z = problem.infrared, problem.visible
    g = np.zeros((4, 4))
    for k, j in itertools.product(range(4), range(4)):
        gap = x[k] @ v - z[j] @ t
        margin = problem.signs[k, j] * (gap @ s @ gap - problem.offset)
        slope = 1 / (1 + np.exp(-margin))
        g[k, j] = problem.weights[k, j] * problem.signs[k, j] * slope
    expected_v, expected_t = np.zeros((3, 3)), np.zeros((3, 3))
    for k, j in itertools.product(range(4), range(4)):
        a = np.outer(x[k], z[j] @ t) @ s * g[k, j]
        b = np.outer(z[k], x[j] @ v) @ s * g[k, j]
        expected_v += s @ np.outer(x[k], x[k]) @ v * g[k, j] - a - a.T
        expected_t += s @ np.outer(z[k], z[k]) @ t * g[k, j] - b - b.T
    ours = hcml.cross_gradients(problem, v, t, s, exact=False)
    np.testing.assert_allclose(ours[0], expected_v, atol=1e-12)
    np.testing.assert_allclose(ours[1], expected_t, atol=1e-12)


def test_iterations_are_the_released_ones():
    """Maps after three: S is the metric at an iteration's start, counted from 1."""
    x, ids, modality = features(4, 3, 3)
    learned = hcml.learn(x, ids, modality, dimensions=3, iterations=3, tolerance=0.0)
    problem, within = hcml.make_problem((x - x.mean(0)) @ learned.basis, ids, modality)
    v = t = np.eye(3)
    fista = hcml.Fista(np.eye(3))
    for number in (1, 2, 3):
        s = fista.start.copy()
        metric = fista.step(problem, v, t)
        a, b = problem.infrared @ v, problem.visible @ t
        g = np.zeros((4, 4))
        for k, j in itertools.product(range(4), range(4)):
            margin = problem.signs[k, j] * (
                (a[k] - b[j]) @ s @ (a[k] - b[j]) - problem.offset
            )
            g[k, j] = problem.weights[k, j] * problem.signs[k, j]
            g[k, j] /= 1 + np.exp(-margin)
        rows = np.diag(g.sum(1))
        mixed = problem.infrared.T @ g @ b @ s
        of_v = s @ problem.infrared.T @ rows @ a - mixed - mixed.T
        mixed = problem.visible.T @ g @ a @ s
        of_t = s @ problem.visible.T @ rows @ b - mixed - mixed.T
        rate = 0.1 * 0.95**number
        new = v - rate * (0.2 * hcml.within_gradient(within[1], v) + of_v)
        t = t - rate * (0.2 * hcml.within_gradient(within[0], t, new) + of_t)
        v = new
    for ours, ending in ((learned.maps[1], v), (learned.maps[0], t)):
        np.testing.assert_allclose(
            ours @ ours.T, ending @ metric @ ending.T, rtol=1e-9, atol=1e-12
        )


def test_within_gradient_matches_differences():
    _, within, v, _, _ = small_problem()

    def value(p):
        return np.mean(np.log(1 + np.exp(np.square(within[0] @ p).sum(1))))

    gradient = hcml.within_gradient(within[0], v)
    for i, j in itertools.product(range(3), range(3)):
        step = np.zeros((3, 3))
        step[i, j] = 1e-6
        slope = (value(v + step) - value(v - step)) / 2e-6
        assert abs(gradient[i, j] - slope) < 1e-8


def test_metric_steps_lower_the_objective_and_stay_semi_definite():
    problem, _, v, t, _ = small_problem()
    fista = hcml.Fista(np.eye(3))
    values = [hcml.objective(problem, v, t, np.eye(3))]
    for _ in range(30):
        metric = fista.step(problem, v, t)
        values.append(hcml.objective(problem, v, t, metric))
        assert np.linalg.eigvalsh(metric).min() > -1e-9
    assert values[1] < values[0] and values[-1] < 0.9 * values[0]


def rank_one(metric, x, ids, modality):
    if metric is None:
        query, gallery = x[modality == 1], x[modality == 0]
    else:
        query, gallery = metric(x[modality == 1], 1), metric(x[modality == 0], 0)
    distances = np.square(query[:, None] - gallery[None]).sum(2)
    found = ids[modality == 0][distances.argmin(1)]
    return np.mean(found == ids[modality == 1])


@pytest.mark.parametrize("exact", [True, False])
def test_learned_metric_matches_the_modalities_of_its_training_identities(exact):
    x, ids, modality = features(each=4)
    metric = hcml.learn(x, ids, modality, dimensions=8, exact=exact)
    assert rank_one(None, x, ids, modality) < 0.5
    assert rank_one(metric, x, ids, modality) > rank_one(None, x, ids, modality) + 0.2


def test_the_order_of_features_changes_nothing():
    x, ids, modality = features(4, 3, 4)
    order = np.random.default_rng(0).permutation(len(x))
    maps = [
        hcml.learn(x[o], ids[o], modality[o], dimensions=4, iterations=20)
        for o in (np.arange(len(x)), order)
    ]
    distances = [
        np.square(m(x[:5], 0)[:, None] - m(x[5:9], 1)[None]).sum(2) for m in maps
    ]
    np.testing.assert_allclose(*distances, rtol=1e-6)


def test_one_identity_is_refused():
    x, ids, modality = features(2)
    with pytest.raises(ValueError, match="1 identities have both"):
        hcml.learn(x, ids, np.where(ids == 0, modality, 0))
