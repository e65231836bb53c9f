"""A term's factor from the other terms of the last epoch, as DDAG has it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.config_files import load
from jreid.losses.identity import Identity
from jreid.losses.paced import Paced
from jreid.training.pace import Pace, PaceOfEpoch
from jreid.training.state import TrainState


def test_the_factor_is_of_the_last_epochs_mean_without_the_term():
    memory, hook = load("sysu:ddag").memory, load("sysu:ddag").between_epochs
    assert isinstance(memory, Pace) and isinstance(hook, PaceOfEpoch)
    extra, factors, rng = memory.init({}), [], np.random.default_rng(0)
    epochs = rng.uniform(1, 5, (3, 4))
    for epoch, others in enumerate(epochs):
        state = TrainState(jnp.int32(0), {}, {}, {}, extra)
        labels, given = hook(state, None, epoch, 0)
        assert labels is None
        assert jax.tree.map(jnp.shape, given) == jax.tree.map(jnp.shape, extra)
        factors.append(float(given["pace"]["factor"]))
        extra = extra | given
        for loss in others:
            losses = {"loss": loss + 7, "loss/triplet": loss / 2, "loss/graph": 7}
            rows = {"losses": {n: jnp.float32(v) for n, v in losses.items()}}
            extra = extra | memory.update(extra, {}, rows, {})
    expected = [0, 1 / (1 + epochs[0].mean()), 1 / (1 + epochs[1].mean())]
    np.testing.assert_allclose(factors, expected, rtol=1e-5)


def test_a_term_that_there_is_not_is_refused():
    memory = Pace("graph")
    losses = {"loss": jnp.ones(()), "loss/triplet": jnp.ones(())}
    with pytest.raises(ValueError, match=r"'graph'; allowed .* objective, triplet$"):
        memory.update(memory.init({}), {}, {"losses": losses}, {})


def test_other_weights_of_a_paced_term_are_refused():
    Paced(Identity()).check()
    for term, field in (
        (Paced(Identity(), weight=2.0), "weight is 2.0"),
        (Paced(Identity(), weight=0.0), "weight is 0.0"),
        (Paced(Identity(weight=0.5)), "term.weight is 0.5"),
    ):
        with pytest.raises(ValueError, match=f"^{field}; allowed is 1, as the pace"):
            term.check()


def test_the_factor_is_on_the_gradient_alone():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
    term, ids = Identity(on="logits.graph"), jnp.arange(3)

    def value(term, logits, factor):
        batch = {"ids": ids, "extra": {"pace": {"factor": factor}}}
        return term({"logits": {"graph": logits}}, batch)

    plain, slope = jax.value_and_grad(lambda x: value(term, x, 1.0))(logits)
    for factor in (0.0, 0.25):
        shown, paced = jax.value_and_grad(
            lambda x, f=factor: value(Paced(term), x, jnp.float32(f))
        )(logits)
        np.testing.assert_allclose(shown, plain, rtol=1e-6)
        np.testing.assert_allclose(paced, factor * slope, rtol=1e-6)
