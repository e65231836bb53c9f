"""The objective's sum, names and errors on hand-made outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid import losses
from jreid.training.objective import Term, make_objective, paper_terms

PAPER_NAMES = {
    "identity_v1",
    "identity_v2",
    "identity_z1",
    "identity_z2",
    "vsd_1",
    "vsd_2",
    "wrt",
    "hc_tri",
}


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


def constant(value):
    return lambda outputs, batch: jnp.asarray(value)


def refuse(outputs, batch):
    raise AssertionError("a term of weight 0 was computed")


def test_total_is_the_weighted_sum():
    objective = make_objective(
        {
            "a": Term(2.0, constant(3.0)),
            "b": Term(0.5, constant(10.0)),
            "off": Term(0.0, refuse),
        }
    )
    total, metrics = objective({}, {})
    assert total == 11.0
    assert total.dtype == jnp.float32
    assert metrics == {"loss": 11.0, "loss/a": 3.0, "loss/b": 10.0}


def test_paper_terms_match_the_losses():
    outputs, batch = make_outputs(), make_batch()
    ids, logits = batch["ids"], outputs["logits"]
    v1 = outputs["features"]["v1"]
    expected = {
        f"loss/identity_{name}": losses.identity(logits[name], ids) for name in logits
    } | {
        "loss/vsd_1": losses.variational_self_distillation(logits["v1"], logits["z1"]),
        "loss/vsd_2": losses.variational_self_distillation(logits["v2"], logits["z2"]),
        "loss/wrt": losses.weighted_regularized_triplet(v1, ids),
        "loss/hc_tri": losses.hetero_center_triplet(v1, ids, batch["modality"]),
    }
    total, metrics = jax.jit(make_objective(paper_terms()))(outputs, batch)
    assert total == metrics.pop("loss")
    assert metrics.keys() == expected.keys()
    for name in metrics:
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5)
    np.testing.assert_allclose(total, sum(expected.values()), rtol=1e-5)


@pytest.mark.parametrize(
    "branches, refined, absent",
    [
        (("v1",), (), {"identity_v2", "identity_z1", "identity_z2", "vsd_1", "vsd_2"}),
        (("v1", "v2"), (), {"identity_z1", "identity_z2", "vsd_1", "vsd_2"}),
        (("v1", "v2"), ("v1",), {"identity_z2", "vsd_2"}),
        (("v1", "v2"), ("v2",), {"identity_z1", "vsd_1"}),
        (("v1", "v2"), ("v1", "v2"), set()),
    ],
    ids=["base", "ours1", "ours2", "ours3", "ours4"],
)
def test_terms_of_the_ablation(branches, refined, absent):
    terms = paper_terms(branches=branches, refined=refined)
    assert terms.keys() == PAPER_NAMES - absent


def test_weights_and_options_reach_their_terms():
    outputs, batch = make_outputs(), make_batch()
    ids, logits = batch["ids"], outputs["logits"]
    v2 = outputs["features"]["v2"]
    terms = paper_terms(
        identity_weight=0.5,
        vsd_weight=2.0,
        wrt_weight=3.0,
        hc_tri_weight=4.0,
        label_smoothing=0.1,
        temperature=3.0,
        wrt_form="agw",
        wrt_feature="v2",
        hc_tri_margin=1.5,
        hc_tri_reduction="sum",
        hc_tri_feature="v2",
    )
    weights = {name: term.weight for name, term in terms.items()}
    expected = dict.fromkeys(PAPER_NAMES, 0.5)
    assert weights == expected | {"vsd_1": 2, "vsd_2": 2, "wrt": 3, "hc_tri": 4}
    np.testing.assert_allclose(
        [
            terms[name].function(outputs, batch)
            for name in ("identity_z2", "vsd_1", "wrt", "hc_tri")
        ],
        [
            losses.identity(logits["z2"], ids, label_smoothing=0.1),
            losses.variational_self_distillation(
                logits["v1"], logits["z1"], temperature=3.0
            ),
            losses.weighted_regularized_triplet(v2, ids, form="agw"),
            losses.hetero_center_triplet(
                v2, ids, batch["modality"], margin=1.5, reduction="sum"
            ),
        ],
        rtol=1e-6,
    )


def test_stop_gradient_reaches_the_distillation():
    outputs, batch = make_outputs(), make_batch()

    def teacher_slope(stop_gradient):
        term = paper_terms(stop_gradient=stop_gradient)["vsd_1"]
        gradient = jax.grad(term.function)(outputs, batch)
        return float(jnp.abs(gradient["logits"]["v1"]).max())

    assert teacher_slope(True) == 0
    assert teacher_slope(False) > 0


def test_a_weight_of_zero_needs_no_outputs():
    terms = paper_terms(branches=("v2",), refined=(), wrt_weight=0.0, hc_tri_weight=0.0)
    outputs = {"logits": {"v2": make_outputs()["logits"]["v2"]}}
    _, metrics = make_objective(terms)(outputs, make_batch())
    assert metrics.keys() == {"loss", "loss/identity_v2"}


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"wrt_feature.*'v3'.*\['v1', 'v2'\]"):
        paper_terms(wrt_feature="v3")
    with pytest.raises(ValueError, match=r"hc_tri_feature.*'v2'.*\['v1'\]"):
        paper_terms(branches=("v1",), refined=(), hc_tri_feature="v2")
    with pytest.raises(ValueError, match=r"refined.*'v2'.*\['v1'\]"):
        paper_terms(branches=("v1",))


def test_missing_output_is_named():
    outputs = make_outputs()
    del outputs["logits"]["z2"]
    with pytest.raises(ValueError, match=r"logits\['z2'\].*\['v1', 'v2', 'z1'\]"):
        make_objective(paper_terms())(outputs, make_batch())


def test_useless_weights_are_refused():
    with pytest.raises(ValueError, match="Nothing to minimise"):
        make_objective({"a": Term(0.0, constant(1.0))})
    with pytest.raises(ValueError, match="weight of the term 'a' is nan"):
        make_objective({"a": Term(float("nan"), constant(1.0))})
