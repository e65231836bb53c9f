"""A run meets trouble: divergence, a slow reader, clocks that jump, a full disk."""

import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from jreid import config_files, train
from jreid.data.sampling import PerModality
from jreid.run import batches as run_batches
from jreid.run import results
from jreid.run.images import readable
from jreid.run.reporter import Reporter, make_reporter
from jreid.training.scalars import DivergedError, ScalarWindow
from jreid.whole_files import replacing

ROOT = pathlib.Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("systems_built_once")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tiny")


@pytest.mark.slow
def test_the_batch_of_a_divergence_is_listed(tree, tmp_path, monkeypatch):
    """Its files are those whose labels the step was given."""
    drawn = []
    make = run_batches.batches

    def recorded(*arguments):
        for batch in make(*arguments):
            drawn.append(batch)
            yield batch

    monkeypatch.setattr(run_batches, "batches", recorded)
    config = tiny.tiny_config(tree)
    config.optimizer.lr = 1e30
    config.log.every_steps = 4  # noticed later than it happens
    with pytest.raises(DivergedError) as caught:
        train.train(config, tmp_path)
    pattern = r"at step (\d+)\..*listed in (.*diverged-step-\d+.json)"
    found = re.search(pattern, str(caught.value))
    assert found
    step = int(found[1])
    listed = json.loads(pathlib.Path(found[2]).read_text())
    assert listed["step"] == step and len(listed["images"]) == 12
    ids = {name: column.tolist() for name, column in drawn[step - 1]["ids"].items()}
    for name, modality in (("visible", "visible"), ("infrared", "infrared")):
        rows = [row for row in listed["images"] if row["view"] == name]
        assert {row["modality"] for row in rows} == {modality}
        identities = [row["identity"] for row in rows]
        assert [sorted({1, 2, 3, 4, 5}).index(i) for i in identities] == ids[name]
        folders = [int(pathlib.Path(row["path"]).parent.name) for row in rows]
        assert folders == identities


@pytest.mark.slow
def test_divergence_is_told_even_if_the_list_cannot_be_written(
    tree, tmp_path, monkeypatch
):
    monkeypatch.setattr(run_batches, "write_text", full_disk)
    monkeypatch.setattr(train, "write_training_set", lambda *_: None)
    config = tiny.tiny_config(tree)
    config.optimizer.lr = 1e30
    with pytest.raises(DivergedError, match=r"is nan.*not listed: .*No space left"):
        train.train(config, tmp_path)


def full_disk(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.slow
def test_the_log_says_how_long_a_step_waits_for_a_slow_disk(
    tree,
    tmp_path,
    monkeypatch,
    capsys,
):
    """While the wall clock jumps back by a quarter of an hour at every look at it."""
    batches = run_batches.batches

    def sleeping(*arguments):
        for batch in batches(*arguments):
            time.sleep(0.5)
            yield batch

    clock = itertools.count(10**9, -1000)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setattr(run_batches, "batches", sleeping)
    config = tiny.tiny_config(tree)
    config.checkpoint.every_epochs = 9
    assert train.train(config, tmp_path) == 0
    waits = [line["input_wait"] for line in tiny.metrics(tmp_path)]
    assert all(0 <= wait <= 1 for wait in waits)
    assert min(waits[1:]) > 0.2  # in the first step the program is compiled
    speeds = [line["images_per_second"] for line in tiny.metrics(tmp_path)]
    assert min(speeds) > 0 and max(speeds) < 12 / 0.5
    assert "% for input" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "results.json").read_text())["scores"]) == 24


PLAYERS = {"maker": "players.maker.optimizer", "critic": "optimizer"}


def told(steps, every=5, **options):
    """What is said of these steps' scalars, looked at after so many."""
    window = ScalarWindow(1, players=PLAYERS, **options)
    for number, scalars in enumerate(steps, 1):
        window.add({name: jnp.float32(x) for name, x in scalars.items()}, 8)
        if number % every == 0:
            window.means()
    return window


def step_of(**changes):
    calm = {"maker/loss": 1, "maker/grad_norm": 1, "critic/loss": 1, "critic/loss/x": 1}
    return calm | {"critic/grad_norm": 1, "loss": 2} | changes


@pytest.mark.parametrize(
    "changed, expected",
    [
        (
            {"critic/loss/x": np.nan, "maker/grad_norm": np.inf, "loss": np.nan},
            "the player maker has exploded: maker/grad_norm is inf at step 3. Lower "
            "--config.players.maker.optimizer.lr",
        ),
        (
            {"critic/loss/x": np.nan, "critic/loss": np.nan, "loss": np.nan},
            "the player critic has exploded: critic/loss/x is nan at step 3. Lower "
            "--config.optimizer.lr",
        ),
    ],
)
def test_the_first_player_that_exploded_is_named(changed, expected):
    steps = [step_of(), step_of(), step_of(**changed), step_of(), step_of()]
    with pytest.raises(DivergedError, match=re.escape(expected)):
        told(steps)


