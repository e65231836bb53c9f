"""The reader of compiled programs, on a small one compiled for two GPUs.

data/compiled_step.hlo is a gradient step of a 3 x 3 convolution of stride 2, another of
stride 1 and a strided 1 x 1 one on 4 images of 16 x 8 pixels and 8 channels, bfloat16.
"""

import importlib.util
import pathlib
import re
import subprocess
import sys

import jax
import pytest

from jreid.config_files import load
from jreid.data.cluster_sampling import PerCluster
from jreid.data.sysu_mm01 import SysuMM01
from jreid.processes.sharding import data_mesh
from jreid.run.batches import images_per_step
from jreid.training.plan import plan
from tools import compile_report, hlo_census, hlo_text, step_costs

ROOT = pathlib.Path(__file__).parent.parent

TEXT = (ROOT / "tests" / "data" / "compiled_step.hlo").read_text()
PARAMETERS = [(3, 3, 8, 16), (3, 3, 16, 16), (16, 32)]
FIRST, SECOND = 2 * 64 * 3 * 3 * 8 * 16, 2 * 64 * 3 * 3 * 16 * 16
PRODUCT = 2 * 16 * 16 * 32


@pytest.fixture(scope="module")
def module():
    return hlo_text.parse(TEXT)


def kernel(module, name):
    return module.by_name[name]


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("cudnn-conv.2", FIRST),  # 64 positions of the output map, from the listing
        ("cudnn-conv.3", SECOND),
        ("cudnn-conv-bw-input.1", SECOND),
        ("cudnn-conv-bw-filter.2", FIRST),
        ("cudnn-conv-bw-filter.3", SECOND),
        ("gemm_fusion_dot.4", PRODUCT),
        ("gemm_fusion_dot.6", PRODUCT),
        ("loop_select_fusion", 0),
    ],
)
def test_operations_of_a_kernel(module, name, flops):
    assert module.flops(kernel(module, name)) == flops


def test_bytes_are_of_operands_and_results(module):
    # bfloat16 [2 8 4 16] in and out
    assert module.bytes_moved(kernel(module, "loop_maximum_fusion")) == 2 * 1024 * 2
    images, weights, result = 2 * 16 * 8 * 8 * 2, 16 * 3 * 3 * 8 * 2, 1024 * 2
    moved = module.bytes_moved(kernel(module, "cudnn-conv.2"))
    assert moved == images + weights + result


def test_every_kernel_is_counted_once_and_what_is_free_is_not(module):
    entry = TEXT[TEXT.index("ENTRY") :].splitlines()
    free = ("parameter(", "bitcast(", "tuple(", "get-tuple-element(")
    lines = [line for line in entry if " = " in line]
    expected = [line for line in lines if not any(f" {word}" in line for word in free)]
    assert len(module.kernels()) == len(expected) == 25


def test_stack_goes_outwards_from_the_line_that_was_written(module):
    functions = [
        function for _, function in module.stack(kernel(module, "cudnn-conv.2"))
    ]
    assert functions == ["Trunk.__call__", "step.<locals>.loss", "step", "<module>"]
    assert module.stack(kernel(module, "cudnn-conv.2"))[0][0] == "sample.py:9"
    assert module.stack(kernel(module, "copy.12")) == []


def test_report_of_the_sample(module):
    report = hlo_census.census(module, PARAMETERS)
    assert report["cudnn"] == {
        "forward": {"NHWC": 2},
        "input gradient": {"NHWC": 1},
        "weight gradient": {"NHWC": 2},
    }
    assert report["products"] == {
        "number": 3,
        "with_addition": 0,
        "with_activation": 0,
    }
    assert report["kinds"] == {
        "copy": 6,
        "elementwise": 6,
        "cuDNN convolution": 5,
        "transpose": 4,
        "matrix product": 3,
        "collective": 1,
    }
    assert report["collectives"] == {
        "all-reduce": {"calls": 1, "bytes": 2 * (1152 + 2304 + 512), "large": []}
    }
    total = 2 * FIRST + 3 * SECOND + 3 * PRODUCT
    assert report["roofline"]["flops"] == total
    seconds = report["roofline"]["seconds"]
    assert seconds >= total / hlo_census.PEAK_FLOPS["bf16"]
    assert seconds >= report["roofline"]["bytes"] / hlo_census.PEAK_BYTES


