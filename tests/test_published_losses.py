"""Losses of published systems against naive loops: no released value was at hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses.agreement import IdentityOfMean, agreement
from jreid.losses.alignment import decorrelation, jensen_shannon
from jreid.losses.batch_hard_among import batch_hard_among
from jreid.losses.birank import birank
from jreid.losses.both_sides import both_sides_triplet
from jreid.losses.centre_separation import centre_separation
from jreid.losses.contrastive import contrastive
from jreid.losses.cross_batch_hard import cross_batch_hard
from jreid.losses.hetero_centre import hetero_centre
from jreid.losses.learned_parts import mask_overlap, prototype_spread
from jreid.losses.mean_contrast import mean_contrast
from jreid.losses.pair_mining import orthogonality, pair_mining
from jreid.losses.part_identity import PartIdentity, part_identity
from jreid.losses.random_projection import random_projection_distance
from jreid.losses.rank_list import rank_list
from jreid.losses.released_distillation import released_self_distillation
from jreid.losses.sinkhorn import sinkhorn_distance
from jreid.losses.sparsity import Sparsity
from jreid.losses.squared_weighted_triplet import squared_weighted_triplet
from jreid.losses.stem_consistency import channel_divergence, stem_distance
from jreid.losses.swapped_teacher import SwappedTeacher
from jreid.losses.tell_modality import tell_modality
from jreid.losses.views import view_cross_entropy, view_divergence

# Unequal counts in scattered order; identity 7 is visible only, 9 infrared only.
IDS = np.array([3, 5, 3, 7, 5, 3, 5, 9, 3, 5, 8, 8, 8])
MODALITY = np.array([0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1])
B = len(IDS)
# Row 2 with 4, 7 with 1, 12 with 9.
PAIRS = [(2, 4), (7, 1), (12, 9)]
PAIR_MATRIX = np.zeros((B, B), bool)
for _i, _j in PAIRS:
    PAIR_MATRIX[_i, _j] = True


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def draw(d=6, n=B, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def unit(x):
    return x / np.sqrt(np.sum(x * x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def same(ours, expected):
    np.testing.assert_allclose(float(ours), expected, rtol=1e-9, atol=1e-11)


def arrays(*xs):
    return [jnp.asarray(x) for x in xs]


def of(loss, *xs, **options):
    """The loss by one program, where each operation would be one."""
    return jax.jit(functools.partial(loss, **options))(*arrays(*xs))


def test_hetero_centre():
    x, total = draw(), 0.0
    for i in set(IDS):
        rows = [
            [unit(x[r]) for r in range(B) if IDS[r] == i and MODALITY[r] == m]
            for m in (0, 1)
        ]
        if rows[0] and rows[1]:
            gap = np.mean(rows[0], axis=0) - np.mean(rows[1], axis=0)
            total += np.sum(gap**2)
    same(of(hetero_centre, x, IDS, MODALITY), total)


def test_hetero_centre_of_features_as_they_are_beyond_a_margin():
    x, total = 0.5 * draw(), 0.0
    for i in set(IDS):
        rows = [x[(i == IDS) & (m == MODALITY)] for m in (0, 1)]
        if len(rows[0]) and len(rows[1]):
            gap = rows[0].mean(0) - rows[1].mean(0)
            total += max(0.0, gap @ gap - 0.7)
    ours = hetero_centre(*arrays(x, IDS, MODALITY), normalise=False, margin=0.7)
    same(ours, total)


def test_cross_batch_hard():
    x, total = draw(), 0.0
    for m in (0, 1):
        losses = []
        for i in np.flatnonzero(m == MODALITY):
            other = np.flatnonzero(m != MODALITY)
            distances = {j: np.linalg.norm(x[i] - x[j]) for j in other}
            positives = [d for j, d in distances.items() if IDS[j] == IDS[i]]
            negatives = [d for j, d in distances.items() if IDS[j] != IDS[i]]
            if positives:
                losses.append(max(0.0, 1.4 + max(positives) - min(negatives)))
        total += np.mean(losses)
    same(cross_batch_hard(*arrays(x, IDS, MODALITY), margin=1.4), total)


def test_cross_batch_hard_of_one_modality_is_nothing():
    slope = jax.jit(jax.grad(cross_batch_hard))
    of_one = slope(*arrays(draw(), IDS, np.zeros_like(MODALITY)))
    assert not np.asarray(of_one).any()


def drawn_maps():
    """Of 13 rows 3 x 4 places and 7 channels, of which the last is in no third."""
    return draw(3 * 4 * 7).reshape(B, 3, 4, 7)


def test_stem_distance():
    x, means = drawn_maps(), []
    for m in (0, 1):
        vectors = []
        for row in x[m == MODALITY]:
            cubes = np.maximum(row, 0).reshape(-1, 7) ** 3
            vectors.append((cubes.mean(0) + 1e-12) ** (1 / 3))
        means.append(np.mean(vectors, axis=0))
    expected = np.linalg.norm(means[0] - means[1] + 1e-6)
    same(stem_distance(*arrays(x, MODALITY)), expected)


@pytest.mark.parametrize("modality", [0, 1])
def test_stems_of_one_modality_alone_have_no_distance(modality):
    """Not that of its vectors to 0, which would draw these there."""
    x, alone = arrays(drawn_maps(), np.full(B, modality))
    value, slope = jax.value_and_grad(stem_distance)(x, alone)
    assert value == 0 and not slope.any()


def test_channel_divergence():
    x, total = drawn_maps(), 0.0
    for m in (0, 1):
        values = []
        for row in x[m == MODALITY]:
            for h in range(3):
                p = [softmax(row[h, :, c]) for c in range(6)]
                for w in range(4):
                    values.append(
                        sum(
                            p[a][w] * np.log(p[a][w] / p[b][w])
                            for a, b in ((0, 2), (1, 3), (4, 2), (5, 3))
                        )
                    )
        total += np.mean(values)
    same(channel_divergence(*arrays(x, MODALITY)), total)


@pytest.mark.parametrize("outputs", [1, 2])
def test_tell_modality(outputs):
    logits, losses = draw(outputs), []
    for row, m in zip(logits, MODALITY, strict=True):
        for k, logit in enumerate(row):
            p = 1 / (1 + np.exp(-logit))
            losses.append(-np.log(p if m == k else 1 - p))
    same(tell_modality(*arrays(logits, MODALITY)), np.mean(losses))


def test_sparsity_of_what_a_path_names():
    params = {"norm": {"scale": draw(), "bias": draw(seed=1)}, "other": draw(seed=2)}
    for path, arrays_there in (
        ("norm", params["norm"].values()),
        ("norm/scale", [params["norm"]["scale"]]),
    ):
        total = sum(abs(v) for x in arrays_there for v in x.flat)
        tree = jax.tree.map(jnp.asarray, params)
        same(Sparsity(path)({}, {"params": tree}), total)
    with pytest.raises(ValueError, match=r"at 'kernel' the network has \['bias', 'sc"):
        Sparsity("norm/kernel")({}, {"params": params})


def test_batch_hard_among():
    x, among, losses = draw(), np.arange(B) % 3 != 1, []
    for i in np.flatnonzero(among):
        distances = {j: np.linalg.norm(x[i] - x[j]) for j in np.flatnonzero(among)}
        positive = max(d for j, d in distances.items() if IDS[j] == IDS[i])
        negative = min(d for j, d in distances.items() if IDS[j] != IDS[i])
        losses.append(max(0.0, 0.3 + positive - negative))
    same(of(batch_hard_among, x, IDS, among), np.mean(losses))


def test_rank_list():
    x, losses = [unit(row) for row in draw()], []
    for i in range(B):
        total = 0.0
        for own, margin, reach in ((True, 0.9, 1.5), (False, 1.0, 1.6)):
            pulled, pushed, weights = [], 0.0, 0.0
            for j in range(B):
                if i == j or (MODALITY[i] == MODALITY[j]) != own:
                    continue
                d = np.linalg.norm(x[i] - x[j])
                if IDS[i] == IDS[j]:
                    pulled.append(max(0.0, d - (reach - margin)))
                elif d < reach:
                    pushed += np.exp(reach - d) * (reach - d)
                    weights += np.exp(reach - d)
            total += sum(pulled) / (len(pulled) + 1e-5) + pushed / (weights + 1e-5)
        losses.append(total)
    ours = of(rank_list, draw(), IDS, MODALITY, reach_within=1.5, reach_across=1.6)
    same(ours, np.mean(losses))


def naive_sinkhorn(x, y, epsilon, rounds, tolerance):
    cost = np.array([[np.square(a - b).sum() for b in y] for a in x])
    u, v = np.zeros(len(x)), np.zeros(len(y))
    used = 0
    for _ in range(rounds):
        before = u.copy()
        m = (-cost + u[:, None] + v) / epsilon
        u = u + epsilon * (np.log(1 / len(x) + 1e-8) - np.log(np.exp(m).sum(1) + 1e-6))
        m = (-cost + u[:, None] + v) / epsilon
        v = v + epsilon * (np.log(1 / len(y) + 1e-8) - np.log(np.exp(m).sum(0) + 1e-6))
        used += 1
        if np.abs(u - before).sum() < tolerance:
            break
    return np.sum(np.exp((-cost + u[:, None] + v) / epsilon) * cost), used


@pytest.mark.parametrize("tolerance", [0.1, 1e-3, 0.0])
def test_sinkhorn(tolerance):
    x = np.stack([softmax(row) for row in 3 * draw(4)])
    y = np.stack([softmax(row) for row in 3 * draw(4, n=9, seed=1)])
    expected, used = naive_sinkhorn(x, y, 0.1, 20, tolerance)
    assert used == {0.1: 4, 1e-3: 20, 0.0: 20}[tolerance] or used < 20
    ours = of(sinkhorn_distance, x, y, epsilon=0.1, rounds=20, tolerance=tolerance)
    same(ours, expected)


def test_sinkhorn_is_near_the_cheapest_assignment():
    import scipy.optimize

    x = np.stack([softmax(row) for row in 3 * draw(4)])
    y = np.stack([softmax(row) for row in 3 * draw(4, seed=1)])
    cost = np.square(x[:, None] - y[None]).sum(-1)
    best = cost[scipy.optimize.linear_sum_assignment(cost)].mean()
    ours = of(sinkhorn_distance, x, y, epsilon=0.01, rounds=2000, tolerance=0.0)
    assert best - 1e-3 < float(ours) < best + 0.05


def test_released_distillation():
    p, z = draw(5), draw(5, seed=1)
    total = sum(
        softmax(b) @ (np.log(softmax(b)) - softmax(a))
        for a, b in zip(p, z, strict=True)
    )
    same(of(released_self_distillation, p, z), total / p.size)


def test_birank():
    x, total = [unit(row) for row in draw()], 0.0
    for m in (0, 1):
        losses = []
        for i in range(B):
            other = [j for j in range(B) if MODALITY[j] != m]
            positives = [j for j in other if IDS[j] == IDS[i]]
            negatives = [j for j in other if IDS[j] != IDS[i]]
            if MODALITY[i] != m or not positives:
                continue
            p = max(positives, key=lambda j: np.linalg.norm(x[i] - x[j]))
            n = min(negatives, key=lambda j: np.linalg.norm(x[i] - x[j]))
            gap = np.linalg.norm(x[i] - x[p]) - np.linalg.norm(x[i] - x[n])
            within = max(0.0, 0.9 - np.linalg.norm(x[p] - x[n]))
            losses.append(max(0.0, 0.5 + gap) + 0.1 * within)
        total += np.mean(losses)
    same(of(birank, draw(), IDS, MODALITY, margin_within=0.9), total)


@pytest.mark.parametrize("normalise", ["row", "batch"])
def test_contrastive(normalise):
    x, losses = draw(), []
    if normalise == "row":
        y = np.stack([unit(row) for row in x])
    else:
        x[MODALITY == 0, 0] *= 1e-7  # hardly alive: TensorFlow's floor, 1e-12, counts
        y = x.copy()
        for m in (0, 1):
            squared = np.square(x[m == MODALITY]).sum(axis=0)
            y[m == MODALITY] /= np.sqrt(np.maximum(squared, 1e-12))
    for i, j in [*PAIRS, (0, 8)]:
        d = np.linalg.norm(y[i] - y[j])
        losses.append(d**2 if IDS[i] == IDS[j] else max(0.0, 1.2 - d) ** 2)
    pairs = PAIR_MATRIX.copy()
    pairs[0, 8] = True  # of one identity
    modality = (MODALITY,) if normalise == "batch" else ()
    ours = of(contrastive, x, IDS, pairs, *modality, margin=1.2)
    same(ours, np.mean(losses) / 2)


def test_mean_contrast_ranks_by_brute_force():
    """The soft ranks that MCJA takes, projected on the permutahedron numerically."""
    x = np.stack([unit(row) for row in draw()])
    per_modality = []
    for m in (0, 1):
        losses = []
        for i in np.flatnonzero(m == MODALITY):
            other = np.flatnonzero(m != MODALITY)
            d = (1 - x[other] @ x[i]) / 2
            matches = IDS[other] == IDS[i]
            if matches.any() and not matches.all():
                n = len(d)
                ranks = projected_on_permutahedron(d / 0.5)
                losses.append(np.mean(np.abs(ranks - np.where(matches, 1, n))))
        per_modality.append(np.mean(losses))
    same(of(mean_contrast, draw(), IDS, MODALITY), np.mean(per_modality))


def projected_on_permutahedron(z):
    """The nearest point to z whose entries are sums of weights of 1 to n."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(-z)
    w = np.arange(len(z), 0, -1.0)
    dual = isotonic_regression(z[order] - w, increasing=False).x
    ranks = np.empty(len(z))
    ranks[order] = z[order] - dual
    return ranks


