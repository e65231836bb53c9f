"""jreid's losses against tools/torch_reference in float64: values and gradients."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses.centres import hetero_center_triplet
from jreid.losses.distillation import variational_self_distillation
from jreid.losses.identity import identity
from jreid.losses.weighted_triplet import weighted_regularized_triplet

torch = pytest.importorskip("torch")
from tools.torch_reference import losses as theirs  # noqa: E402  (needs torch)

pytestmark = pytest.mark.torch
OURS = types.SimpleNamespace(
    hetero_center_triplet=hetero_center_triplet,
    identity=identity,
    variational_self_distillation=variational_self_distillation,
    weighted_regularized_triplet=weighted_regularized_triplet,
)

# Six identities: 0 three times in each modality, 1 unevenly, 2 with one image in all,
# 3 and 4 in one modality only, 5 once in each.
IDS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 3, 4, 4, 5, 5], np.int32)
MODALITY = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 1, 0, 1], np.int32)


def make_features(scale, kind="random"):
    """[17, 12]: around 0; far from it and close together; or with equal rows."""
    features = np.random.default_rng(0).normal(size=(len(IDS), 12))
    if kind == "close":
        features = 5 + 1e-3 * features
    if kind == "repeated":
        features[1], features[3], features[12] = features[0], features[0], features[10]
    return scale * features


def assert_same(term, x, **arrays):
    """`term(module, x, arrays)` has one value and gradient in both programs.

    Deviations are relative to the value, and to the gradient's largest entry.
    """
    # Between equal rows of large numbers what is left is the rounding of their squares,
    # whose root is a distance of about 1e-8 of the rows' length instead of 0.
    limit = 1e-10 if np.abs(x).max() < 50 else 1e-8
    with jax.enable_x64(True):
        on_jax = {name: jnp.asarray(array) for name, array in arrays.items()}
        value, gradient = jax.value_and_grad(lambda x: term(OURS, x, on_jax))(
            jnp.asarray(x)
        )
        assert value.dtype == np.float64
    x = torch.tensor(x, requires_grad=True)
    expected = term(theirs, x, {k: torch.from_numpy(v) for k, v in arrays.items()})
    expected.backward()
    assert x.grad is not None
    np.testing.assert_allclose(value, expected.item(), rtol=limit, atol=1e-14)
    largest = float(x.grad.abs().max())
    assert np.isfinite(largest)
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=limit * max(largest, 1.0))
    return expected.item()


# From distances below the rounding of their squares to 1e4, where exponentials of both
# forms underflow.
SCALES = [1e-8, 1e-3, 1.0, 6.0, 30.0, 3e3]


@pytest.mark.parametrize("kind", ["random", "close", "repeated"])
@pytest.mark.parametrize("form", ["softmax", "agw"])
@pytest.mark.parametrize("scale", SCALES)
def test_weighted_regularized_triplet(scale, form, kind):
    def term(module, x, arrays):
        return module.weighted_regularized_triplet(x, arrays["ids"], form=form)

    assert_same(term, make_features(scale, kind), ids=IDS)


def test_agws_form_saturates_and_the_default_does_not():
    def term(form):
        return lambda module, x, arrays: module.weighted_regularized_triplet(
            x, arrays["ids"], form=form
        )

    features = make_features(30.0)  # distances about 150
    saturated = assert_same(term("agw"), features, ids=IDS)
    assert saturated > 2 * assert_same(term("softmax"), features, ids=IDS)


@pytest.mark.parametrize("kind", ["random", "close", "repeated"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("scale", SCALES)
def test_hetero_center_triplet(scale, reduction, kind):
    def term(module, x, arrays):
        return module.hetero_center_triplet(
            x, arrays["ids"], arrays["modality"], reduction=reduction
        )

    assert_same(term, make_features(scale, kind), ids=IDS, modality=MODALITY)


@pytest.mark.parametrize("form", ["softmax", "agw"])
@pytest.mark.parametrize("ids", [np.zeros(17, np.int32), np.arange(17, dtype=np.int32)])
def test_one_identity_alone_and_one_image_each(ids, form):
    def wrt(module, x, arrays):
        return module.weighted_regularized_triplet(x, arrays["ids"], form=form)

    def hc_tri(module, x, arrays):
        return module.hetero_center_triplet(x, arrays["ids"], arrays["modality"])

    assert_same(wrt, make_features(1.0), ids=ids)
    assert assert_same(hc_tri, make_features(1.0), ids=ids, modality=MODALITY) == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_identity(scale, smoothing):
    def term(module, x, arrays):
        return module.identity(x, arrays["ids"], label_smoothing=smoothing)

    assert_same(term, make_features(scale), ids=IDS)


@pytest.mark.parametrize("stop_gradient", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_variational_self_distillation(scale, temperature, stop_gradient):
    def term(module, x, arrays):
        return module.variational_self_distillation(
            x,
            arrays["student"] * x,
            temperature=temperature,
            stop_gradient=stop_gradient,
        )

    student = np.random.default_rng(1).normal(size=(len(IDS), 12))
    assert_same(term, make_features(scale), student=student)