def test_layout_changes_say_what_they_move_and_whence(module):
    rows = hlo_census.census(module, PARAMETERS)["layout"]
    found = {(row["change"], row["of"]): row for row in rows}
    assert found["copy", "weights"]["number"] == 2  # into the donated memory
    assert found["copy", "weights"]["bytes"] == 4 * (1152 + 2304)
    assert found["copy", "vectors"]["number"] == 4  # gradients joined and parted
    transposed = [row for row in rows if row["change"] == "transpose"]
    assert {row["of"] for row in transposed} == {"weights"}
    assert sum(row["number"] for row in transposed) == 4


def test_large_collectives_say_what_runs_beside_them():
    text = """ENTRY %main (x: f32[1024,512]) -> f32[1024,512] {
  %x = f32[1024,512]{1,0} parameter(0)
  %s = (f32[1024,512]{1,0}, f32[1024,512]{1,0}) all-reduce-start(%x), to_apply=%add
  %a = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused
  %b = f32[8]{0} fusion(%a), kind=kLoop, calls=%fused
  %d = f32[1024,512]{1,0} all-reduce-done(%s)
  ROOT %r = f32[1024,512]{1,0} all-reduce(%d), to_apply=%add
}
"""
    module = hlo_text.parse(text)
    found = hlo_census.collectives(module, module.kernels())["all-reduce"]
    size = {"bytes": 2**21, "dtype": "f32"}
    assert found["calls"] == 2 and found["bytes"] == 2**22
    assert found["large"] == [size | {"beside": 2}, size | {"beside": 0}]


def test_a_slice_of_activations_is_a_copy_between_layers():
    text = """ENTRY %main (x: bf16[2,8,4,16]) -> bf16[2,4,2,16] {
  %x = bf16[2,8,4,16]{3,2,1,0} parameter(0)
  ROOT %cut = bf16[2,4,2,16]{3,2,1,0} fusion(%x), kind=kLoop, calls=%fused_slice
}

%fused_slice (x: bf16[2,8,4,16]) -> bf16[2,4,2,16] {
  %x = bf16[2,8,4,16]{3,2,1,0} parameter(0)
  ROOT %s = bf16[2,4,2,16]{3,2,1,0} slice(%x), slice={[0:2], [0:8:2], [0:4:2], [0:16]}
}
"""
    (row,) = hlo_census.census(hlo_text.parse(text), PARAMETERS)["layout"]
    assert row == {
        "change": "copy",
        "of": "activations",
        "origin": "the compiler",
        "number": 1,
        "bytes": 2 * 4 * 2 * 16 * 2,
    }


def test_an_epilogue_counts_only_behind_the_product():
    text = """ENTRY %main (p: f32[4,8]) -> f32[4,2] {
  %p = f32[4,8]{1,0} parameter(0)
  %w = f32[8,2]{1,0} parameter(1)
  %after = f32[4,2]{1,0} fusion(%p, %w), kind=kCustom, calls=%behind
  ROOT %before = f32[4,2]{1,0} fusion(%p, %w), kind=kCustom, calls=%ahead
}

%behind (p: f32[4,8], w: f32[8,2]) -> f32[4,2] {
  %p = f32[4,8]{1,0} parameter(0)
  %w = f32[8,2]{1,0} parameter(1)
  %dot.1 = f32[4,2]{1,0} dot(%p, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %sum = f32[4,2]{1,0} add(%dot.1, %dot.1)
  ROOT %max = f32[4,2]{1,0} maximum(%sum, %sum)
}

%ahead (p: f32[4,8], w: f32[8,2]) -> f32[4,2] {
  %p = f32[4,8]{1,0} parameter(0)
  %max = f32[4,8]{1,0} maximum(%p, %p)
  %w = f32[8,2]{1,0} parameter(1)
  ROOT %dot = f32[4,2]{1,0} dot(%max, %w), lhs_contracting_dims={1}
}
"""
    module = hlo_text.parse(text)
    found = hlo_census.products(module, module.kernels())
    assert found == {"number": 2, "with_addition": 1, "with_activation": 1}
    assert sum(map(module.flops, module.kernels())) == 2 * 2 * 4 * 8 * 2


