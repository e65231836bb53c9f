"""A transformer's weights into a run: names, positions, refusals, equal outputs."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jreid.convert import torchvision as convert_torchvision
from jreid.models.torch_names import to_torch_layout, transformer_name
from jreid.models.vision_transformer import VisionTransformer
from jreid.processes.sharding import data_mesh
from jreid.run.pretrained import new_parts, read_transformer, with_weights
from jreid.run.transformer_weights import interpolated, transformer_shapes
from jreid.training.state import (
    TrainState,
    abstract_params_and_stats,
    network_structure,
)

PART = VisionTransformer(
    (28, 20), patch=8, stride=6, width=8, blocks=2, heads=2, hidden=12
)
SIDE = 4  # patches on a side of the images of the weights


def make(rngs):
    return PART.make(5, rngs, jnp.float32)


def new_values():
    """Parameters and statistics of PART, all of them 0."""
    return jax.tree.map(
        lambda x: jnp.zeros(x.shape), abstract_params_and_stats(make, data_mesh())
    )


def their_tensors(library, old=False, side=SIDE, seed=0):
    """Tensors of a transformer like PART by a library's names, with a head."""
    rng = np.random.default_rng(seed)
    square = dataclasses.replace(PART, size=(8 * side, 8 * side), stride=8)
    tensors = {}
    for path, shape in transformer_shapes(square).items():
        array = (0.3 * rng.normal(size=shape)).astype(np.float32)
        array = 1 + array if path.endswith("scale") else array
        tensors[transformer_name(path, library)] = to_torch_layout(array)
    head = "head" if library == "timm" else "heads.head"
    tensors |= {
        f"{head}.weight": np.ones((3, 8), "f4"),
        f"{head}.bias": np.ones(3, "f4"),
    }
    if old:
        for new, was in (("mlp.0.", "mlp.linear_1."), ("mlp.3.", "mlp.linear_2.")):
            tensors = {name.replace(new, was): x for name, x in tensors.items()}
    return tensors


def converted(tensors, folder) -> pathlib.Path:
    np.savez(folder / "in.npz", **tensors)
    convert_torchvision.convert_file(folder / "in.npz", folder / "out.npz")
    return folder / "out.npz"


def test_names_are_those_of_the_libraries():
    names = {
        "patches/kernel": ("patch_embed.proj.weight", "conv_proj.weight"),
        "class_token": ("cls_token", "class_token"),
        "positions": ("pos_embed", "encoder.pos_embedding"),
        "blocks/11/norm1/scale": (
            "blocks.11.norm1.weight",
            "encoder.layers.encoder_layer_11.ln_1.weight",
        ),
        "blocks/3/attention/qkv/kernel": (
            "blocks.3.attn.qkv.weight",
            "encoder.layers.encoder_layer_3.self_attention.in_proj_weight",
        ),
        "blocks/3/attention/qkv/bias": (
            "blocks.3.attn.qkv.bias",
            "encoder.layers.encoder_layer_3.self_attention.in_proj_bias",
        ),
        "blocks/0/attention/out/kernel": (
            "blocks.0.attn.proj.weight",
            "encoder.layers.encoder_layer_0.self_attention.out_proj.weight",
        ),
        "blocks/0/norm2/bias": (
            "blocks.0.norm2.bias",
            "encoder.layers.encoder_layer_0.ln_2.bias",
        ),
        "blocks/0/perceptron/hidden/kernel": (
            "blocks.0.mlp.fc1.weight",
            "encoder.layers.encoder_layer_0.mlp.0.weight",
        ),
        "blocks/0/perceptron/out/bias": (
            "blocks.0.mlp.fc2.bias",
            "encoder.layers.encoder_layer_0.mlp.3.bias",
        ),
        "norm/scale": ("norm.weight", "encoder.ln.weight"),
    }
    for path, theirs in names.items():
        found = tuple(transformer_name(path, n) for n in ("timm", "torchvision"))
        assert found == theirs


@pytest.mark.parametrize(
    ("library", "old"), [("timm", False), ("torchvision", False), ("torchvision", True)]
)
def test_a_run_begins_with_all_of_a_file_but_its_head(library, old, tmp_path):
    path = converted(their_tensors(library, old), tmp_path)
    params, stats = new_values()
    weights = read_transformer(path, PART)
    state = TrainState(jnp.int32(0), params, stats, {}, {})
    loaded = with_weights(state, weights).params
    assert new_parts(weights, loaded) == ["classifier", "neck"]
    theirs = their_tensors(library)
    for name in ("blocks/1/attention/qkv/kernel", "patches/kernel", "norm/bias"):
        leaf: Any = loaded
        for key in name.split("/"):
            leaf = leaf[int(key) if key.isdigit() else key]
        expected = theirs[transformer_name(name, library)]
        np.testing.assert_array_equal(to_torch_layout(np.asarray(leaf)), expected)
    given = theirs[transformer_name("positions", library)]
    assert loaded["positions"].shape == (1, 13, 8)
    np.testing.assert_array_equal(loaded["positions"][:, 0], given[:, 0])
    assert weights.about["grid"] == SIDE and weights.about["source"] == "in.npz"


