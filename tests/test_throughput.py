"""The benchmark: its operation counts, its two sides, and its arithmetic."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import demo, sysu
from jreid.config import as_dict
from jreid.system import STREAMS, build_schedule, build_tx, make_network
from jreid.training.learner import data_mesh, init_state, make_embed, network_structure
from tools import benchmark
from tools.benchmark_pipeline import make_files
from tools.throughput import flops, summary
from tools.throughput.case import CLASSES, Case, random_batch
from tools.throughput.measure import Worker, WorkerError, spread

ROOT = pathlib.Path(__file__).parent.parent


def small_config(variant="full"):
    config = demo.get_config(variant)
    config.model.width = 1 / 8
    config.model.bottleneck_hidden, config.model.bottleneck_features = (24, 16), 12
    return config


def test_operations_of_a_resnet50_are_the_published_ones():
    model = sysu.get_config("base").model
    model.non_local_after, model.last_stride = (), 2
    # torchvision documents 4.09 billion multiply-adds at 224 x 224 with 1000 classes
    counted = flops.forward_flops(model, 224, 224, 1000)
    assert counted == pytest.approx(2 * 4.089e9, rel=2e-3)


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.torch
def test_operations_agree_with_pytorchs_counter(depth):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode  # pyright: ignore[reportMissingImports]

    from tools.torch_reference import from_config

    config = small_config()
    config.model.depth, config.model.non_local_channels = depth, 0
    network = from_config.build_network(config, 7)
    images = torch.zeros(2, 2, 3, 72, 40)
    with FlopCounterMode(display=False) as forward:
        outputs = network(images)
    assert forward.get_total_flops() == 4 * flops.forward_flops(config.model, 72, 40, 7)
    loss = torch.stack([v.sum() for v in outputs["logits"].values()]).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    total = forward.get_total_flops() + backward.get_total_flops()
    assert total == 4 * flops.train_flops(config.model, 72, 40, 7)


def test_operations_agree_with_xlas_cost_analysis():
    config = small_config("base")
    config.model.non_local_after = ()

    def network(rngs):
        return make_network(config, 4, rngs)

    _, frozen = network_structure(network)
    tx = build_tx(config, build_schedule(config, 1))
    state = jax.eval_shape(lambda: init_state(network, tx, 0, data_mesh()))
    images = jax.ShapeDtypeStruct((4, 160, 96, 3), np.uint8)
    lowered = (
        make_embed(frozen)
        .trace(state.params, state.stats, images, STREAMS[0])
        .lower(lowering_platforms=("cuda",))
    )  # where convolutions stay convolutions
    analysis = lowered.cost_analysis()
    counted = 4 * flops.forward_flops(config.model, 160, 96)
    # XLA leaves the padding out and counts what is element-wise too.
    assert analysis["flops"] == pytest.approx(counted, rel=0.12)


@pytest.mark.parametrize(
    ("batch", "sampling"),
    [(4, (1, 2)), (8, (2, 2)), (32, (8, 2)), (64, (8, 4)), (12, (3, 2))],
)
def test_batches_have_at_most_eight_identities_of_two_images(batch, sampling):
    case = Case("train", batch, 32, 16, "float32")
    assert case.sampling == sampling
    batch_of_noise = random_batch(case)
    assert batch_of_noise["images"].shape == (batch // 2, 2, 32, 16, 3)
    assert len(np.unique(batch_of_noise["ids"])) == sampling[0]


def test_spread_is_the_median_between_quartiles():
    assert spread([5.0, 1.0, 3.0]) == {"median": 3.0, "low": 1.0, "high": 5.0}
    assert spread([1, 2, 3, 4, 100]) == {"median": 3, "low": 2, "high": 4}


def measured(ours, theirs, other):
    def side(seconds, peak):
        turns = [{"seconds": s, "cpu_seconds": 2 * s} for s in seconds]
        return {
            "about": {"version": "a", "device": "cpu", "backend": "cpu"},
            "warm_up_seconds": 1.5,
            "steps": turns,
            "pipeline": [],
            "products": [{"seconds": 0.25, "cpu_seconds": 0.5}],
            "running": {"resident": peak, "device": 0},
            "compiling": {"resident": 2 * peak, "device": 0},
        }

    case = Case("train", 8, 64, 32, "float32")
    results = {
        "jax": side(ours, 10**9),
        "torch eager": side(theirs, 2 * 10**9),
        "torch compiled": side(other, 10**9),
        "torch folded": {"error": "ValueError: does not work"},
    }
    return [{"case": case.as_dict(), "results": results}]


def test_ratio_is_against_the_fastest_pytorch_of_the_same_round(tmp_path):
    config = small_config()
    report = summary.summarise(
        config, measured([1.0, 2.0, 1.0], [1.5, 3.0, 3.0], [9.0, 9.0, 9.0])
    )
    (row,) = report["rows"]
    assert row["best_torch"] == "torch eager"
    assert row["ratio"] == {"median": 1.5, "low": 1.5, "high": 3.0}
    assert row["memory_ratio"] == 0.5
    assert report["product_flops_per_second"] == 2 * 2048**3 / 0.25
    ours = row["sides"]["jax"]
    assert ours["images_per_second"] == {"median": 8.0, "low": 4.0, "high": 8.0}
    counted = 8 * flops.train_flops(config.model, 64, 32, CLASSES)
    assert ours["flops_per_second"] == counted
    assert ours["share_of_product_rate"] == pytest.approx(
        counted / report["product_flops_per_second"]
    )
    paths = summary.write_all(tmp_path, {}, report, "a machine")
    text = paths[1].read_text()
    assert "**1.50** (1.50 to 3.00)" in text
    assert "torch folded, train 8 x 64x32: ValueError: does not work" in text
    assert json.loads(paths[0].read_text())["rows"] == [row]
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_a_case_in_which_all_failed_is_reported_too(tmp_path):
    (entry,) = measured([1.0], [1.0], [1.0])
    entry["results"] = {"jax": {"error": "RuntimeError: out of memory"}}
    report = summary.summarise(small_config(), [entry])
    paths = summary.write_all(tmp_path, {}, report, "a machine")
    assert [path.suffix for path in paths] == [".json", ".md"]
    assert "jax, train 8 x 64x32: RuntimeError: out of memory" in paths[1].read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--rounds", "0"], "must be positive"),
        (["--config.model.width=0"], "width"),
    ],
)
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.torch
def test_bad_arguments_end_with_one_line(arguments, reason, capsys):
    pytest.importorskip("torch")
    assert benchmark.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert reason in error


@pytest.mark.parametrize(
    "arguments", [["--batches", "6"], ["--batches", "many"], ["--sizes", "288"]]
)
def test_sizes_that_make_no_batch_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        benchmark.parse_arguments(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert f"{arguments[1]}: " in error and " as " in error


@pytest.mark.torch
def test_both_sides_train_on_the_same_images_of_the_pipeline(tmp_path):
    pytest.importorskip("torch")
    from tools.throughput.jax_side import JaxSide
    from tools.throughput.torch_side import TorchSide

    make_files(tmp_path, 96, 40, 24)
    config = small_config()
    config.data.workers = 1
    config.data.padding, config.data.flip = 0, 0.0
    config.data.random_grey = config.data.channel_exchange = 0.0
    config.data.cache, config.data.train_on_val = False, True
    case = Case("train", 8, 40, 24, "float32")
    ours = JaxSide(config, case, tmp_path).open_pipeline(2)
    theirs = iter(TorchSide(config, case, tmp_path, "eager").loader(2, workers=0))
    for _ in range(2):
        left = next(ours)
        right = {k: v.unflatten(0, (-1, 2)).numpy() for k, v in next(theirs).items()}
        for name in ("images", "ids", "modality"):
            np.testing.assert_array_equal(left[name], right[name])


@pytest.mark.torch
def test_folding_batch_norms_keeps_the_embedding():
    torch = pytest.importorskip("torch")
    from tools.throughput.torch_side import fold_batch_norms
    from tools.torch_reference import from_config
    from tools.torch_reference.network import fused_embedding

    torch.manual_seed(0)
    network = from_config.build_network(small_config(), 5)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
            torch.nn.init.uniform_(values, 0.5, 1.5)
    network.eval()
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        before = fused_embedding(network, images, "visible")["fused"]
        fold_batch_norms(network)
        after = fused_embedding(network, images, "visible")["fused"]
    left = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and not left
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.torch
def test_the_whole_program_on_a_small_network(tmp_path):
    pytest.importorskip("torch")
    command = [
        *(sys.executable, "tools/benchmark.py", "--config", "configs/demo.py"),
        *("--config.model.width=0.125", "--batches", "4", "--sizes", "64x32"),
        *("--rounds", "1", "--turn-seconds", "0.01", "--works", "embed"),
        *("--torch", "eager", "--out", str(tmp_path)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "benchmark.json").read_text())
    (row,) = report["rows"]
    assert report["failed"] == []
    assert set(row["sides"]) == {"jax", "torch eager"}
    assert row["ratio"]["median"] > 0
    assert all(side["peak_bytes"] > 1e7 for side in row["sides"].values())
    assert (tmp_path / "benchmark.png").exists()


@pytest.mark.torch
def test_a_side_that_cannot_do_its_work_says_why(tmp_path):
    pytest.importorskip("torch")
    config = small_config()
    config.optim.optimizer = "adamw"
    case = Case("train", 4, 64, 32, "float32")
    setup = {
        "side": "torch",
        "variant": "eager",
        "config": as_dict(config),
        "case": case.as_dict(),
        "files": "",
    }
    with (
        Worker(setup, tmp_path) as worker,
        pytest.raises(WorkerError, match="here is only 'sgd'"),
    ):
        worker.ask("build")
