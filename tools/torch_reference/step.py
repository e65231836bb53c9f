"""Objective of eq. 9, SGD in two groups, and the whole training step, in PyTorch.

The counterparts of jreid's objective.py, optim.py and `state.make_train_step`.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from tools.torch_reference import losses
from tools.torch_reference.network import STREAMS, normalise, refined_name

Outputs = Mapping[str, Mapping[str, Tensor]]
Batch = Mapping[str, Tensor]
"""As jreid's: `images` uint8 [n m h w 3], `ids` and `modality` integers [n m], where
images[:, j] are of the stem `streams[j]`."""

PRETRAINED = ("stems.", "trunk.")


@dataclass(frozen=True)
class Objective:
    """Weights and options of eq. 9, as jreid.objective.paper_terms has them."""

    branches: Sequence[str] = ("v1", "v2")
    refined: Sequence[str] = ("v1", "v2")
    identity_weight: float = 1.0
    vsd_weight: float = 1.0
    wrt_weight: float = 1.0
    hc_tri_weight: float = 1.0
    label_smoothing: float = 0.0
    temperature: float = 1.0
    stop_gradient: bool = True
    wrt_form: str = "softmax"
    wrt_feature: str = "v1"
    hc_tri_margin: float = 0.3
    hc_tri_reduction: str = "mean"
    hc_tri_feature: str = "v1"

    def __call__(
        self, outputs: Outputs, ids: Tensor, modality: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and every unweighted term as "loss/<name>"."""
        features, logits = outputs["features"], outputs["logits"]
        terms = {}
        if self.identity_weight:
            for name in (*self.branches, *map(refined_name, self.refined)):
                terms[f"identity_{name}"] = (
                    self.identity_weight,
                    losses.identity(
                        logits[name], ids, label_smoothing=self.label_smoothing
                    ),
                )
        if self.vsd_weight:
            for name in self.refined:
                vsd = losses.variational_self_distillation(
                    logits[name],
                    logits[refined_name(name)],
                    temperature=self.temperature,
                    stop_gradient=self.stop_gradient,
                )
                terms[f"vsd_{name.removeprefix('v')}"] = self.vsd_weight, vsd
        if self.wrt_weight:
            wrt = losses.weighted_regularized_triplet(
                features[self.wrt_feature], ids, form=self.wrt_form
            )
            terms["wrt"] = self.wrt_weight, wrt
        if self.hc_tri_weight:
            hc_tri = losses.hetero_center_triplet(
                features[self.hc_tri_feature],
                ids,
                modality,
                margin=self.hc_tri_margin,
                reduction=self.hc_tri_reduction,
            )
            terms["hc_tri"] = self.hc_tri_weight, hc_tri
        total = torch.stack([weight * term for weight, term in terms.values()]).sum()
        return total, {f"loss/{name}": term for name, (_, term) in terms.items()}


def make_optimizer(
    network: nn.Module,
    *,
    pretrained: float = 0.1,
    weight_decay: float = 5e-4,
    momentum: float = 0.9,
    fused: bool | None = None,
) -> torch.optim.SGD:
    """Nesterov SGD: the stems and the trunk at `pretrained` times the learning rate.

    Weight decay applies to everything but GeM's exponents. Each group's "multiplier" is
    what its learning rate is of the schedule's. `fused` is torch.optim.SGD's.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            multiplier = pretrained if name.startswith(PRETRAINED) else 1.0
            decay = 0.0 if name.endswith(".pool.p") else weight_decay
            groups.setdefault((multiplier, decay), []).append(parameter)
    return torch.optim.SGD(
        [
            {"params": parameters, "multiplier": multiplier, "weight_decay": decay}
            for (multiplier, decay), parameters in groups.items()
        ],
        lr=0.0,
        momentum=momentum,
        nesterov=True,
        fused=fused,
    )


def make_step(
    network: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[int], float],
    *,
    streams: Sequence[str] = STREAMS,
    autocast: torch.dtype | None = None,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = True,
    compile_options: Mapping[str, Any] | None = None,
) -> Callable[[Batch], dict[str, Tensor]]:
    """Returns `step(batch) -> scalars`: forward, backward, update, in place.

    Args:
      network: in training mode; for channels_last, moved to that memory format.
      objective: of eq. 9.
      optimizer: of `make_optimizer`.
      schedule: from the number of steps taken to the learning rate.
      streams: stem of each column of a batch's slots.
      autocast: the activations' type (torch.bfloat16), None for the parameters'.
      dtype: the type the images are normalised in, that of the parameters.
      channels_last: memory format of the images, hence of all maps.
      compile_options: given to torch.compile, which then compiles the computation of
        the loss ({} is its default); None for eager mode.

    The scalars are those of jreid's step, unfetched, so that nothing waits for them.
    """

    def loss_and_scalars(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        images = normalise(batch["images"].permute(0, 1, 4, 2, 3), dtype)
        if not channels_last:
            images = images.contiguous()
        device = images.device.type
        with (
            torch.autocast(device, dtype=autocast)
            if autocast is not None
            else contextlib.nullcontext()
        ):
            outputs = network(images, streams)
        ids, modality = batch["ids"].flatten(), batch["modality"].flatten()
        loss, scalars = objective(outputs, ids, modality)
        return loss, scalars | branch_agreement(outputs["embeddings"])

    computed = loss_and_scalars
    if compile_options is not None:
        computed = torch.compile(loss_and_scalars, **compile_options)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    taken = 0

    def step(batch: Batch) -> dict[str, Tensor]:
        nonlocal taken
        for group in optimizer.param_groups:
            group["lr"] = group["multiplier"] * schedule(taken)
        optimizer.zero_grad(set_to_none=True)
        loss, scalars = computed(batch)
        loss.backward()
        grads = [p.grad for p in parameters if p.grad is not None]
        scalars = {"loss": loss} | scalars
        scalars = {name: value.detach() for name, value in scalars.items()}
        scalars["grad_norm"] = nn.utils.get_total_norm(grads)
        optimizer.step()
        taken += 1
        return scalars

    return step


def branch_agreement(embeddings: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """cosine(v1, v2): near 1 the second branch adds nothing to the first."""
    if len(embeddings) < 2:
        return {}
    first, second = list(embeddings.values())[:2]
    return {"cosine_v1_v2": functional.cosine_similarity(first, second).mean()}
