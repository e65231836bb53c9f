"""torchvision's weights into a run: equal outputs, nothing lost, refusals."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import paper_parts
import pytest
import tiny
from flax import nnx

from jreid.config_files import load
from jreid.convert import torchvision as convert_torchvision
from jreid.models.modules.keys import WeightKeys
from jreid.models.resnet import ResNet
from jreid.parts import check
from jreid.processes.sharding import data_mesh
from jreid.run.checkpoint import Checkpoints
from jreid.run.leaves import named_leaves
from jreid.run.pretrained import (
    Pretrained,
    describe,
    new_parts,
    read_pretrained,
    weights_of_new_run,
    with_weights,
    write_record,
)
from jreid.training.build import network_maker
from jreid.training.state import (
    TrainState,
    abstract_params_and_stats,
    network_structure,
)

torch = pytest.importorskip("torch")
import torch_resnet  # noqa: E402  (needs torch)

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def state():
    """A ResNet-18 by torchvision's names."""
    return torch_resnet.random_state(18)


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("torchvision") / "resnet18.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def converted(checkpoint) -> pathlib.Path:
    path = checkpoint.parent / "weights" / "resnet18.npz"
    assert convert_torchvision.main([str(checkpoint), str(path)]) == 0
    return path


def new_state(make, value=None) -> TrainState:
    """A state without an optimiser; all of it `value` where that is given."""
    if value is None:
        params, stats = paper_parts.state_of(make(WeightKeys(0)))[1:]
    else:
        params, stats = jax.tree.map(
            lambda leaf: jnp.full(leaf.shape, value, leaf.dtype),
            abstract_params_and_stats(make, data_mesh()),
        )
    return TrainState(jnp.int32(0), params, stats, {}, {})


def named_arrays(state: TrainState) -> dict[str, np.ndarray]:
    leaves = named_leaves(state.params) | named_leaves(state.stats)
    return {name: np.asarray(leaf) for name, leaf in leaves.items()}


def stem_and_trunk(depth, path):
    """The converted network as a jitted function of images."""
    part = ResNet(depth=depth)

    def make(rngs):
        stem = part.make_stem(rngs, jnp.float32)
        return nnx.Dict({"stem": stem, "trunk": part.make(rngs, jnp.float32)})

    state = with_weights(new_state(make, 0.0), read_pretrained(path, depth))
    _, frozen = network_structure(make)

    @jax.jit
    def maps(params, stats, images):
        network = nnx.merge(frozen, params, stats)
        modality = jnp.zeros(len(images), jnp.int32)
        return network["trunk"](network["stem"](images), modality).maps

    return functools.partial(maps, state.params, state.stats)


def test_converted_weights_compute_what_pytorch_computes(tmp_path, rng):
    state = torch_resnet.random_state(50)
    torch.save(state, tmp_path / "in.pth")
    arguments = [str(tmp_path / "in.pth"), str(tmp_path / "out.npz")]
    assert convert_torchvision.main(arguments) == 0
    images = rng.normal(size=(2, 64, 32, 3)).astype(np.float32)
    with torch.no_grad():
        maps = torch_resnet.stem(state, torch_resnet.nchw(images))
        expected = torch_resnet.trunk(state, maps, last_stride=1)
    ours = stem_and_trunk(50, tmp_path / "out.npz")(images)
    expected = torch_resnet.nhwc(expected)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_every_depth_is_recognised_and_filled(depth):
    state = torch_resnet.random_state(depth)
    tensors = {name: tensor.numpy() for name, tensor in state.items()}
    assert convert_torchvision.resnet_depth(tensors) == depth
    conversion = convert_torchvision.convert_resnet(tensors, depth)
    assert all(n.startswith("fc.") or "num_batches" in n for n in conversion.dropped)
    assert len(conversion.arrays) + len(conversion.dropped) == len(tensors)
    last = f"layer4/{torch_resnet.BLOCKS[depth][3] - 1}/conv2/kernel"
    ours = conversion.arrays[f"trunk/{last}"].transpose(3, 2, 0, 1)
    theirs = last.replace("/kernel", "/weight").replace("/", ".")
    np.testing.assert_array_equal(ours, tensors[theirs])