def test_a_player_without_gradient_for_long_is_named():
    dead, rest = step_of(**{"critic/grad_norm": 0}), step_of()
    told([dead] * 19 + [rest] + [dead] * 10)
    expected = (
        "the player critic has collapsed: critic/grad_norm is 0 in the 20 steps up to "
        "21. Lower the rate of what it plays against, or raise --config.optimizer.lr, "
        "in another --workdir. Its batch is listed"
    )
    with pytest.raises(DivergedError, match=re.escape(expected)):
        told([rest] + [dead] * 24, explain=lambda step: "Its batch is listed")


def norms(*values):
    return [step_of(**{"critic/grad_norm": value}) for value in values]


def test_a_player_with_next_to_no_gradient_is_named():
    """Measured by its own largest gradient, and in the run of one process."""
    expected = (
        "the player critic has collapsed: critic/grad_norm is at most 2.0e-09, once "
        "4.0e-01, in the 20 steps up to 23. Lower the rate of what it plays against"
    )
    with pytest.raises(DivergedError, match=re.escape(expected)):
        told(norms(0.4, 0.4, 0.1, *[1e-9, 2e-9] * 10), every=1)
    told(norms(0.4, 0.4, *[1e-9] * 19, 1e-6, *[1e-9] * 19), every=1)
    told(norms(0.4, 0.4, *[5e-7] * 40), every=1)  # small, but it learns
    told(norms(*[1e-9] * 40), every=1)  # as ever, or the run was resumed so


@pytest.mark.parametrize("at", [1, 20, 30])
def test_one_leap_of_the_gradient_makes_no_player_seem_dead(at):
    calm = [1.0] * 60
    calm[at] = 1e9
    told(norms(*calm), every=1)


@pytest.mark.slow
def test_a_run_whose_discriminator_has_next_to_no_gradient_any_more_is_stopped(
    tree, tmp_path, monkeypatch
):
    config = config_files.load(str(ROOT / "tests" / "systems" / "players.py"))
    config.data.root = str(tree)
    config.sampling = PerModality(identities=3, images=2)
    config.steps_per_epoch = 20
    for player in config.players.values():
        player.sampling = player.sampling and PerModality(3, 1)
    judged = list(config.players["discriminator"].objective.values())
    term = type(judged[0])
    plain = term.__call__

    def fading(self, outputs, batch, rng=None):
        slope = jnp.where(batch["step"] < 4, 1.0, 1e-9) if self in judged else 1.0
        return slope * plain(self, outputs, batch, rng)

    monkeypatch.setattr(term, "__call__", fading)
    expected = r"the player discriminator has collapsed: .* in the 20 steps up to 24\."
    with pytest.raises(DivergedError, match=expected):
        train.train(config, tmp_path)
    norms = [line["discriminator/grad_norm"] for line in tiny.metrics(tmp_path)]
    assert len(norms) == 23
    assert 0 < max(norms[4:]) < 1e-6 * min(norms[:4])


def test_a_player_that_rests_is_not_dead():
    resting = {k: x for k, x in step_of().items() if not k.startswith("critic")}
    faint = norms(*[1e-9] * 19)
    told([*norms(1, 1), *[resting] * 40, *faint, resting, *faint], every=1)
    with pytest.raises(DivergedError, match="the player critic has collapsed"):
        told([*norms(1, 1), *[resting] * 40, *faint, *norms(1e-9)], every=1)


def test_the_player_that_was_thrown_away_is_named_not_who_sees_it_first():
    """In the next steps the maker, whose turn is earlier, has its judgements."""
    steps = [
        step_of(**{"maker/update_ratio": 0.9, "critic/update_ratio": 3e12}),
        step_of(**{"maker/update_ratio": 2.0, "critic/update_ratio": 0.1}),
        step_of(**{"maker/grad_norm": np.nan, "loss": np.nan}),
    ]
    both = step_of(**{"maker/update_ratio": 5.0, "critic/loss": np.nan})
    expected = "the player maker has exploded: step 1 moved its parameters by 5.0e+00"
    with pytest.raises(DivergedError, match=re.escape(expected)):
        told([both], every=1)
    expected = (
        "the player critic has exploded: step 1 moved its parameters by 3.0e+12 times "
        "their norm, and maker/grad_norm is nan at step 3. Lower --config.optimizer.lr"
    )
    with pytest.raises(DivergedError, match=re.escape(expected)):
        told(steps, every=1)
    dead = [steps[0]] + [step_of(**{"critic/grad_norm": 0})] * 20
    expected = (
        "the player critic has collapsed: step 1 moved its parameters by 3.0e+12 times "
        "their norm, and critic/grad_norm is 0 in the 20 steps up to 21. Lower "
        "--config.optimizer.lr, in another --workdir"
    )
    with pytest.raises(DivergedError, match=re.escape(expected)):
        told(dead, every=1)


class OnDevice:
    """An array that the device has computed when told so."""

    def __init__(self, ready):
        self.is_ready = lambda: ready


