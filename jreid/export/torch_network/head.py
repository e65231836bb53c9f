"""The head in plain PyTorch: poolings, necks, classifiers and the bottleneck.

The counterpart of jreid/models/pooling.py, bottleneck.py and two_stream.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]


@dataclass(frozen=True)
class Branch:
    """One branch of the head: u = pool(x) + the embedding of `adds`, v = BN(u)."""

    name: str = "v1"
    pooling: str = "gem"  # or "gem_agw", AGW's form; or "average" or "max"
    p: float = 3.0
    learn_p: bool = True
    adds: str = ""


DIAM = (Branch("v1"), Branch("v2", adds="v1"))  # paper eq. 4 and 5


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class GeM(nn.Module):
    """Generalised mean `(mean(x^p))^(1/p)` per channel (eq. 2), at least float32.

    A learned p counts as max(p, 1), and gets its gradient as if it were not bounded.
    AGW's form, for maps without negative values, is `(mean(x^p) + 1e-12)^(1/p)`.
    """

    def __init__(
        self,
        p: float = 3.0,
        *,
        learnable: bool = True,
        agw: bool = False,
        epsilon: float = 1e-6,
    ):
        super().__init__()
        self.p = nn.Parameter(torch.tensor(float(p))) if learnable else float(p)
        self.agw = agw
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c]."""
        p = self.p
        if not isinstance(p, int | float):  # learnt
            p = p + (p.clamp(min=1.0) - p).detach()
        if self.agw:
            positive = x > 0  # 0^p log 0, the slope in p, would be NaN
            powers = torch.where(positive, at_least_float32(x), 1) ** p
            means = torch.where(positive, powers, 0).mean((2, 3))
            return (means + 1e-12) ** (1 / p)
        logs = at_least_float32(x).clamp(min=self.epsilon).log()
        means = torch.logsumexp(p * logs, (2, 3)) - math.log(x.shape[2] * x.shape[3])
        return torch.exp(means / p)


class AveragePool(nn.Module):
    """Mean over the positions, at least float32."""

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c]."""
        return at_least_float32(x).mean((2, 3))


class MaximumPool(nn.Module):
    """Maximum over the positions, at least float32; equal ones share the gradient."""

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c]."""
        return at_least_float32(x).amax((2, 3))


def make_pool(branch: Branch) -> nn.Module:
    """The pooling of a branch."""
    if branch.pooling.startswith("gem"):
        agw = branch.pooling == "gem_agw"
        return GeM(branch.p, learnable=branch.learn_p, agw=agw)
    return {"average": AveragePool, "max": MaximumPool}[branch.pooling]()


class BranchHead(nn.Module):
    """Pooling, neck (bias frozen at 0) and classifier (without bias) of one branch."""

    def __init__(self, branch: Branch, channels: int, classes: int):
        super().__init__()
        self.pool = make_pool(branch)
        self.neck = nn.BatchNorm1d(channels)
        nn.init.normal_(self.neck.weight, mean=1.0, std=0.01)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(channels, classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)


class InformationBottleneck(nn.Module):
    """Linear-BN-ReLU per hidden width, perhaps a Linear, an identity head (VRD, eq. 8).

    With features 0 there is no further Linear: z is the last hidden layer.
    """

    def __init__(
        self, in_features: int, classes: int, hidden: Sequence[int], features: int
    ):
        super().__init__()
        widths = (in_features, *hidden)
        pairs = zip(widths, widths[1:], strict=False)
        self.linears = nn.ModuleList(_linear(*pair) for pair in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in hidden)
        self.out = _linear(widths[-1], features) if features else nn.Identity()
        self.classifier = nn.Linear(features or widths[-1], classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """v [b d] to z [b z] and its logits [b classes]."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            v = functional.relu(norm(linear(v)))
        z = at_least_float32(self.out(v))
        with full_precision(z):
            return z, self.classifier(z)


def _linear(in_features, out_features):
    linear = nn.Linear(in_features, out_features)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out")
    nn.init.zeros_(linear.bias)
    return linear


def full_precision(x: Tensor) -> torch.autocast:
    """A block in which autocast does not lower the precision."""
    return torch.autocast(x.device.type, enabled=False)
