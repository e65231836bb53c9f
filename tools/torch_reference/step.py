"""Objective of eq. 9, SGD in two groups, and the whole training step, in PyTorch.

The counterparts of jreid/training: objective.py, optimizers.py and learner.py.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from jreid.export.torch_network.network import STREAMS, normalise
from tools.torch_reference import losses

Outputs = Mapping[str, Mapping[str, Tensor]]
Batch = Mapping[str, Tensor]
"""As jreid's: `images` uint8 [n m h w 3], `ids` and `modality` integers [n m], where
images[:, j] are of the stem `streams[j]`."""

PRETRAINED = ("stems.", "trunk.")


@dataclass(frozen=True)
class Term:
    """One term: a loss of losses.py, its weight, where it stands, its options."""

    loss: str
    weight: float
    on: str  # "logits.v1"
    teacher: str  # of a distillation, "" of others
    options: Mapping[str, Any]

    def __call__(self, outputs: Outputs, ids: Tensor, modality: Tensor) -> Tensor:
        """Its value, not yet weighted."""
        loss = getattr(losses, self.loss)
        given = [_output(outputs, self.on)]
        if self.teacher:
            given.insert(0, _output(outputs, self.teacher))
        else:
            given.append(ids)
        if self.loss == "hetero_center_triplet":
            given.append(modality)
        return loss(*given, **self.options)


@dataclass(frozen=True)
class Objective:
    """The sum of weighted terms by name; those of weight 0 are left out."""

    terms: Mapping[str, Term]

    def __call__(
        self, outputs: Outputs, ids: Tensor, modality: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and every unweighted term as "loss/<name>"."""
        active = {name: term for name, term in self.terms.items() if term.weight}
        values = {n: term(outputs, ids, modality) for n, term in active.items()}
        weighted = [active[name].weight * value for name, value in values.items()]
        total = torch.stack(weighted).sum()
        return total, {f"loss/{name}": value for name, value in values.items()}


def _output(outputs: Outputs, name: str) -> Tensor:
    kind, _, key = name.partition(".")
    return outputs[kind][key]


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
