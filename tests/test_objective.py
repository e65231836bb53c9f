"""The objective's sum, names and errors on hand-made outputs; terms beside losses."""

import jax
import jax.numpy as jnp
import numpy as np
import paper_parts
import pytest

from jreid.losses.batch_hard import BatchHardTriplet, batch_hard_triplet
from jreid.losses.centres import HeteroCenterTriplet, hetero_center_triplet
from jreid.losses.distillation import SelfDistillation, variational_self_distillation
from jreid.losses.identity import Identity, identity
from jreid.losses.standing import names_of, stand
from jreid.losses.weighted_triplet import (
    WeightedTriplet,
    weighted_regularized_triplet,
)
from jreid.training.objective import make_objective


def make_outputs():
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    return {
        "features": {"v1": draw(8, 6), "v2": draw(8, 6)},
        "embeddings": {"v1": draw(8, 6), "v2": draw(8, 6)},
        "logits": {name: draw(8, 3) for name in ("v1", "v2", "z1", "z2")},
    }


def make_batch():
    return {
        "ids": jnp.asarray([0, 1, 2, 2, 1, 0, 0, 1]),
        "modality": jnp.asarray([0, 1, 0, 1, 0, 1, 0, 0]),
    }


class Constant:
    """A term that is a number."""

    on = ()

    def __init__(self, weight: float, value: float):
        self.weight, self.value = weight, value

    def __call__(self, outputs, batch, rng=None):
        return jnp.asarray(self.value)


class Refused(Constant):
    """A term that must not be computed."""

    def __call__(self, outputs, batch, rng=None):
        raise AssertionError("a term of weight 0 was computed")


class Uniform(Constant):
    """A random number."""

    def __call__(self, outputs, batch, rng=None):
        return jnp.asarray(-1.0) if rng is None else jax.random.uniform(rng)


def test_total_is_the_weighted_sum():
    terms = {"a": Constant(2.0, 3.0), "b": Constant(0.5, 10.0), "off": Refused(0.0, 0)}
    total, metrics = make_objective(terms)({}, {})
    assert total == 11.0
    assert total.dtype == jnp.float32
    assert metrics == {"loss": 11.0, "loss/a": 3.0, "loss/b": 10.0}


def test_random_numbers_reach_each_term_and_differ_between_them():
    objective = make_objective({"a": Uniform(1.0, 0), "b": Uniform(1.0, 0)})
    one, same, other = (objective({}, {}, jax.random.key(n))[1] for n in (0, 0, 1))
    assert one == same
    values = {float(m[f"loss/{name}"]) for m in (one, other) for name in "ab"}
    assert len(values) == 4 and min(values) >= 0
    assert objective({}, {})[1]["loss/a"] == -1


def test_the_papers_terms_match_the_losses():
    outputs, batch = make_outputs(), make_batch()
    ids, logits = batch["ids"], outputs["logits"]
    v1 = outputs["features"]["v1"]
    expected = {f"loss/identity_{name}": identity(logits[name], ids) for name in logits}
    expected |= {
        "loss/vsd_1": variational_self_distillation(logits["v1"], logits["z1"]),
        "loss/vsd_2": variational_self_distillation(logits["v2"], logits["z2"]),
        "loss/wrt": weighted_regularized_triplet(v1, ids),
        "loss/hc_tri": hetero_center_triplet(v1, ids, batch["modality"]),
    }
    objective = make_objective(paper_parts.objective())
    total, metrics = jax.jit(objective)(outputs, batch)
    assert total == metrics.pop("loss")
    assert metrics.keys() == expected.keys()
    for name in metrics:
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5)
    np.testing.assert_allclose(total, sum(expected.values()), rtol=1e-5)