def test_centre_separation():
    x = 0.1 * draw()
    centres = {i: np.mean(x[i == IDS], axis=0) for i in set(IDS)}
    pulled = [max(0, np.linalg.norm(x[r] - centres[IDS[r]]) - 0.05) for r in range(B)]
    pushed = [
        max(0, 0.3 - np.linalg.norm(centres[i] - centres[j]))
        for i in centres
        for j in centres
        if i != j
    ]
    ours = of(centre_separation, x, IDS, inner=0.05, outer=0.3)
    same(ours, sum(pulled) / len(pulled) + sum(pushed) / len(pushed))


def centres_of(x, rows):
    """Identity -> the mean of its rows among these."""
    return {i: x[rows & (i == IDS)].mean(0) for i in set(IDS[rows])}


def distance(a, b):
    return np.linalg.norm(a - b)


@pytest.mark.parametrize("exchanged", [False, True])
def test_both_sides_triplet(exchanged):
    x, losses = draw(), []
    a, b = (centres_of(x, m == MODALITY) for m in (1, 0))

    def far(k, j):
        if exchanged:
            return np.sqrt(max(a[j] @ a[j] + b[k] @ b[k] - 2 * a[k] @ b[j], 1e-12))
        return distance(a[k], b[j])

    both = set(a) & set(b)
    for k in both:
        closest = min(min(far(k, j), far(j, k)) for j in both if j != k)
        losses.append(max(0.0, 2.0 + far(k, k) - closest))
    ours = of(
        both_sides_triplet,
        *(x, IDS, MODALITY == 1, MODALITY == 0),
        margin=2.0,
        exchanged=exchanged,
    )
    same(ours, np.mean(losses))


