"""AGW's checkpoints as runs: the embedding PyTorch computes, and refusals."""

import json

import numpy as np
import pytest
import tiny
from PIL import Image

from jreid import evaluate
from jreid.convert import agw as convert_agw
from jreid.data.datasets import Images
from jreid.data.pipeline import test_batches as batches_of
from jreid.models.pooling import Average, GeM
from jreid.training.build import build_embed

torch = pytest.importorskip("torch")
import torch_resnet  # noqa: E402  (needs torch)

pytestmark = pytest.mark.torch
STREAMS = ("visible", "infrared")
BLOCKS = {2: (1,), 3: (0, 1)}  # a ResNet-18's blocks with a non-local one after them


@pytest.fixture(scope="module")
def tiny_tree(tmp_path_factory):
    """With five training identities."""
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tiny")


def agw_state(inner=1, blocks=BLOCKS, classes=5):
    """A ResNet-18 by the names of AGW's model, every part with numbers of its own."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    parts = ("visible_module.visible", "thermal_module.thermal", "base_resnet.base")
    for seed, part in enumerate(parts):
        whole = torch_resnet.random_state(18, seed=seed)
        state |= {f"{part}.{n}": t for n, t in whole.items() if not n.startswith("fc.")}

    def norm(name, channels):
        for leaf in ("weight", "running_var"):
            state[f"{name}.{leaf}"] = torch.rand(channels, generator=generator) + 0.5
        for leaf in ("bias", "running_mean"):
            state[f"{name}.{leaf}"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.num_batches_tracked"] = torch.tensor(9)

    def conv(name, out, into):
        weight = torch.randn(out, into, 1, 1, generator=generator)
        state[f"{name}.weight"] = weight * 0.1 / into**0.5
        state[f"{name}.bias"] = torch.randn(out, generator=generator) * 0.1

    for stage, places in blocks.items():
        channels = 32 * 2**stage
        width = inner or channels // 2
        for index in range(len(places)):
            name = f"NL_{stage}.{index}"
            for part in ("g.0", "theta", "phi"):
                conv(f"{name}.{part}", width, channels)
            conv(f"{name}.W.0", channels, width)
            norm(f"{name}.W.1", channels)
    norm("bottleneck", 512)
    state["bottleneck.bias"] = torch.zeros(512)
    weight = torch.randn(classes, 512, generator=generator) * 0.001
    state["classifier.weight"] = weight
    return state


def non_local(state, name, x):
    """The block with its n x n matrix, as the paper of the block writes it."""
    b, _, h, w = x.shape

    def conv(part, y):
        weight, bias = state[f"{name}.{part}.weight"], state[f"{name}.{part}.bias"]
        return torch.nn.functional.conv2d(y, weight, bias)

    theta, phi, g = (conv(part, x).flatten(2) for part in ("theta", "phi", "g.0"))
    attention = theta.transpose(1, 2) @ phi / (h * w)
    y = (attention @ g.transpose(1, 2)).transpose(1, 2).reshape(b, -1, h, w)
    return torch_resnet.batch_norm(state, f"{name}.W.1", conv("W.0", y)) + x


def agw_embedding(state, images, part, blocks=BLOCKS, pooling="gem"):
    """The post-BN feature of length 1 that AGW's code ranks with."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = torch_resnet.nchw(((images / 255 - mean) / std).astype(np.float32))

    def after(stage, block, y):
        if block not in blocks.get(stage, ()):
            return y
        return non_local(state, f"NL_{stage}.{blocks[stage].index(block)}", y)

    x = torch_resnet.stem(state, x, f"{part}_module.{part}.")
    x = torch_resnet.trunk(state, x, 1, "base_resnet.base.", after).flatten(2)
    x = x.mean(2) if pooling == "average" else ((x**3).mean(2) + 1e-12) ** (1 / 3)
    x = torch_resnet.batch_norm(state, "bottleneck", x)
    return torch.nn.functional.normalize(x).numpy()


def convert(path, target, tree):
    size = ("--height", "64", "--width", "32")
    return convert_agw.main([str(path), str(target), "--root", str(tree), *size])


