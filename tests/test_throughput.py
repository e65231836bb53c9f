"""The benchmark: its operation counts, its two sides, and its arithmetic."""

import json
import pathlib
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jreid.config_files import load
from jreid.config_json import to_json
from jreid.data.augmentations import Erase, Grey
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.models.non_local import NonLocal
from jreid.models.pooling import GeM
from jreid.models.two_stream import Branch, Project
from jreid.processes.sharding import data_mesh
from jreid.training.build import build_system
from jreid.training.optimizers import AdamW
from jreid.training.plan import plan
from tools import benchmark
from tools.benchmark_pipeline import make_files
from tools.throughput import flops, summary, worker
from tools.throughput.case import (
    CLASSES,
    Case,
    check_comparable,
    noise,
    random_batch,
    slots,
)
from tools.throughput.measure import Worker, WorkerError, spread

ROOT = pathlib.Path(__file__).parent.parent


def small_config(variant="full"):
    config = load(f"demo:{variant}")
    config.network.trunk.width = 1 / 8
    if config.network.refine is not None:
        config.network.refine.hidden, config.network.refine.features = (24, 16), 12
    return config


def test_operations_of_a_resnet50_are_the_published_ones():
    network = load("sysu:base").network
    network.trunk.after, network.trunk.last_stride = {}, 2
    # torchvision documents 4.09 billion multiply-adds at 224 x 224 with 1000 classes
    counted = flops.forward_flops(network, 224, 224, 1000)
    assert counted == pytest.approx(2 * 4.089e9, rel=2e-3)


@pytest.mark.parametrize(("depth", "features"), [(18, 12), (50, 0)])
@pytest.mark.torch
def test_operations_agree_with_pytorchs_counter(depth, features):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode  # pyright: ignore[reportMissingImports]

    from tools.torch_reference import from_config

    config = small_config()
    trunk = config.network.trunk
    trunk.depth, config.network.refine.features = depth, features
    trunk.after = dict.fromkeys(trunk.after, NonLocal(inner_channels=0))
    network = from_config.build_network(config, 7)
    images = torch.zeros(2, 2, 3, 72, 40)
    with FlopCounterMode(display=False) as forward:
        outputs = network(images)
    assert forward.get_total_flops() == 4 * flops.forward_flops(
        config.network, 72, 40, 7
    )
    loss = torch.stack([v.sum() for v in outputs["logits"].values()]).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    total = forward.get_total_flops() + backward.get_total_flops()
    assert total == 4 * flops.train_flops(config.network, 72, 40, 7)


@pytest.mark.parametrize(("features", "last"), [(12, 16 * 12 + 12 * 7), (0, 16 * 7)])
def test_operations_of_refined_classifiers_are_counted(features, last):
    network = small_config().network
    network.refine.features = features
    channels = network.trunk.channels()[-1]
    of_one = channels * 7 + channels * 24 + 24 * 16 + last  # hidden layers 24 and 16
    logits = flops.forward_flops(network, 72, 40, 7) - flops.forward_flops(
        network, 72, 40
    )
    assert logits == 2 * 2 * of_one  # two branches


@pytest.mark.parametrize(
    ("stages", "project"), [(4, None), (2, None), (2, Project(4096))]
)
def test_operations_agree_with_xlas_cost_analysis(stages, project):
    config = small_config("base")
    trunk = config.network.trunk
    trunk.after, trunk.stages = {}, stages
    config.network.branches = (Branch("v1", GeM(), project=project),)
    config.size, config.steps_per_epoch = (160, 96), 1
    system = build_system(config, 4, plan(config, None), data_mesh())
    state = jax.eval_shape(lambda: system.init(0))
    images = jax.ShapeDtypeStruct((4, 160, 96, 3), np.uint8)
    lowered = system.embed.trace(state.params, state.stats, images, "visible").lower(
        lowering_platforms=("cuda",)
    )  # where convolutions stay convolutions
    analysis = lowered.cost_analysis()
    counted = 4 * flops.forward_flops(config.network, 160, 96)
    # XLA leaves the padding out and counts what is element-wise too.
    assert analysis["flops"] == pytest.approx(counted, rel=0.12)