def save_safetensors(tensors, path):
    """A writer of its own: eight bytes of length, the header, the tensors."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    body = b""
    kinds = {"float32": "F32", "int64": "I64", "float16": "F16", "bfloat16": "BF16"}
    for name, tensor in tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        raw = tensor.view(torch.int16) if kind == "bfloat16" else tensor
        octets = raw.contiguous().numpy().tobytes()
        header[name] = {
            "dtype": kinds[kind],
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(octets)],
        }
        body += octets
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def save_npz(tensors, path):
    np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})


def save_legacy(tensors, path):
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def in_data_parallel(tensors):
    return {"module." + name: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("name", "save", "wrap"),
    [
        ("old.pth", save_legacy, lambda t: t),
        ("wrapped.pth", torch.save, lambda t: {"state_dict": in_data_parallel(t)}),
        ("run.pt", torch.save, lambda t: {"model": t, "epoch": 3, "acc": np.ones(2)}),
        ("whole.safetensors", save_safetensors, lambda t: t),
        ("whole.npz", save_npz, in_data_parallel),
    ],
)
def test_every_format_gives_the_same_file(tmp_path, state, converted, name, save, wrap):
    save(wrap(dict(state)), tmp_path / name)
    target = tmp_path / "new" / "out.npz"
    assert convert_torchvision.main([str(tmp_path / name), str(target)]) == 0
    here, there = read_pretrained(target, 18), read_pretrained(converted, 18)
    assert here.about["source"] == name
    for array_name, array in there.arrays.items():
        np.testing.assert_array_equal(here.arrays[array_name], array)


def test_half_precision_is_widened(tmp_path, state, converted):
    half = {n: t.bfloat16() if t.is_floating_point() else t for n, t in state.items()}
    save_safetensors(half, tmp_path / "half.safetensors")
    torch.save(half, tmp_path / "half.pth")
    found = []
    for name in ("half.safetensors", "half.pth"):
        target = tmp_path / f"{name}.npz"
        assert convert_torchvision.main([str(tmp_path / name), str(target)]) == 0
        found.append(read_pretrained(target, 18).arrays)
    for name, array in read_pretrained(converted, 18).arrays.items():
        np.testing.assert_array_equal(found[0][name], found[1][name])
        np.testing.assert_allclose(found[0][name], array, rtol=0.01)


def test_the_summary_accounts_for_every_tensor(tmp_path, checkpoint, state, capsys):
    target = tmp_path / "out.npz"
    assert convert_torchvision.main([str(checkpoint), str(target)]) == 0
    out = capsys.readouterr().out
    assert f"ResNet-18, {len(state)} tensors" in out
    assert f"used     {len(state) - 22}: 11,176,512 parameters" in out
    assert "dropped  22: 20 num_batches_tracked, fc.bias, fc.weight" in out


class Code:
    """Runs a command where a pickle is trusted."""

    def __reduce__(self):
        return os.mkdir, ("code-was-run",)


def damaged(tmp_path, state, kind) -> pathlib.Path:
    path = tmp_path / "in.pth"
    if kind == "text":
        path.write_text("no weights at all\n")
    elif kind == "empty":
        path.touch()
    elif kind == "script":
        with warnings.catch_warnings(action="ignore"):  # deprecated, yet about
            torch.jit.save(torch.jit.trace(torch.sin, torch.ones(1)), str(path))
    elif kind == "code":
        torch.save({"state_dict": Code()}, path)
    elif kind in ("truncated", "truncated old"):
        save = save_legacy if "old" in kind else torch.save
        save(state, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "truncated safetensors":
        path = path.with_suffix(".safetensors")
        save_safetensors(state, path)
        path.write_bytes(path.read_bytes()[:-5])
    elif kind == "truncated npz":
        path = path.with_suffix(".npz")
        save_npz(state, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "object npz":
        path = path.with_suffix(".npz")
        np.savez(path, weight=np.array([Code()], dtype=object))
    elif kind != "missing":
        torch.save(changed(dict(state), kind), path)
    return path


def changed(state, kind):
    if kind == "vgg":
        return {"features.0.weight": torch.ones(64, 3, 3, 3)}
    if kind == "one missing":
        del state["layer3.1.bn2.running_var"]
    elif kind == "one more":
        state["layer3.1.conv9.weight"] = torch.ones(1)
    elif kind == "wide":
        state["layer2.0.conv1.weight"] = torch.ones(256, 64, 3, 3)
    elif kind == "nan":
        state["conv1.weight"] = state["conv1.weight"] * torch.nan
    elif kind == "integers":
        state["bn1.bias"] = state["bn1.bias"].int()
    elif kind == "negative variance":
        state["bn1.running_var"] = -state["bn1.running_var"]
    return state


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "in.pth is missing"),
        ("text", "is not a whole PyTorch checkpoint"),
        ("empty", "in.pth is empty"),
        ("script", "is a TorchScript program, not a checkpoint"),
        ("code", "holds more than tensors and numbers (posix.mkdir); nothing of it"),
        ("truncated", "is not a whole PyTorch checkpoint"),
        ("truncated old", "is not a whole PyTorch checkpoint"),
        ("truncated safetensors", "is not a whole file of the safetensors format"),
        ("truncated npz", "is not a whole .npz"),
        ("object npz", "is not a whole .npz"),
        ("vgg", "its first tensors are features.0.weight"),
        ("one missing", "tensors that are missing: layer3.1.bn2.running_var"),
        ("one more", "tensors that are not known: layer3.1.conv9.weight"),
        ("wide", "layer2.0.conv1.weight (256x64x3x3; its layer needs 128x64x3x3)"),
        ("nan", "conv1.weight with NaN or infinity"),
        ("integers", "bn1.bias of type int32"),
        ("negative variance", "bn1.running_var with negative variances"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_line(
    tmp_path, state, capsys, monkeypatch, kind, message
):
    monkeypatch.chdir(tmp_path)
    source, target = damaged(tmp_path, state, kind), tmp_path / "out.npz"
    assert convert_torchvision.main([str(source), str(target)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not target.exists()
    assert not (tmp_path / "code-was-run").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda h: h["a"].update(dtype="F8_E4M3"), "type F8_E4M3, which is not read"),
        (lambda h: h["a"].update(shape=[3]), "a has 12 bytes at 0 to 8"),
        (lambda h: h["a"].update(shape=[-2]), "a has the shape"),
        (lambda h: h["a"].update(data_offsets=[4, 12]), "where 0 and"),
        (lambda h: h["a"].pop("shape"), "shape"),
        (lambda h: h.pop("b"), "8 bytes belong to no tensor"),
        (lambda h: h["b"].update(data_offsets=[0, 8]), "where 8 and"),
        (lambda h: h.update(c="text"), "format"),
    ],
)
def test_a_safetensors_header_that_lies_is_refused(tmp_path, damage, message):
    entry = {"dtype": "F32", "shape": [2]}
    header = {
        "a": {**entry, "data_offsets": [0, 8]},
        "b": {**entry, "data_offsets": [8, 16]},
    }
    damage(header)
    text = json.dumps(header).encode()
    path = tmp_path / "in.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises(ValueError, match="whole file of the safetensors") as refused:
        convert_torchvision.read_tensors(path)
    assert message in str(refused.value)


def test_out_must_be_another_npz(tmp_path, state, capsys):
    save_npz(state, tmp_path / "in.npz")
    before = (tmp_path / "in.npz").read_bytes()
    for target in ("in.npz", "out.pth"):
        given = [str(tmp_path / "in.npz"), str(tmp_path / target)]
        assert convert_torchvision.main(given) == 2
        assert "error: OUT is" in capsys.readouterr().err
    assert (tmp_path / "in.npz").read_bytes() == before


def of_network(weights: Pretrained, part) -> Pretrained:
    return dataclasses.replace(weights, names=part.torch_names())


def test_both_stems_and_the_trunk_are_filled_and_the_rest_is_named(converted):
    part = paper_parts.network(after=("2.1", "3.0"))
    part.trunk.width = 1.0
    weights = of_network(read_pretrained(converted, 18), part)
    given = new_state(lambda rngs: part.make(4, rngs, jnp.float32), 7)
    before, loaded = named_arrays(given), with_weights(given, weights)
    after = named_arrays(loaded)
    filled = {name for name in after if weights.source(name) in weights.arrays}
    # all of the file is used, the stem's six arrays (one kernel, four of bn1) twice
    assert len(filled) == len(weights.arrays) + 5
    for name, array in after.items():
        here = name in filled
        expected = weights.arrays[weights.source(name)] if here else before[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)
    assert new_parts(weights, loaded.params) == [
        "bottleneck",
        "branches/v1",
        "branches/v2",
        "trunk/after/layer2_1",
        "trunk/after/layer3_0",
    ]
    assert "new: bottleneck, branches/v1" in describe(weights, loaded.params)


def test_stages_that_a_trunk_has_not_are_left_in_the_file(converted):
    part = paper_parts.network(refined=(), after=(), stages=2)
    part.trunk.width, part.stems = 1.0, ("any",)
    weights = of_network(read_pretrained(converted, 18), part)
    given = new_state(lambda rngs: part.make(4, rngs, jnp.float32), 7)
    loaded = with_weights(given, weights)
    assert new_parts(weights, loaded.params) == ["branches/v1", "branches/v2"]
    kernel = loaded.params["trunk"]["layer2"][1]["conv2"]["kernel"]
    np.testing.assert_array_equal(kernel, weights.arrays["trunk/layer2/1/conv2/kernel"])


def test_the_data_sets_configs_ask_for_imagenet_weights_and_the_demo_does_not():
    for name in ("sysu", "regdb", "llcm", "custom"):
        assert load(name).pretrained == "weights/resnet50.npz"
    assert load("demo").pretrained == load("custom:small").pretrained == ""


def test_a_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError) as refused:
        read_pretrained(tmp_path / "resnet50.npz", 50)
    for line in (
        "curl -LO https://download.pytorch.org/models/resnet50-0676ba61.pth",
        "python -m jreid.convert.torchvision resnet50-0676ba61.pth ",
        "from scratch on purpose with --config.pretrained=",
    ):
        assert line in str(refused.value)


def test_another_depth_width_or_kind_of_file_is_refused(tmp_path, converted):
    with pytest.raises(ValueError, match="holds a ResNet-18, but config.network"):
        read_pretrained(converted, 50)
    config = load("sysu")
    config.network.trunk.width = 0.5
    with pytest.raises(ValueError, match=r"pretrained is .*of full width.*0.5"):
        check(config)
    broken = tmp_path / "broken.npz"
    again = "not a whole file of weights .*python -m jreid.convert.torchvision IN"
    for octets in (b"", b"text", converted.read_bytes()[:-1000]):
        broken.write_bytes(octets)
        with pytest.raises(ValueError, match=again):
            read_pretrained(broken, 18)
    flipped = bytearray(converted.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    broken.write_bytes(flipped)
    with pytest.raises(ValueError, match=again):
        read_pretrained(broken, 18)
    np.savez(broken, weight=np.ones(3))
    with pytest.raises(ValueError, match=again):
        read_pretrained(broken, 18)


def test_a_new_run_takes_the_weights_and_a_continued_one_its_checkpoint(
    tmp_path, converted
):
    path, folder = tmp_path / "weights.npz", tmp_path / "run"
    shutil.copy(converted, path)
    config = tiny.made_tiny(load("sysu:base"))
    config.network.trunk.width, config.pretrained = 1.0, str(path)
    weights = weights_of_new_run(config, folder)
    assert weights is not None
    state = with_weights(new_state(network_maker(config, 3)), weights)
    for stem in ("visible", "infrared"):
        kernel = state.params["stems"][stem]["conv1"]["kernel"]
        np.testing.assert_array_equal(kernel, weights.arrays["stem/conv1/kernel"])
    folder.mkdir()
    write_record(folder, weights, state.params)
    record = json.loads((folder / "pretrained.json").read_text())
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["about"]["source"] == "resnet18.pth"

    with Checkpoints(folder / "checkpoints") as saved:
        saved.save(1, state._replace(opt_state={"none": jnp.zeros(1)}))
    path.unlink()
    assert weights_of_new_run(config, folder) is None  # the checkpoint's instead
    with pytest.raises(FileNotFoundError, match="curl -LO"):
        weights_of_new_run(config, tmp_path / "another")
    config.checkpoint.step = 0  # the same run from its beginning
    with pytest.raises(FileNotFoundError, match="curl -LO"):
        weights_of_new_run(config, folder)


def test_another_runs_weights_but_for_its_identities(tmp_path):
    """A run of three identities, for one of four with one more branch."""
    config = tiny.made_tiny(load("sysu:base"))
    state = new_state(network_maker(config, 3))
    (tmp_path / "config.json").write_text("{}")
    with Checkpoints(tmp_path / "checkpoints") as saved:
        saved.save(5, state)
    other = tiny.made_tiny(load("sysu:ours1"))
    other.pretrained = str(tmp_path)
    weights = weights_of_new_run(other, tmp_path / "new")
    assert weights is not None
    given = new_state(network_maker(other, 4), 7.0)
    loaded = with_weights(given, weights)
    assert new_parts(weights, loaded.params) == [
        "branches/v1/classifier",
        "branches/v2/classifier",
        "branches/v2/neck",
        "branches/v2/pool",
    ]
    before, source = named_arrays(given), named_arrays(state)
    for name, array in named_arrays(loaded).items():
        new = name.startswith("branches/v2") or "classifier" in name
        expected = before[name] if new else source[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)