def test_pair_mining():
    """Rows of scattered identities, and one made of each; v' and i' are the made."""
    x, made = draw(), draw(seed=1)
    total = 0.0
    for own in (0, 1):
        v, i = (centres_of(x, m == MODALITY) for m in (own, 1 - own))
        v_made = centres_of(made, own == MODALITY)
        both, losses = set(v) & set(i), []
        for k in both:
            across = distance(i[k], v_made[k])
            loss = max(0.0, across - distance(v[k], v_made[k]) + 2.0)
            for centres in (v_made, v):
                near = min(distance(centres[k], centres[j]) for j in both if j != k)
                loss += max(0.0, across - near + 2.0) / 2
            losses.append(loss)
        total += np.mean(losses) / 2
    ours = of(
        pair_mining,
        np.concatenate([made, x]),
        *(np.tile(column, 2) for column in (IDS, MODALITY)),
        np.repeat([1, 0], B),
        margin=2.0,
    )
    same(ours, total)


@pytest.mark.parametrize("limit", [0.0, 0.05])
def test_squared_weighted_triplet(limit):
    x, losses = draw(), []
    for i in range(B):
        d = np.array([distance(x[i], x[j]) for j in range(B)])
        positives, negatives = d[IDS[i] == IDS], d[IDS[i] != IDS]
        gap = softmax(positives) @ positives - softmax(-negatives) @ negatives
        squared = min(gap**2, limit) if limit else gap**2
        losses.append(np.log(1 + np.exp(squared if gap > 0 else -squared)))
    ours = of(squared_weighted_triplet, x, IDS, limit=limit)
    np.testing.assert_allclose(float(ours), np.mean(losses), rtol=1e-4)  # AGW's 1e-6


