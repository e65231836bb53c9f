"""HCML: a metric between modalities, learned offline on features (AAAI 2018).

One projection for each modality and one metric, alternately: the metric by an
accelerated proximal step, the projections by gradient descent. All distances are
squared Euclidean. NumPy in float64, on the means of identities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jreid.shapes import Float, Int

Array = np.ndarray


@dataclass(frozen=True)
class LearnedMetric:
    """Features of a modality -> vectors to be compared by Euclidean distance."""

    mean: Float[np.ndarray, " d"]
    basis: Float[np.ndarray, "d k"]  # of the principal components
    maps: Mapping[int, Float[np.ndarray, "k m"]]  # by modality, 0 visible, 1 infrared

    def __call__(
        self, features: Float[np.ndarray, "n d"], modality: int
    ) -> Float[np.ndarray, "n m"]:
        """The vectors of features that are all of one modality."""
        return (features - self.mean) @ self.basis @ self.maps[modality]


class Problem(NamedTuple):
    """Means of the identities, infrared and visible, and the weights of their pairs."""

    infrared: Float[np.ndarray, "p k"]
    visible: Float[np.ndarray, "p k"]
    signs: Float[np.ndarray, "p p"]  # 1 for one identity, else -1
    weights: Float[np.ndarray, "p p"]
    offset: float  # the mean distance at the start


def learn(
    features: Float[np.ndarray, "n d"],
    ids: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    *,
    dimensions: int = 600,
    exact: bool = False,
    iterations: int = 300,
    tolerance: float = 1e-6,
) -> LearnedMetric:
    """The metric of training features, which HCML takes of length 1.

    Args:
      features: of both modalities.
      ids: identity of each.
      modality: 0 (visible) or 1 (infrared) of each.
      dimensions: principal components, of both modalities' features together.
      exact: descend along the true gradient; released, it is not (see
        `cross_gradients`), and its numbers were made with that.
      iterations: at most.
      tolerance: relative change of the objective, after the metric's step and before
        the maps', at which it ends.

    Raises:
      ValueError: no identity, or one, has both modalities.
    """
    features = np.asarray(features, np.float64)
    mean = features.mean(0)
    basis = _components(features - mean, dimensions)
    x = (features - mean) @ basis
    problem, within = make_problem(x, ids, modality)
    infrared_map = visible_map = metric = np.eye(x.shape[1])
    fista = Fista(metric)
    value = objective(problem, infrared_map, visible_map, metric)
    for step in range(1, iterations + 1):
        start = fista.start
        metric = fista.step(problem, infrared_map, visible_map)
        last, value = value, objective(problem, infrared_map, visible_map, metric)
        cross = cross_gradients(problem, infrared_map, visible_map, start, exact=exact)
        rate = 0.1 * 0.95**step
        inside = 0.2 * within_gradient(within[1], infrared_map)
        new_infrared = infrared_map - rate * (inside + cross[0])
        # released, the infrared map, just updated, stands in the visible one's gradient
        factor = visible_map if exact else new_infrared
        inside = 0.2 * within_gradient(within[0], visible_map, factor)
        infrared_map, visible_map = (
            new_infrared,
            visible_map - rate * (inside + cross[1]),
        )
        if abs(last - value) < tolerance * abs(last):
            break
    root = _root(metric)
    return LearnedMetric(mean, basis, {0: visible_map @ root, 1: infrared_map @ root})


def make_problem(
    x: Float[np.ndarray, "n k"],
    ids: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
) -> tuple[Problem, dict[int, Float[np.ndarray, "_ k"]]]:
    """The means and weights; by modality the features minus their identity's mean."""
    both = np.intersect1d(ids[modality == 0], ids[modality == 1])
    if len(both) < 2:
        raise ValueError(
            f"{len(both)} identities have both modalities; allowed are two and more"
        )
    means, within = [], {}
    for m in (0, 1):
        rows = (modality == m) & np.isin(ids, both)
        place = np.searchsorted(both, ids[rows])
        sums = np.zeros((len(both), x.shape[1]))
        np.add.at(sums, place, x[rows])
        means.append(sums / np.bincount(place)[:, None])
        within[m] = x[rows] - means[m][place]
    same = np.eye(len(both), dtype=bool)
    weights = np.where(same, 1 / same.sum(), 1 / (~same).sum())
    offset = float(_distances(means[1], means[0], np.eye(x.shape[1])).mean())
    return Problem(
        means[1], means[0], np.where(same, 1.0, -1.0), weights, offset
    ), within


