"""The terms of eq. 9 in PyTorch, each the counterpart of one in jreid/losses."""

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from jreid.export.torch_network.head import at_least_float32


def euclidean_distances(a: Tensor, b: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Euclidean distances [n m] between rows [n d] and [m d].

    sqrt(max(|a|^2 + |b|^2 - 2ab, eps)), with gradient 0 where the maximum is eps.
    """
    origin = a.mean(0, keepdim=True).detach()  # less cancels between small numbers
    a, b = a - origin, b - origin
    squared = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
    return torch.where(squared <= eps, eps, squared).sqrt()


def identity(logits: Tensor, ids: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of logits [b classes] and labels [b] (eq. 10)."""
    return functional.cross_entropy(
        at_least_float32(logits), ids.long(), label_smoothing=label_smoothing
    )


def weighted_regularized_triplet(
    features: Tensor, ids: Tensor, *, form: str = "softmax"
) -> Tensor:
    """Mean over anchors of log(1 + exp(positive - negative)) (eq. 11).

    Positive and negative are distances weighted by a softmax over the images of the
    same identity (the anchor too) and over all others; `form` "agw" weighs as AGW's
    loss.py does. An anchor without a negative has loss 0, in AGW's form the value that
    a negative at distance 0 gives.
    """
    weigh = {"softmax": masked_softmax, "agw": agw_masked_softmax}[form]
    features = at_least_float32(features)
    distances = euclidean_distances(features, features)
    same = ids[:, None] == ids[None]
    positive = (weigh(distances, same) * distances).sum(1)
    negative = (weigh(-distances, ~same) * distances).sum(1)
    # Not softplus, which is linear beyond 20, nor log1p(exp), which overflows.
    losses = torch.logaddexp(positive - negative, torch.zeros_like(positive))
    if form == "softmax":
        losses = torch.where((~same).any(1), losses, 0)
    return losses.mean()


def masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Softmax of each row over its selected entries; zeros elsewhere."""
    lowest = torch.finfo(logits.dtype).min
    return torch.where(mask, logits.masked_fill(~mask, lowest).softmax(1), 0)


def agw_masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """AGW's: the maximum over logits * mask, and 1e-6 added to the normaliser."""
    selected = torch.where(mask, logits, 0)
    exponentials = torch.exp(selected - selected.amax(1, keepdim=True))
    exponentials = torch.where(mask, exponentials, 0)
    return exponentials / (exponentials.sum(1, keepdim=True) + 1e-6)


def hetero_center_triplet(
    features: Tensor,
    ids: Tensor,
    modality: Tensor,
    *,
    margin: float = 0.3,
    reduction: str = "mean",
) -> Tensor:
    """Triplet hinge on the centres of identities and modalities (eq. 12-14).

    `reduction` is "mean" over the centres or their "sum". A centre whose identity lacks
    the other modality is no anchor.
    """
    features = at_least_float32(features)
    same, same_modality = ids[:, None] == ids[None], modality[:, None] == modality[None]
    members, counterparts = same & same_modality, same & ~same_modality
    counts = members.sum(1).to(features.dtype)
    # The centre of each image's own group, so K times each, weighing 1 / K.
    centers = members.to(features.dtype) @ features / counts[:, None]
    distances = euclidean_distances(centers, centers)
    positive = torch.where(counterparts, distances, 0).amax(1)
    negative = torch.where(same, torch.inf, distances).amin(1)
    hinge = functional.relu(margin + positive - negative)
    weights = counterparts.any(1) / counts
    total = (weights * hinge).sum()
    return total if reduction == "sum" else total / weights.sum().clamp(min=1)


def variational_self_distillation(
    teacher_logits: Tensor,
    student_logits: Tensor,
    *,
    temperature: float = 1.0,
    stop_gradient: bool = True,
) -> Tensor:
    """KL(p(y|v) || p(y|z)), summed over classes, mean over the batch (eq. 8)."""
    teacher = at_least_float32(teacher_logits)
    if stop_gradient:
        teacher = teacher.detach()
    log_p = (teacher / temperature).log_softmax(1)
    log_q = (at_least_float32(student_logits) / temperature).log_softmax(1)
    return functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