@pytest.mark.parametrize(
    ("batch", "sampling"),
    [(4, (1, 2)), (8, (2, 2)), (32, (8, 2)), (64, (8, 4)), (12, (3, 2))],
)
def test_batches_have_at_most_eight_identities_of_two_images(batch, sampling):
    case = Case("train", batch, 32, 16, "float32")
    assert case.sampling == sampling
    batch_of_noise = slots(random_batch(case, load("sysu").views))
    assert batch_of_noise["images"].shape == (batch // 2, 2, 32, 16, 3)
    assert len(np.unique(batch_of_noise["ids"])) == sampling[0]
    assert batch_of_noise["modality"].tolist() == [[0, 1]] * (batch // 2)


def test_slots_hold_the_columns_side_by_side():
    views = load("sysu").views
    columns = noise(views, (4, 2), identities=2, images=3)
    for name, array in slots(columns).items():
        for number, view in enumerate(views):
            np.testing.assert_array_equal(array[:, number], columns[name][view])
    assert columns["ids"]["infrared"].tolist() == [0, 0, 0, 1, 1, 1]


def test_systems_that_are_no_step_of_two_columns_are_refused():
    config = load("sysu")
    check_comparable(config)
    config.views["more"] = config.views["visible"]
    with pytest.raises(ValueError, match="one view of visible images"):
        check_comparable(config)


class Simulated:
    """A side on a clock of its own, whose pipeline keeps three batches ahead."""

    def __init__(self, make: float, step: float):
        self.make, self.step, self.now = make, step, 0.0
        self.taken: list[float] = []

    def ahead(self):
        return 3

    def open_pipeline(self, steps):
        self.opened = steps
        return iter(range(steps))

    def made(self):
        """When: each is begun with the one before made and room for it."""
        times = [0.0]
        for room in [0.0, 0.0, 0.0, *self.taken][: self.opened]:
            times.append(max(room, times[-1]) + self.make)
        return times[1:]

    def pipeline_steps(self, batches, count):
        for _ in range(count):
            self.now = max(self.now, self.made()[next(batches)])
            self.taken.append(self.now)
            self.now += self.step


@pytest.mark.parametrize(("make", "step"), [(20.0, 5.0), (20.0, 50.0)])
@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_timed_step_has_a_batch_made_for_it(monkeypatch, make, step, count):
    side, asked = Simulated(make, step), []
    clock = SimpleNamespace(perf_counter=lambda: asked.append(side.now) or side.now)
    monkeypatch.setattr(worker, "time", clock)
    timed = worker.answer(side, {"do": "pipeline", "count": count})
    assert timed["seconds"] == count * max(make, step)
    start, end = asked
    assert sum(start < made <= end for made in side.made()) == count


def test_spread_is_the_median_between_quartiles():
    assert spread([5.0, 1.0, 3.0]) == {"median": 3.0, "low": 1.0, "high": 5.0}
    assert spread([1, 2, 3, 4, 100]) == {"median": 3, "low": 2, "high": 4}


def measured(ours, theirs, other):
    def side(seconds, peak):
        more = {"system_seconds": 0.25, "page_faults": 1500.0}
        turns = [{"seconds": s, "cpu_seconds": 2 * s} | more for s in seconds]
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
    assert ours["page_faults"]["median"] == 1500
    assert "| 1,500 / 1,500 | 0.25 / 0.25 |" in summary.markdown(report, "a machine")
    counted = 8 * flops.train_flops(config.network, 64, 32, CLASSES)
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
        (["--rounds", "0"], "--rounds is 0; it must be positive"),
        (["--config.network.trunk.width=0"], "width"),
        (["--batches", "8", "6"], "--batches has 6; allowed are multiples of 4"),
        (["--sizes", "288"], "--sizes has 288; write them as 288x144"),
        (["--sizes", "288x16"], "32 pixels"),
        (["--config", "adca"], "there is no config 'adca'"),
        (["--config.precision=float32"], "is not used here, where --precision says"),
        (["--config.sampling.images=2"], "is not used here, where --batches says"),
    ],
)
def test_bad_arguments_end_with_one_line(arguments, reason, capsys):
    assert benchmark.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert reason in error


@pytest.mark.parametrize("arguments", [["--batches", "many"], ["--works", "draw"]])
def test_words_that_mean_nothing_are_refused(arguments, capsys):
    assert benchmark.main(arguments) == 2
    assert arguments[1] in capsys.readouterr().err


@pytest.mark.torch
def test_both_sides_train_on_the_same_images_of_the_pipeline(tmp_path):
    pytest.importorskip("torch")
    from tools.throughput.jax_side import JaxSide
    from tools.throughput.torch_pipeline import make_loader

    make_files(tmp_path, 96, 40, 24)
    config = small_config()
    config.loading.workers = 1
    config.views["visible"].pipe = (Grey(1.0),)
    config.views["infrared"].pipe = ()
    case = Case("train", 8, 40, 24, "float32")
    ours = JaxSide(config, case, tmp_path).open_pipeline(2)
    theirs = iter(make_loader(config, case, tmp_path, 2, workers=0))
    for _ in range(2):
        left = slots(next(ours))
        right = {k: v.unflatten(0, (-1, 2)).numpy() for k, v in next(theirs).items()}
        for name in ("images", "ids", "modality"):
            np.testing.assert_array_equal(left[name], right[name])


@pytest.mark.torch
def test_folding_batch_norms_keeps_the_embedding():
    torch = pytest.importorskip("torch")
    from jreid.export.torch_network.network import fused_embedding
    from tools.throughput.torch_side import fold_batch_norms
    from tools.torch_reference import from_config

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


@pytest.mark.long
@pytest.mark.torch
def test_the_whole_program_on_a_small_network(tmp_path):
    pytest.importorskip("torch")
    command = [
        *(sys.executable, "tools/benchmark.py", "--config", "demo"),
        *("--config.network.trunk.width=0.125", "--batches", "4", "--sizes", "64x32"),
        *("--rounds", "1", "--turn_seconds", "0.01", "--works", "embed"),
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
def test_an_augmentation_that_torch_has_not_is_named(tmp_path):
    pytest.importorskip("torch")
    from tools.throughput.torch_pipeline import make_loader

    make_files(tmp_path, 96, 40, 24)
    config = small_config()
    config.views["infrared"].pipe = (Erase(),)
    case = Case("train", 8, 40, 24, "float32")
    with pytest.raises(ValueError, match=r"views.infrared.pipe has Erase"):
        make_loader(config, case, tmp_path, 2, workers=0)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "part"),
    [("optimizer", AdamW()), ("objective", {"other": BatchHardTriplet()})],
)
def test_a_side_that_cannot_do_its_work_says_why(name, part, tmp_path):
    pytest.importorskip("torch")
    config = small_config()
    setattr(config, name, part)
    case = Case("train", 4, 64, 32, "float32")
    setup = {
        "side": "torch",
        "variant": "eager",
        "spec": "demo",
        "config": to_json(config),
        "case": case.as_dict(),
        "files": "",
    }
    with (
        Worker(setup, tmp_path) as worker,
        pytest.raises(WorkerError, match="which the PyTorch side has not"),
    ):
        worker.ask("build")