def test_view_divergence():
    x, losses = draw(5), []
    for i, j in PAIRS:
        teacher, student = softmax(x[j] / 3) + 1e-7, softmax(x[i] / 3)
        losses.append(9 * teacher @ np.log(teacher / student))
    same(of(view_divergence, x, PAIR_MATRIX), np.mean(losses))
    still = jax.jit(jax.grad(view_divergence))(*arrays(x, PAIR_MATRIX))
    assert not np.asarray(still)[[j for _, j in PAIRS]].any()


def test_orthogonality():
    x = draw(n=9)
    source, copy = np.array([0, 1, 2] * 3), np.repeat([0, 1, 2], 3)
    total = sum(x[3 + k] @ x[6 + k] for k in range(3))
    same(of(orthogonality, x, source, copy), total / 9)


def test_view_cross_entropy():
    x = draw(5)
    losses = [-softmax(x[j]) @ np.log(softmax(x[i])) for i, j in PAIRS]
    same(of(view_cross_entropy, x, PAIR_MATRIX), np.mean(losses))


def test_agreement_goes_into_the_first_prediction():
    p, q = arrays(draw(5), draw(5, seed=1))
    expected = np.mean(
        [
            softmax(a) @ np.log(softmax(a) / softmax(b))
            for a, b in zip(np.asarray(p), np.asarray(q), strict=True)
        ]
    )
    same(of(agreement, p, q), expected)
    moved, still = jax.jit(jax.grad(agreement, (0, 1)))(p, q)
    assert np.abs(moved).max() > 0 and not np.asarray(still).any()


