"""torchvision's ResNet on a plain dict of tensors, to compare with; and random ones."""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import torch.nn.functional as F  # pyright: ignore[reportMissingImports]

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
Tensors = dict[str, torch.Tensor]


def random_state(depth: int, classes: int = 10, seed: int = 0) -> Tensors:
    """Tensors by torchvision's names and shapes, with activations of moderate size."""
    generator = torch.Generator().manual_seed(seed)
    state: Tensors = {}

    def add(conv, bn, out, into, size):
        scale = (2 / (into * size * size)) ** 0.5
        weight = torch.randn(out, into, size, size, generator=generator) * scale
        state[f"{conv}.weight"] = weight
        state[f"{bn}.weight"] = torch.rand(out, generator=generator) * 0.5 + 0.5
        state[f"{bn}.bias"] = torch.randn(out, generator=generator) * 0.1
        state[f"{bn}.running_mean"] = torch.randn(out, generator=generator) * 0.1
        state[f"{bn}.running_var"] = torch.rand(out, generator=generator) + 0.5
        state[f"{bn}.num_batches_tracked"] = torch.tensor(100)

    add("conv1", "bn1", 64, 3, 7)
    expansion, into = (4 if depth >= 50 else 1), 64
    for stage, count in enumerate(BLOCKS[depth], start=1):
        inner = 64 * 2 ** (stage - 1)
        for block in range(count):
            name = f"layer{stage}.{block}"
            sizes = [(inner, 1), (inner, 3), (inner * 4, 1)]
            channels = into
            for i, (out, size) in enumerate(
                sizes if expansion == 4 else [(inner, 3), (inner, 3)], start=1
            ):
                add(f"{name}.conv{i}", f"{name}.bn{i}", out, channels, size)
                channels = out
            if block == 0 and (stage > 1 or expansion == 4):
                shortcut = f"{name}.downsample"
                add(f"{shortcut}.0", f"{shortcut}.1", channels, into, 1)
            into = channels
    state["fc.weight"] = torch.randn(classes, into, generator=generator) * 0.01
    state["fc.bias"] = torch.randn(classes, generator=generator)
    return state


def conv_bn(state: Tensors, conv: str, bn: str, x, stride: int = 1):
    """A convolution without bias, padded by half its size, and a frozen BatchNorm."""
    weight = state[f"{conv}.weight"]
    padding = weight.shape[-1] // 2
    x = F.conv2d(x, weight, stride=stride, padding=padding)
    return batch_norm(state, bn, x)


def batch_norm(state: Tensors, name: str, x):
    """A frozen BatchNorm."""
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])


def stem(state: Tensors, x, prefix: str = ""):
    """conv1, bn1, relu, maxpool."""
    x = conv_bn(state, f"{prefix}conv1", f"{prefix}bn1", x, 2)
    return F.max_pool2d(F.relu(x), 3, 2, 1)


def block(state: Tensors, name: str, x, stride: int):
    """One residual block of either kind, with the stride in the first 3 x 3."""
    bottleneck = f"{name}.conv3.weight" in state
    strides = (1, stride, 1) if bottleneck else (stride, 1)
    y = x
    for i, step in enumerate(strides, start=1):
        y = conv_bn(state, f"{name}.conv{i}", f"{name}.bn{i}", y, step)
        y = F.relu(y) if i < len(strides) else y
    if f"{name}.downsample.0.weight" in state:
        x = conv_bn(state, f"{name}.downsample.0", f"{name}.downsample.1", x, stride)
    return F.relu(x + y)


def trunk(state: Tensors, x, last_stride: int = 2, prefix: str = "", after=None):
    """The four stages; `after(stage, block, x)` is applied to each block's output."""
    for stage in (1, 2, 3, 4):
        index = 0
        while f"{prefix}layer{stage}.{index}.conv1.weight" in state:
            stride = {1: 1, 4: last_stride}.get(stage, 2) if index == 0 else 1
            x = block(state, f"{prefix}layer{stage}.{index}", x, stride)
            x = after(stage, index, x) if after else x
            index += 1
    return x


def nchw(images: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def nhwc(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().transpose(0, 2, 3, 1)