def objective(problem: Problem, infrared_map: Array, visible_map: Array, metric: Array):
    """Sum over pairs of w log(1 + exp(y (d - offset)))."""
    a, b = problem.infrared @ infrared_map, problem.visible @ visible_map
    margin = problem.signs * (_distances(a, b, metric) - problem.offset)
    return float(np.sum(problem.weights * np.logaddexp(0, margin)))


def slopes(problem: Problem, a: Array, b: Array, metric: Array) -> Array:
    """The objective's derivative by each pair's distance."""
    margin = problem.signs * (_distances(a, b, metric) - problem.offset)
    return problem.weights * problem.signs * _sigmoid(margin)


def cross_gradients(
    problem: Problem,
    infrared_map: Array,
    visible_map: Array,
    metric: Array,
    *,
    exact: bool,
) -> tuple[Array, Array]:
    """The objective's gradients by the two maps, exact or as released.

    Released, the factor 2 is missing, the metric multiplies the unprojected means from
    the left, and for the visible map the slopes are not transposed and their row sums
    are taken again.
    """
    x, z = problem.infrared, problem.visible
    a, b = x @ infrared_map, z @ visible_map
    g = slopes(problem, a, b, metric)
    if exact:
        of_x = x.T @ (g.sum(1)[:, None] * a - g @ b) @ metric
        of_z = z.T @ (g.sum(0)[:, None] * b - g.T @ a) @ metric
        return 2 * of_x, 2 * of_z
    rows = g.sum(1)[:, None]
    of_x, of_z = x.T @ g @ b @ metric, z.T @ g @ a @ metric
    return (
        metric @ x.T @ (rows * a) - of_x - of_x.T,
        metric @ z.T @ (rows * b) - of_z - of_z.T,
    )


def within_gradient(
    centred: Float[np.ndarray, "n k"], projection: Array, factor: Array | None = None
) -> Array:
    """Gradient of mean log(1 + exp |x projection|^2) of the centred features.

    `factor` stands for the projection outside of the sigmoid.
    """
    factor = projection if factor is None else factor
    weights = _sigmoid(np.square(centred @ projection).sum(1))
    return 2 * (centred.T * weights) @ centred @ factor / len(centred)


class Fista:
    """Accelerated proximal gradient on the metric, kept positive semi-definite."""

    def __init__(self, metric: Array):
        self.metric = self.start = metric  # `start`: extrapolated, where a step begins
        self.momentum, self.bound = 1.0, 1 / 256

    def step(self, problem: Problem, infrared_map: Array, visible_map: Array) -> Array:
        """One step with backtracking; the new metric."""
        a, b = problem.infrared @ infrared_map, problem.visible @ visible_map
        new_momentum = (1 + np.sqrt(1 + 4 * self.momentum**2)) / 2
        g = slopes(problem, a, b, self.start)
        gradient = (a.T * g.sum(1)) @ a + (b.T * g.sum(0)) @ b
        mixed = a.T @ g @ b
        gradient -= mixed + mixed.T
        value = objective(problem, infrared_map, visible_map, self.start)
        while True:
            new = _semi_definite(self.start - gradient / self.bound)
            change = new - self.start
            limit = value + np.sum(gradient * change)
            limit += self.bound / 2 * np.sum(change**2)
            found = objective(problem, infrared_map, visible_map, new)
            if found <= limit + 1e-12 * abs(value):
                break
            self.bound *= 2
        share = (self.momentum - 1) / new_momentum
        self.start = new + share * (new - self.metric)
        self.metric, self.momentum = new, new_momentum
        return new


def _distances(a, b, metric):
    """(a - b) metric (a - b)^T for every pair of rows."""
    of_a, of_b = np.sum(a @ metric * a, 1), np.sum(b @ metric * b, 1)
    return of_a[:, None] + of_b[None, :] - 2 * a @ ((metric + metric.T) / 2) @ b.T


def _components(centred, count):
    """The directions of greatest variance, as columns."""
    _, directions = np.linalg.eigh(centred.T @ centred)
    return directions[:, ::-1][:, :count]


def _semi_definite(matrix):
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def _root(metric):
    """P with P P^T = metric."""
    values, vectors = np.linalg.eigh((metric + metric.T) / 2)
    return vectors * np.sqrt(np.maximum(values, 0))


def _sigmoid(x):
    return np.exp(-np.logaddexp(0, -x))