def test_options_and_places_reach_the_losses():
    outputs, batch = make_outputs(), make_batch()
    ids, modality, logits = batch["ids"], batch["modality"], outputs["logits"]
    v2 = outputs["features"]["v2"]
    pairs = [
        (
            Identity(on="logits.z2", smoothing=0.1),
            identity(logits["z2"], ids, label_smoothing=0.1),
        ),
        (
            SelfDistillation(teacher="logits.v2", on="logits.z2", temperature=3.0),
            variational_self_distillation(logits["v2"], logits["z2"], temperature=3.0),
        ),
        (
            WeightedTriplet(on="features.v2", form="agw"),
            weighted_regularized_triplet(v2, ids, form="agw"),
        ),
        (
            HeteroCenterTriplet(on="features.v2", margin=1.5, reduction="sum"),
            hetero_center_triplet(v2, ids, modality, margin=1.5, reduction="sum"),
        ),
        (
            BatchHardTriplet(on="features.v2", margin=1.5),
            batch_hard_triplet(v2, ids, margin=1.5),
        ),
    ]
    for term, expected in pairs:
        np.testing.assert_allclose(term(outputs, batch), expected, rtol=1e-6)


def test_a_term_on_several_outputs_is_the_sum_of_their_shares():
    outputs, batch = make_outputs(), make_batch()
    on = (("logits.v1", 0.75), ("logits.z2", 0.25))
    assert names_of(on) == ("logits.v1", "logits.z2")
    assert names_of("logits.v1") == ("logits.v1",)
    assert [share for share, _ in stand(on, outputs)] == [0.75, 0.25]
    alone = [identity(outputs["logits"][name], batch["ids"]) for name in ("v1", "z2")]
    expected = 0.75 * alone[0] + 0.25 * alone[1]
    np.testing.assert_allclose(Identity(on=on)(outputs, batch), expected, rtol=1e-6)


def test_stop_gradient_reaches_the_distillation():
    outputs, batch = make_outputs(), make_batch()

    def teacher_slope(stop_gradient):
        term = SelfDistillation(stop_gradient=stop_gradient)
        gradient = jax.grad(term)(outputs, batch)
        return float(jnp.abs(gradient["logits"]["v1"]).max())

    assert teacher_slope(True) == 0
    assert teacher_slope(False) > 0


def test_missing_output_is_named():
    outputs = make_outputs()
    del outputs["logits"]["z2"]
    with pytest.raises(ValueError, match=r"'logits.z2'.*embeddings.v1.*logits.z1"):
        make_objective(paper_parts.objective())(outputs, make_batch())


@pytest.mark.parametrize(
    ("asked", "said"),
    [("logits.z3", "asks for 'z3'; allowed is what"), ("", "on is nothing")],
)
def test_a_term_of_ones_own_that_asks_for_what_is_not_there_is_named(asked, said):
    class Own(Constant):
        def __call__(self, outputs, batch, rng=None):
            if not asked:
                raise ValueError("on is nothing")
            return outputs["logits"]["z3"].mean()

    objective = make_objective({"mine": Own(1.0, 0)}, "critic")
    with pytest.raises(ValueError, match=f"^the term critic/mine:? {said}") as told:
        objective(make_outputs(), make_batch())
    if asked:
        assert "features.v1" in str(told.value) and "ids, modality" in str(told.value)


def test_useless_weights_are_refused():
    with pytest.raises(ValueError, match="nothing to minimise"):
        make_objective({"a": Constant(0.0, 1.0)})
    with pytest.raises(ValueError, match="weight of the term 'a' is nan"):
        make_objective({"a": Constant(float("nan"), 1.0)})


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Identity(weight=-1.0), "weight is -1.0; allowed is 0 and more"),
        (Identity(on=()), "on is ()"),
        (Identity(smoothing=1.1), "smoothing is 1.1; allowed is 0 to 1"),
        (WeightedTriplet(weight=float("nan")), "weight is nan"),
        (HeteroCenterTriplet(margin=-0.1), "margin is -0.1"),
        (BatchHardTriplet(margin=-0.1), "margin is -0.1"),
        (SelfDistillation(temperature=0.0), "temperature is 0.0; allowed is 0.001"),
    ],
)
def test_fields_out_of_bounds_are_refused(term, message):
    with pytest.raises(ValueError) as refused:
        term.check()
    assert str(refused.value).startswith(message)