@pytest.mark.parametrize("grid", [(4, 4), (7, 3), (2, 6)])
def test_positions_are_interpolated_between_the_centres_of_patches(grid, rng):
    given = rng.normal(size=(1, 17, 3)).astype(np.float32)
    found = interpolated(given, 4, grid)
    square = given[0, 1:].reshape(4, 4, 3)
    expected = np.zeros((*grid, 3))

    def between(place, count):
        at = min(max((place + 0.5) * 4 / count - 0.5, 0), 3)
        low = min(int(at), 2)
        return {low: 1 - (at - low), low + 1: at - low}

    for row in range(grid[0]):
        for column in range(grid[1]):
            for i, down in between(row, grid[0]).items():
                for j, right in between(column, grid[1]).items():
                    expected[row, column] += down * right * square[i, j]
    np.testing.assert_array_equal(found[0, 0], given[0, 0])
    np.testing.assert_allclose(found[0, 1:], expected.reshape(-1, 3), atol=1e-5)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path = converted(their_tensors("timm"), tmp_path)
    deeper = dataclasses.replace(PART, blocks=3)
    with pytest.raises(ValueError, match=r"blocks 2, hidden 12, but config.*blocks 3"):
        read_transformer(path, deeper)
    with pytest.raises(FileNotFoundError) as refused:
        read_transformer(tmp_path / "none.npz", PART)
    for words in (
        "jx_vit_base_p16_224-80ecf9dd.pth",
        "timm's ImageNet",
        "from scratch",
    ):
        assert words in str(refused.value)
    (tmp_path / "half.npz").write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="not a whole file of weights"):
        read_transformer(tmp_path / "half.npz", PART)
    for change, words in (
        ({"dist_token": np.ones((1, 1, 8), "f4")}, "are not known: dist_token"),
        ({"norm.bias": np.ones(9, "f4")}, "another shape: norm.bias"),
        ({"pos_embed": np.ones((1, 16, 8), "f4")}, "15 positions, which are no square"),
    ):
        with pytest.raises(ValueError, match=f"no Vision Transformer of timm.*{words}"):
            converted(their_tensors("timm") | change, tmp_path)
    lacking = their_tensors("torchvision")
    del lacking["encoder.ln.weight"]
    with pytest.raises(ValueError, match="are missing: encoder.ln.weight"):
        converted(lacking, tmp_path)


@pytest.mark.torch
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_converted_weights_compute_what_pytorch_computes(library, tmp_path, rng):
    torch = pytest.importorskip("torch")
    tensors = their_tensors(library)
    images = np.float32(rng.normal(size=(3, *PART.size, 3)))
    weights = read_transformer(converted(tensors, tmp_path), PART)
    zeros, stats = new_values()
    state = TrainState(jnp.int32(0), zeros, stats, {}, {})
    params = with_weights(state, weights).params

    @jax.jit
    def tokens(params, images):
        return nnx.merge(network_structure(make)[1], params, state.stats).tokens(images)

    found = tokens(params, jnp.asarray(images))
    expected = torch_tokens(torch, library, tensors, images).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)


def torch_tokens(torch, library, tensors, images):
    """PyTorch's layers with these tensors, those of attention its own module."""
    functional = torch.nn.functional

    def of(path):
        return torch.tensor(tensors[transformer_name(path, library)])

    def linear(path, x):
        return functional.linear(x, of(f"{path}/kernel"), of(f"{path}/bias"))

    def norm(path, x):
        scale, bias = of(f"{path}/scale"), of(f"{path}/bias")
        return functional.layer_norm(x, (PART.width,), scale, bias, eps=1e-5)

    with torch.no_grad():
        x = torch.tensor(images.transpose(0, 3, 1, 2).copy())
        kernel, bias = of("patches/kernel"), of("patches/bias")
        maps = functional.conv2d(x, kernel, bias, stride=PART.stride)
        patches = maps.flatten(2).transpose(1, 2)
        positions = of("positions")
        square = positions[:, 1:].reshape(1, SIDE, SIDE, -1).permute(0, 3, 1, 2)
        grid = functional.interpolate(square, size=PART.grid(), mode="bilinear")
        grid = grid.flatten(2).transpose(1, 2)
        token = of("class_token").expand(len(images), -1, -1)
        x = torch.cat([token, patches], 1) + torch.cat([positions[:, :1], grid], 1)
        for index in range(PART.blocks):
            name = f"blocks/{index}"
            attention = torch.nn.MultiheadAttention(
                PART.width, PART.heads, batch_first=True
            ).eval()
            attention.in_proj_weight.copy_(of(f"{name}/attention/qkv/kernel"))
            attention.in_proj_bias.copy_(of(f"{name}/attention/qkv/bias"))
            attention.out_proj.weight.copy_(of(f"{name}/attention/out/kernel"))
            attention.out_proj.bias.copy_(of(f"{name}/attention/out/bias"))
            y = norm(f"{name}/norm1", x)
            x = x + attention(y, y, y, need_weights=False)[0]
            y = linear(f"{name}/perceptron/hidden", norm(f"{name}/norm2", x))
            x = x + linear(f"{name}/perceptron/out", functional.gelu(y))
        return norm("norm", x)
