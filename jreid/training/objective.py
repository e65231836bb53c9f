"""The objective: a mapping from names to weighted terms, summed into one number."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid import losses
from jreid.models.two_stream import refined_name

Outputs = Mapping[str, Any]
"""What the network returns for b images: `outputs["features"][branch]` before the neck
(b d), `outputs["embeddings"][branch]` after it (b d), `outputs["logits"][name]`
(b classes), where `name` is a branch (v1) or its refinement (z1)."""

Batch = Mapping[str, Any]
"""`batch["ids"]` (labels from 0) and `batch["modality"]`, integers of shape (b,)."""

TermFunction = Callable[[Outputs, Batch], Array]


@dataclass(frozen=True)
class Term:
    """One term: its weight, and a function of outputs and batch to a scalar."""

    weight: float
    function: TermFunction


def make_objective(
    terms: Mapping[str, Term],
) -> Callable[[Outputs, Batch], tuple[Float[Array, ""], dict[str, Array]]]:
    """Returns `objective(outputs, batch) -> (total, metrics)`.

    The total is the weighted sum in float32. `metrics` holds it as "loss" and the
    unweighted value of every term as "loss/<name>". A term of weight 0 is not computed.

    Raises:
      ValueError: if a weight is not finite, or no term has a weight other than 0.
    """
    for name, term in terms.items():
        if not math.isfinite(term.weight):
            raise ValueError(
                f"The weight of the term {name!r} is {term.weight}; give a finite "
                "number (0 leaves the term out)."
            )
    active = {name: term for name, term in terms.items() if term.weight != 0}
    if not active:
        raise ValueError(
            f"Nothing to minimise: of the terms {sorted(terms)} none has a weight "
            "other than 0. Give at least one a weight."
        )

    def objective(
        outputs: Outputs, batch: Batch
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        values = {name: term.function(outputs, batch) for name, term in active.items()}
        total = jnp.zeros(())  # float32, or float64 where JAX has it enabled
        for name, value in values.items():
            total = total + (active[name].weight * value).astype(total.dtype)
        metrics = {f"loss/{name}": value for name, value in values.items()}
        return total, {"loss": total} | metrics

    return objective


def paper_terms(
    *,
    branches: tuple[str, ...] = ("v1", "v2"),
    refined: tuple[str, ...] = ("v1", "v2"),
    identity_weight: float = 1.0,
    vsd_weight: float = 1.0,
    wrt_weight: float = 1.0,
    hc_tri_weight: float = 1.0,
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    stop_gradient: bool = True,
    wrt_form: str = "softmax",
    wrt_feature: str = "v1",
    hc_tri_margin: float = 0.3,
    hc_tri_reduction: str = "mean",
    hc_tri_feature: str = "v1",
) -> dict[str, Term]:
    """The terms of eq. 9: identity_v1, identity_z1, vsd_1, ..., wrt and hc_tri.

    Args:
      branches: names of the network's branches, "v" and a suffix each.
      refined: those of them that the bottleneck refines: v1 into z1, v2 into z2.
      identity_weight: weight of each identity term, of branches and refinements.
      vsd_weight: weight of each distillation term.
      wrt_weight: weight of the weighted regularised triplet.
      hc_tri_weight: weight of the hetero-centre triplet.
      label_smoothing: see `losses.identity`.
      temperature: see `losses.variational_self_distillation`.
      stop_gradient: see `losses.variational_self_distillation`.
      wrt_form: see `losses.weighted_regularized_triplet`.
      wrt_feature: the branch whose feature before the neck this term receives.
      hc_tri_margin: see `losses.hetero_center_triplet`.
      hc_tri_reduction: see `losses.hetero_center_triplet`.
      hc_tri_feature: the branch whose feature before the neck this term receives.

    Raises:
      ValueError: if `refined` or the feature of a metric term names no branch.
    """
    _check_names(branches, "refined", refined)
    identity = partial(_identity, label_smoothing=label_smoothing)
    vsd = partial(_vsd, temperature=temperature, stop_gradient=stop_gradient)
    terms = {}
    for name in branches + tuple(refined_name(branch) for branch in refined):
        terms[f"identity_{name}"] = Term(identity_weight, partial(identity, name))
    for branch in refined:
        name = f"vsd_{branch.removeprefix('v')}"
        terms[name] = Term(vsd_weight, partial(vsd, branch))
    if wrt_weight:
        _check_names(branches, "wrt_feature", (wrt_feature,))
    wrt = partial(_wrt, wrt_feature, form=wrt_form)
    terms["wrt"] = Term(wrt_weight, wrt)
    if hc_tri_weight:
        _check_names(branches, "hc_tri_feature", (hc_tri_feature,))
    hc_tri = partial(
        _hc_tri, hc_tri_feature, margin=hc_tri_margin, reduction=hc_tri_reduction
    )
    terms["hc_tri"] = Term(hc_tri_weight, hc_tri)
    return terms


def _check_names(
    branches: tuple[str, ...], option: str, names: tuple[str, ...]
) -> None:
    for name in names:
        if name not in branches:
            raise ValueError(
                f"{option} names the branch {name!r}, but the branches are "
                f"{list(branches)}. Name one of these, or add the branch."
            )


def _named(outputs: Outputs, kind: str, name: str) -> Array:
    if name not in outputs.get(kind, {}):
        raise ValueError(
            f"A term asks for {kind}[{name!r}], but the network returns for {kind} "
            f"only {sorted(outputs.get(kind, {}))}. Correct the name in the term, or "
            "add the branch to the network."
        )
    return outputs[kind][name]


def _identity(name: str, outputs: Outputs, batch: Batch, **options: Any) -> Array:
    return losses.identity(_named(outputs, "logits", name), batch["ids"], **options)


def _vsd(branch: str, outputs: Outputs, batch: Batch, **options: Any) -> Array:
    return losses.variational_self_distillation(
        _named(outputs, "logits", branch),
        _named(outputs, "logits", refined_name(branch)),
        **options,
    )


def _wrt(branch: str, outputs: Outputs, batch: Batch, **options: Any) -> Array:
    return losses.weighted_regularized_triplet(
        _named(outputs, "features", branch), batch["ids"], **options
    )


def _hc_tri(branch: str, outputs: Outputs, batch: Batch, **options: Any) -> Array:
    return losses.hetero_center_triplet(
        _named(outputs, "features", branch), batch["ids"], batch["modality"], **options
    )