def test_identity_of_a_mean_of_predictions():
    a, b = draw(10), draw(10, seed=1)
    logits = {"a": jnp.asarray(a), "b": jnp.asarray(b)}
    on = (("logits.a", 0.5), ("logits.b", 0.25))
    losses = [
        -np.log(softmax(0.5 * a[k] + 0.25 * b[k])[identity])
        for k, identity in enumerate(IDS)
    ]
    found = IdentityOfMean(on)({"logits": logits}, {"ids": jnp.asarray(IDS)})
    same(found, np.mean(losses))


def test_jensen_shannon_of_stripes():
    stripes, losses = np.stack([draw(4, seed=s) for s in range(5)]), []
    for i, j in PAIRS:
        per_dimension = []
        for k in range(4):
            a, b = stripes[:, i, k], stripes[:, j, k]
            both = np.concatenate([a, b])  # its moments are the mixture's
            middle = both.mean(), both.var() + 1e-6
            kl = [
                0.5 * ((v + 1e-6 + (m - middle[0]) ** 2) / middle[1] - 1)
                - 0.5 * np.log((v + 1e-6) / middle[1])
                for m, v in ((a.mean(), a.var()), (b.mean(), b.var()))
            ]
            per_dimension.append(np.mean(kl))
        losses.append(np.linalg.norm(per_dimension))
    same(of(jensen_shannon, stripes, PAIR_MATRIX), np.mean(losses))


def test_decorrelation():
    x = draw(8)
    c = np.array([[np.corrcoef(x[i], x[j])[0, 1] for _, j in PAIRS] for i, _ in PAIRS])
    ours = of(decorrelation, x, PAIR_MATRIX)
    np.testing.assert_allclose(
        float(ours), np.linalg.norm(c - np.eye(3)) / 3, rtol=1e-9
    )


def test_random_projection_depends_on_its_seed_and_vanishes_on_equal_rows():
    x = draw(32)
    values = [
        float(of(random_projection_distance, x, PAIR_MATRIX, seed=s)) for s in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]
    for i, j in PAIRS:
        x[j] = 3 * x[i]  # the direction alone counts
    assert float(of(random_projection_distance, x, PAIR_MATRIX)) < 1e-6


def test_random_projection_by_hand():
    x = np.stack([unit(row) for row in draw(7)])
    chosen = sorted({row for pair in PAIRS for row in pair})
    first, second = jax.random.split(jax.random.key(5))
    a = jax.random.uniform(first, (7, 4), jnp.float32, -(7**-0.5), 7**-0.5)
    b = jax.random.uniform(second, (4, 4), jnp.float32, -(4**-0.5), 4**-0.5)

    def normalised(y):
        return (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-5)

    y = normalised(x[chosen] @ np.asarray(a, float))
    y = normalised(np.maximum(y, 0) @ np.asarray(b, float))
    rows = {row: unit(v) for row, v in zip(chosen, y, strict=True)}
    expected = np.mean([np.linalg.norm(rows[i] - rows[j]) for i, j in PAIRS])
    ours = of(random_projection_distance, draw(7), PAIR_MATRIX, width=4, seed=5)
    np.testing.assert_allclose(float(ours), expected, rtol=1e-6)