def test_a_librarys_product_takes_the_time_of_its_operands_rate():
    text = """ENTRY %main (a: bf16[8192,8192], b: bf16[8192,8192]) -> f32[8192,8192] {
  %a = bf16[8192,8192]{1,0} parameter(0)
  %b = bf16[8192,8192]{1,0} parameter(1)
  %g = (f32[8192,8192]{1,0}, s8[4096]{0}) custom-call(%a, %b), \
custom_call_target="__cublas$gemm", backend_config={"gemm_backend_config":{\
"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]},"epilogue":"DEFAULT"}}
  ROOT %r = f32[8192,8192]{1,0} get-tuple-element(%g), index=0
}
"""
    found = hlo_census.census(hlo_text.parse(text), [])["roofline"]
    assert found["flops"] == 2 * 8192**3
    assert found["seconds"] == pytest.approx(2 * 8192**3 / 989e12)
    assert found["memory_bound_seconds"] == 0


LOOP = """%inner (q: (f32[64,64])) -> (f32[64,64]) {
  %q = (f32[64,64]{1,0}) parameter(0)
  %y = f32[64,64]{1,0} get-tuple-element(%q), index=0
  %e = f32[64,64]{1,0} fusion(%y, %y), kind=kCustom, calls=%product
  ROOT %u = (f32[64,64]{1,0}) tuple(%e)
}

%product (l: f32[64,64], r: f32[64,64]) -> f32[64,64] {
  %l = f32[64,64]{1,0} parameter(0)
  %r = f32[64,64]{1,0} parameter(1)
  ROOT %d = f32[64,64]{1,0} dot(%l, %r), lhs_contracting_dims={1}
}

%outer (p: (f32[64,64])) -> (f32[64,64]) {
  %p = (f32[64,64]{1,0}) parameter(0)
  %x = f32[64,64]{1,0} get-tuple-element(%p), index=0
  %f = f32[64,64]{1,0} fusion(%x, %x), kind=kCustom, calls=%product
  %z = (f32[64,64]{1,0}) tuple(%f)
  ROOT %v = (f32[64,64]{1,0}) while(%z), condition=%c, body=%innerINNER
}

ENTRY %main (a: (f32[64,64])) -> (f32[64,64]) {
  %a = (f32[64,64]{1,0}) parameter(0)
  ROOT %w = (f32[64,64]{1,0}) while(%a), condition=%c, body=%outerOUTER
}
"""


@pytest.mark.parametrize(
    ("outer", "inner", "products", "left_out"),
    [(10, 7, 10 * (1 + 7), 0), (10, 0, 10, 1), (0, 7, 0, 1)],
)
def test_a_loop_counts_as_often_as_it_turns(outer, inner, products, left_out):
    text = LOOP
    for name, turns in (("OUTER", outer), ("INNER", inner)):
        told = f', backend_config={{"known_trip_count":{{"n":"{turns}"}}}}'
        text = text.replace(name, told * bool(turns))
    found = hlo_census.census(hlo_text.parse(text), [])["roofline"]
    assert found["flops"] == products * 2 * 64**3
    assert found["bytes"] == products * 2 * 64 * 64 * 4
    assert found["loops_left_out"] == left_out


def test_comparison_names_what_changed_and_nothing_else(module):
    about = dict.fromkeys(
        ("program", "config", "precision", "devices", "batch", "height", "width"), 1
    )
    sizes = {"memory": {"peak": 5_000_000}}
    before = about | sizes | hlo_census.census(module, PARAMETERS)
    after = before | {"kernels": 24, "memory": {"peak": 4_000_000}}
    assert compile_report.format_comparison(before, before).endswith("nothing")
    text = compile_report.format_comparison(after, before)
    assert text.splitlines()[1:] == ["  peak memory, MB: 5 -> 4", "  kernels: 25 -> 24"]
    other = compile_report.format_comparison(after | {"batch": 2}, before)
    assert other == "not comparable: the other report differs in batch"


def test_text_that_is_no_module_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo_text.parse("HloModule nothing\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--batch", "6", "--devices", "4"], "6 images on 4 devices"),
        (["--json", "no/such/folder/report.json"], "make it first"),
        (["--config.network.trunk.width=0"], "width is 0"),
        (["--config=no_such_file.py"], "no_such_file"),
    ],
)
def test_bad_arguments_end_with_one_line(arguments, reason, capsys):
    assert compile_report.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert reason in error