@pytest.mark.parametrize(
    ("inner", "blocks", "pooling"),
    [
        (1, BLOCKS, "gem"),
        (0, BLOCKS, "gem"),  # half the channels
        (1, {}, "average"),  # the family's "base": neither of the two
    ],
)
def test_embeddings_equal_pytorchs(rng, inner, blocks, pooling):
    state = agw_state(inner, blocks)
    tensors = {name: tensor.numpy() for name, tensor in state.items()}
    given = convert_agw.parse_arguments(["in.t", "out", "--root", "anywhere"])
    config = convert_agw.make_config(tensors, given)
    gem = GeM(3.0, learn=False, form="agw")
    assert config.network.branches[0].pool == (gem if pooling == "gem" else Average())
    _, trees = convert_agw.convert_network(tensors, config, 5)
    embed = build_embed(config, 5)
    images = rng.integers(0, 256, (2, 64, 32, 3), dtype=np.uint8)
    parts = {"visible": "visible", "infrared": "thermal"}
    for stream in STREAMS if inner and blocks else ["infrared"]:
        part = parts[stream]
        ours = embed(trees["params"], trees["stats"], images, stream)["v1"]
        theirs = agw_embedding(state, images, part, blocks, pooling)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        if blocks:  # which count
            without = agw_embedding(state, images, part, {}, pooling)
            assert np.abs(without - theirs).max() > 1e-3


def test_embeddings_of_a_file_equal_those_of_agws_resizing(rng, tmp_path):
    """AGW's test: Pillow's Lanczos, then the network."""
    pixels = rng.integers(0, 256, (9, 4, 3), np.uint8).repeat(15, 0).repeat(15, 1)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    state = agw_state()
    tensors = {name: tensor.numpy() for name, tensor in state.items()}
    words = ["in.t", "out", "--root", "r", "--height", "64", "--width", "32"]
    config = convert_agw.make_config(tensors, convert_agw.parse_arguments(words))
    assert config.resize == "lanczos"
    images = Images(
        paths=np.array([str(tmp_path / "a.png")]),
        ids=np.zeros(1, int),
        cameras=np.zeros(1, int),
        modality=np.ones(1, int),
    )
    _, trees = convert_agw.convert_network(tensors, config, 5)
    embed = build_embed(config, 5)
    theirs = agw_embedding(
        state,
        np.asarray(image.resize((32, 64), Image.Resampling.LANCZOS))[None],
        "thermal",
    )

    def ours(resize):
        (batch,) = batches_of(images, size=(64, 32), resize=resize, batch_size=1)
        return embed(trees["params"], trees["stats"], batch, "infrared")["v1"]

    np.testing.assert_allclose(ours(config.resize), theirs, atol=1e-5)
    assert np.linalg.norm(ours("bilinear") - theirs) > 0.01


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("agw") / "agw.t"
    state = {"module." + name: tensor for name, tensor in agw_state().items()}
    torch.save({"net": state, "mAP": np.float64(0.5), "cmc": np.ones(3)}, path)
    return path


@pytest.mark.slow
def test_the_run_is_scored_by_evaluate(tmp_path, tiny_tree, checkpoint, capsys):
    run = tmp_path / "run"
    assert convert(checkpoint, run, tiny_tree) == 0
    out = capsys.readouterr().out
    assert "5 classes, gem pooling, non-local after 2.1, 3.0, 3.1" in out
    assert "new      0" in out
    assert evaluate.main(["--workdir", str(run)]) == 0
    assert "all-search single-shot" in capsys.readouterr().out
    assert (run / "results.json").exists()
    assert json.loads((run / "converted.json").read_text())["source"] == "agw.t"
    assert convert(checkpoint, run, tiny_tree) == 2
    assert "holds a run already" in capsys.readouterr().err


def changed(state, kind):
    if kind == "torchvision":
        return torch_resnet.random_state(18)
    if kind == "one missing":
        del state["NL_3.0.W.1.bias"]
    elif kind == "one more":
        state["attention.weight"] = torch.ones(1)
    elif kind == "shifted":
        state["bottleneck.bias"] = torch.ones(512)
    elif kind == "other classes":
        state["classifier.weight"] = torch.ones(395, 512)
    elif kind == "other width":
        state["bottleneck.weight"] = torch.ones(2048)
    elif kind == "other blocks":
        state["NL_2.0.theta.weight"] = torch.ones(7, 128, 1, 1)
    return state


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torchvision", "not AGW's layout: base_resnet.base.layer1.0.conv1.weight is"),
        ("one missing", "tensors that are missing: NL_3.0.W.1.bias"),
        ("one more", "tensors that are not known: attention.weight"),
        ("shifted", "bottleneck.bias is not 0"),
        ("other classes", "the classifier has 395 classes, but "),
        ("other width", "bottleneck.weight (2048; its layer needs 512)"),
        ("other blocks", "non-local blocks of widths"),
        ("text", "is not a whole PyTorch checkpoint"),
    ],
)
def test_another_layout_is_refused_in_one_line(
    tmp_path, tiny_tree, capsys, kind, message
):
    path, run = tmp_path / "in.t", tmp_path / "run"
    if kind == "text":
        path.write_text("no weights at all")
    else:
        torch.save({"net": changed(agw_state(), kind)}, path)
    assert convert(path, run, tiny_tree) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not run.exists()