@pytest.mark.parametrize("ready", [False, True])
def test_a_wait_that_the_device_did_not_notice_is_not_counted(monkeypatch, ready):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def batches():
        for _ in range(2):
            now[0] += 3
            yield None

    window = ScalarWindow(1)
    stream = window.timed(batches())
    next(stream)  # nothing runs yet: the device waits
    window._steps.append({"loss": OnDevice(ready)})  # type: ignore[dict-item]
    next(stream)
    now[0] += 4
    window._steps = []
    window.add({"loss": jnp.float32(1)}, 8)
    means = window.means()
    assert means["input_wait"] == (0.6 if ready else 0.3)
    assert means["images_per_second"] == 0.8


def test_the_time_of_a_hook_between_epochs_is_no_waiting_for_input(monkeypatch):
    now, hooks = [100.0], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def batches():
        now[0] += 3
        yield None
        now[0], hooks[0] = now[0] + 60, 60.0  # it clusters
        now[0] += 1
        yield None

    window = ScalarWindow(1)
    stream = window.timed(batches(), lambda: hooks[0])
    next(stream)
    next(stream)
    now[0] += 4
    window.add({"loss": jnp.float32(1)}, 8)
    means = window.means()
    assert means["input_wait"] == 0.5
    assert means["images_per_second"] == 1


def test_steps_of_other_phases_count_their_own_images(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    window = ScalarWindow(1)
    for step, images in enumerate((18, 18, 82), 1):
        window.add({"loss": jnp.float32(step)}, images)
    now[0] += 2
    assert window.means()["images_per_second"] == 59
    window.add({"loss": jnp.float32(4)}, 82)
    now[0] += 2
    assert window.means()["images_per_second"] == 41


def test_metrics_on_a_full_disk_name_the_file(tmp_path):
    reporter = make_reporter(tmp_path, total_steps=2, first_step=1)
    assert isinstance(reporter, Reporter)
    reporter._metrics.close()
    reporter._metrics = open("/dev/full", "a")  # noqa: SIM115
    refused = pytest.raises(OSError, match=r"cannot write .*metrics.jsonl: .*No space")
    with refused, reporter:
        reporter.scalars(1, {"loss": 1.0})


@pytest.mark.slow
@pytest.mark.parametrize(("full", "saved"), [(3, 2), (4, 4)])
def test_a_run_on_a_full_disk_keeps_its_checkpoints(
    tree, tmp_path, monkeypatch, capsys, full, saved
):
    """The one of metrics.jsonl, when this step is reported; 2, 4 and 6 are saved."""
    report = Reporter.scalars

    def filling(self, step, values):
        if step == full:
            self._metrics.close()
            self._metrics = open("/dev/full", "a")  # noqa: SIM115
        report(self, step, values)

    monkeypatch.setattr(Reporter, "scalars", filling)
    with pytest.raises(OSError, match=r"cannot write .*metrics.jsonl.*resume"):
        train.train(tiny.tiny_config(tree), tmp_path)
    assert "Traceback" not in capsys.readouterr().err
    assert [line["step"] for line in tiny.metrics(tmp_path)] == [*range(1, full)]
    assert tiny.final_state(tmp_path)["step"] == saved


TOO_LARGE = """
import pathlib, resource, sys
from jreid.whole_files import write_text

path = pathlib.Path(sys.argv[1])
write_text(path, "old")
limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit))
try:
    write_text(path, "new" * 1000)
except OSError as error:
    print(error)
"""


def test_a_text_that_does_not_fit_leaves_the_old_one(tmp_path):
    """In a process of its own: the limit holds for the log of the tests as well."""
    path = tmp_path / "results.json"
    shown = subprocess.run(
        [sys.executable, "-c", TOO_LARGE, str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout
    assert shown.startswith(f"cannot write {path}: ") and "File too large" in shown
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["results.json"]


@pytest.mark.slow
def test_a_report_on_a_full_disk_names_the_file(
    tree,
    tmp_path,
    monkeypatch,
):
    """Each file of the report in turn meets the full disk; the old one stays."""
    config = tiny.tiny_config(tree)
    config.evaluation.rerank = False
    test = readable(config, config.data.read().test, "test").images
    vectors = np.random.default_rng(0).normal(size=(len(test), 4))
    features = {"fused": vectors.astype(np.float32)}
    results.write_report(config, tmp_path, 1, features, test)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    sync = os.fsync
    for name in (
        *("results.json", "features.npz", "cmc.png", "ranks.png"),
        "ranks.csv",
    ):

        def full(number, name=name):
            target = os.readlink(f"/proc/self/fd/{number}")
            return full_disk() if f"/.{name}." in target else sync(number)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=f"cannot write .*/{name}: .*No space"):
            results.write_report(config, tmp_path, 1, features, test)
        assert {path.name for path in tmp_path.iterdir()} == {p.name for p in before}
        assert (tmp_path / name).read_bytes() == before[tmp_path / name]


def test_a_replaced_file_is_readable_by_others(tmp_path):
    with replacing(tmp_path / "new.txt") as temporary:
        assert temporary.suffix == ".txt" and not (tmp_path / "new.txt").exists()
        temporary.write_text("done")
    assert (tmp_path / "new.txt").read_text() == "done"
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == 0o644