def test_terms_on_masks():
    masks = 1 / (1 + np.exp(-np.random.default_rng(0).normal(size=(3, 4, 2, 5))))
    products, roots = [], []
    for i in range(5):
        for j in range(i + 1, 5):
            a, b = masks[..., i], masks[..., j]
            products.append(np.mean([(p * q).sum() for p, q in zip(a, b, strict=True)]))
            roots += [np.sqrt(np.mean((p - q) ** 2)) for p, q in zip(a, b, strict=True)]
    same(of(mask_overlap, masks), np.mean(products))
    same(of(prototype_spread, masks), -np.mean(roots))
    alike = jnp.ones((2, 2, 2, 3))
    assert not np.asarray(jax.jit(jax.grad(prototype_spread))(alike)).any()


@pytest.mark.parametrize("term", [mask_overlap, prototype_spread])
def test_terms_on_a_single_mask_are_0(term):
    masks = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 3, 3, 1)))
    value, gradient = jax.jit(jax.value_and_grad(term))(masks)
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((2, 3, 3, 1)))


def test_parts_count_by_their_scores():
    logits = np.random.default_rng(0).normal(size=(B, 3, 10))
    scores = np.array([0.5, -1.0, 2.0])
    each = np.zeros(3)
    for part in range(3):
        told = [softmax(logits[row, part])[IDS[row]] for row in range(B)]
        each[part] = -np.mean(np.log(told))
    shares = softmax(scores)
    expected = sum(share * own for share, own in zip(shares, each, strict=True))
    same(of(part_identity, logits, IDS, scores), expected)
    slopes = of(jax.grad(part_identity, (0, 2)), logits, IDS, scores)
    np.testing.assert_allclose(slopes[1], shares * (each - expected), rtol=1e-9)
    first = np.eye(10)[IDS[0]]
    for part in range(3):
        expected = shares[part] * (softmax(logits[0, part]) - first) / B
        np.testing.assert_allclose(slopes[0][0, part], expected, atol=1e-12)
    params = {"branches": {"parts": {"classifier": {"scores": jnp.asarray(scores)}}}}
    outputs = {"logits": {"parts": jnp.asarray(logits)}}
    batch = {"ids": jnp.asarray(IDS), "params": params}
    same(PartIdentity()(outputs, batch), shares @ each)
    with pytest.raises(ValueError, match=r"scores is 'a/b'; at 'a' the network has"):
        PartIdentity(scores="a/b")(outputs, batch)
    with pytest.raises(ValueError, match="scores is ''; allowed is a parameter's path"):
        PartIdentity(scores="").check()


@pytest.mark.parametrize("form", ["divergence", "cross_entropy"])
def test_teacher_is_the_other_modalitys_average(form):
    kernel = np.random.default_rng(2).normal(size=(2, 6, 5))
    embeddings, student = arrays(draw(), draw(5, seed=1))
    average = {"branches": {"v1": {"own": {"kernel": jnp.asarray(kernel)}}}}
    batch = {"modality": jnp.asarray(MODALITY), "extra": {"average": average}}
    term = SwappedTeacher(form=form)

    def value(embeddings, student):
        outputs = {"embeddings": {"v1": embeddings}, "logits": {"own_v1": student}}
        return term(outputs, batch)

    losses = []
    for row in range(B):
        q = softmax(np.asarray(embeddings)[row] @ kernel[1 - MODALITY[row]])
        p = softmax(np.asarray(student)[row])
        pairs = {"divergence": p @ np.log(p / q), "cross_entropy": -q @ np.log(p)}
        losses.append(pairs[form])
    same(of(value, embeddings, student), np.mean(losses))
    still, moved = jax.jit(jax.grad(value, (0, 1)))(embeddings, student)
    assert not np.asarray(still).any() and np.abs(moved).max() > 0
    with pytest.raises(ValueError, match="average is 'a/b'"):
        SwappedTeacher(average="a/b")(
            {"embeddings": {"v1": embeddings}, "logits": {"own_v1": student}}, batch
        )
    with pytest.raises(ValueError, match="memory holds has nothing.*MovingAverage"):
        term({"embeddings": {"v1": embeddings}}, batch | {"extra": {}})