@pytest.mark.parametrize(
    "arguments", [["--config.network.trunk.dpeth=18"], ["--devices", "many"]]
)
def test_words_that_mean_nothing_are_refused(arguments, capsys):
    assert compile_report.main(arguments) == 2
    assert arguments[-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("system", "drawn", "read"),  # two players of players.py read one view alone
    [("phases", 2, 2), ("players", 6, 4)],
)
def test_what_is_traced_is_the_step_of_a_system(system, drawn, read):
    config = load(str(ROOT / "tests" / "systems" / f"{system}.py"))
    options = compile_report.Options(batch=8, classes=3)
    traced, params = compile_report.trace(config, options, data_mesh())
    assert columns_of(traced) == [4] * read
    assert compile_report.images_given(config, options) == 4 * drawn
    assert (8, 3) in [leaf.shape for leaf in jax.tree.leaves(params)]  # a classifier


def columns_of(traced):
    """The lengths of the columns of images that a program reads."""
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    inputs = text[text.index("@main") :].splitlines()[0]
    return sorted(int(n) for n in re.findall(r"<(\d+)x32x16x3xui8>", inputs))


def test_what_is_traced_is_the_config_s_own_batch():
    """Its views are of other lengths, and a player's are of others than another's."""
    config = load(str(ROOT / "tests" / "systems" / "players.py"))
    config.players["generator"].sampling = PerCluster(visible=3, infrared=2, images=1)
    options = compile_report.Options(batch=0, classes=3)
    traced, _ = compile_report.trace(config, options, data_mesh())
    visible, infrared = 3, 8  # the generator's; the encoder's, which has the config's
    assert columns_of(traced) == [visible, 4, 4, infrared]
    drawn = (3 + 2) + (4 + 4) + (8 + 8)
    assert compile_report.images_given(config, options) == drawn


@pytest.mark.parametrize(
    ("spec", "images"),
    [
        *(("sysu", 64), ("sysu:rle", 48), ("sysu:caj", 96), ("sysu:hicmd", 8)),
        ("sysu:adca", 2 * 8 * 16 + 16 * 16),  # two visible views, and more infrared
        ("sysu:pgm", 2 * 8 * 16 + 16 * 16),
        ("sysu:jsia", 18 + 128),  # the encoder draws for itself
        ("sysu:aligngan", 32 + 144),
    ],
)
def test_a_batch_is_the_config_s_own_where_none_is_given(spec, images):
    options = compile_report.Options(batch=0)
    assert compile_report.images_given(load(spec), options) == images


def test_own_batches_are_those_of_a_run_s_step(monkeypatch):
    dataset = SysuMM01("synvi").read()
    monkeypatch.setattr(SysuMM01, "read", lambda _: dataset)  # once, not for each
    train = dataset.train
    options = compile_report.Options(batch=0)
    for name in step_costs.named(("all",)):
        config = load(f"sysu:{name}")
        phase = plan(config, train)[-1]
        expected = images_per_step(config, train, phase)
        assert compile_report.images_given(config, options) == expected, name


def test_an_own_batch_that_devices_cannot_share_is_refused(capsys):
    words = ["--config", "sysu:jsia", "--batch", "0", "--devices", "2"]
    assert compile_report.main(words) == 2
    error = capsys.readouterr().err
    assert "jsia draws 9 + 9 + 64 + 64 images, which 2 devices cannot share" in error


def test_a_missing_plugin_is_named_with_its_remedy(monkeypatch, capsys):
    monkeypatch.setattr(compile_report, "find_spec", lambda name: None)
    assert compile_report.main([]) == 2
    assert 'pip install "jax[cuda12]"' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("jax_plugins.xla_cuda12") is None
    if importlib.util.find_spec("jax_plugins")
    else True,
    reason="needs jax's CUDA plugin: the compiler for GPUs",
)
def test_compiles_a_small_step(tmp_path):
    program = ROOT / "tools" / "compile_report.py"
    command = [sys.executable, str(program), "--config", "demo"]
    done = subprocess.run(
        [
            *command,
            "--batch",
            "8",
            "--classes",
            "4",
            "--json",
            tmp_path / "report.json",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "weight gradient" in done.stdout and "estimate" in done.stdout
    assert (tmp_path / "report.json").exists()
