"""What XLA makes of the training step or the embedding on GPUs, without a GPU.

    python tools/compile_report.py --config sysu --config.precision bfloat16
    python tools/compile_report.py --devices 8 --batch 512 --json report.json
    python tools/compile_report.py --embed

Compiles the program that jreid runs for NVIDIA H100s that exist for the compiler only,
and prints its memory, kernels, library calls, layout changes and communication, and a
roofline *estimate* of its time. Nothing is executed, so nothing is measured; kernels
are chosen without autotuning, which needs the device.

Needs jax's CUDA plugin, Python 3.12 and 6 GB of disk: pip install "jax[cuda12]".
"""

import json
import math
import os
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from jreid import command_line, ending  # noqa: E402
from jreid.config import Config  # noqa: E402
from jreid.config_hash import config_hash  # noqa: E402
from tools import hlo_text  # noqa: E402
from tools.hlo_census import PEAK_FLOPS, census  # noqa: E402

# What XLA must know of the chip: an H100 SXM with 80 GB.
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84929347584 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 } registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


@dataclass(slots=True)
class Options:
    """What is compiled, and where the report goes."""

    devices: int = 1
    """GPUs that share the batch."""
    batch: int = 64
    """Images in each batch of a step, over all GPUs; 0: as many as the config draws."""
    classes: int = 395
    """Training identities."""
    embed: bool = False
    """The frozen embedding, not the step."""
    json: Path | None = None
    """Write the report here as well."""
    compare: Path | None = None
    """An earlier --json, to compare."""
    hlo: Path | None = None
    """Write the compiled program's text here."""


parse = partial(
    command_line.parse_with_config,
    Options,
    "python tools/compile_report.py",
    description=str(__doc__),
    default="sysu",
)


def main(arguments: list[str]) -> int:
    """Exit code 2 and one line for what is refused."""
    return ending.exit_code(program, arguments)


def program(arguments: list[str]) -> None:
    """Prints the report."""
    given = parse(arguments)
    config, options = given.config, given.options
    os.environ["JAX_PLATFORMS"] = "cpu"  # nothing runs on a device: do not look for one
    check(config, options)
    images = images_given(config, options)
    compiled, parameters, seconds = compile_for_gpu(config, options)
    text = compiled.as_text()
    if options.hlo:
        options.hlo.write_text(text)
    report = {
        "program": "embedding" if options.embed else "training step",
        "config": config.name,
        "config_hash": config_hash(config),
        "precision": config.precision,
        "devices": options.devices,
        "batch": images,
        "height": config.size[0],
        "width": config.size[1],
        "parameters": sum(map(math.prod, parameters)),
        "compile_seconds": round(seconds, 1),
        "memory": memory(compiled.memory_analysis()),
        **census(hlo_text.parse(text), parameters),
    }
    print(format_report(report))
    if options.compare:
        print(format_comparison(report, json.loads(options.compare.read_text())))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def images_given(config: Config, options: Options) -> int:
    """Images that the program is given: of all batches of a step, or to be embedded."""
    if options.embed and options.batch:
        return options.batch
    return sum(sum(lengths.values()) for lengths in columns(config, options).values())


def columns(config: Config, options: Options) -> dict[str, dict[str, int]]:
    """Images in each view of each batch that a step of the last phase draws.

    Batches are named as `jreid.run.batches.samplings` names them. Without a size given
    they are as large as the config's own, drawn of SynVI's images.
    """
    from jreid.data.sysu_mm01 import SysuMM01
    from jreid.run.batches import columns_of_step, samplings

    phase = _phases(config)[-1]
    if not options.batch:
        return columns_of_step(config, SysuMM01("synvi").read().train, phase)
    count = options.batch // len(phase.views)
    names = samplings(config, phase)
    return {name: dict.fromkeys(phase.views, count) for name in names}


def _phases(config):
    """As planned on any images: the steps of an epoch change no shape."""
    from jreid.training.plan import plan

    return plan(replace(config, steps_per_epoch=config.steps_per_epoch or 100), None)


def check(config: Config, options: Options) -> None:
    """Raises ValueError for a batch that cannot be divided, or files that are not."""
    views = list(_phases(config)[-1].views)
    shared = 1 if options.embed else len(views)
    devices, batch = options.devices, options.batch
    if devices < 1 or batch < 0 or batch % (devices * shared):
        raise ValueError(
            f"a batch of {batch} images on {devices} devices; give a multiple of "
            f"{shared} images per device"
            + f" (one of each view: {', '.join(views)})"
            * (not options.embed)
        )
    if not batch:
        _check_own(config, options)
    if options.compare and not options.compare.is_file():
        raise ValueError(f"{options.compare} does not exist; write one with --json")
    for path in (options.json, options.hlo):
        if path and not path.parent.is_dir():
            raise ValueError(f"the folder of {path} does not exist; make it first")


def _check_own(config, options):
    drawn = columns(config, options).values()
    lengths = [count for batch in drawn for count in batch.values()]
    if options.embed:
        lengths = [sum(lengths)]
    if any(count % options.devices for count in lengths):
        raise ValueError(
            f"{config.name} draws {' + '.join(map(str, lengths))} images, which "
            f"{options.devices} devices cannot share evenly: give --batch"
        )


def gpus(count: int) -> list[Any]:
    """`count` H100s of one host that exist for the compiler only."""
    if find_spec("jax_plugins.xla_cuda12") is None and (
        find_spec("jax_plugins.xla_cuda13") is None
    ):
        raise ValueError(
            "jax's CUDA plugin is not installed, and it holds the compiler: "
            'pip install "jax[cuda12]" (Python 3.12 or newer, 6 GB of disk; no GPU)'
        )
    # No kernels are tuned on a device.
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"--xla_gpu_autotune_level=0 {flags}".strip()
    from jax.experimental import topologies

    try:
        topology = topologies.get_topology_desc(
            platform="cuda", target_config=H100, topology=f"1x1x{count}"
        )
    except NotImplementedError as error:
        raise ValueError(
            f"this jax cannot compile for an absent GPU ({error}); "
            'pip install -U "jax[cuda12]" on Python 3.12 or newer (tried: jax 0.12)'
        ) from error
    return topology.devices


def compile_for_gpu(config: Config, options: Options):
    """The compiled program, the dimensions of its parameters, and the seconds taken."""
    devices = gpus(options.devices)
    import jax

    from jreid.processes.sharding import data_mesh

    traced, params = trace(config, options, data_mesh(devices))
    start = time.perf_counter()
    compiled = traced.lower(lowering_platforms=("cuda",)).compile()
    parameters = [leaf.shape for leaf in jax.tree.leaves(params)]
    return compiled, parameters, time.perf_counter() - start


def trace(config: Config, options: Options, mesh: Any):
    """The program traced for the devices of `mesh`, and its parameters' shapes.

    The step is the last phase's.
    """
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    from jreid.processes.sharding import data_mesh
    from jreid.training.build import build_system

    divided = NamedSharding(mesh, PartitionSpec("data"))
    replicated = NamedSharding(mesh, PartitionSpec())
    phases = _phases(config)
    # The shapes are the same on the devices at hand, where they can be traced.
    system = build_system(config, options.classes, phases, data_mesh())
    shapes = jax.eval_shape(lambda: system.init(config.seed))
    state = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), shapes
    )

    def array(*dims: int, dtype=jnp.int32):
        return jax.ShapeDtypeStruct(dims, dtype, sharding=divided)

    def pictures(count: int):
        return array(count, *config.size, 3, dtype=jnp.uint8)

    if options.embed:
        images = pictures(images_given(config, options))
        traced = system.embed.trace(state.params, state.stats, images, "visible")
        return traced, state.params
    drawn: dict[str, Any] = {
        name: {
            "images": {view: pictures(count) for view, count in lengths.items()},
            "ids": {view: array(count) for view, count in lengths.items()},
            "modality": {view: array(count) for view, count in lengths.items()},
        }
        for name, lengths in columns(config, options).items()
    }
    batch = drawn.pop("", {}) | ({"players": drawn} if drawn else {})
    return system.step.trace(state, batch, len(phases) - 1), state.params


def memory(analysis: Any) -> dict[str, int]:
    """Bytes on each device. The peak counts what is reused (donated) once."""
    names = ("argument", "output", "alias", "temp")
    sizes = {name: getattr(analysis, f"{name}_size_in_bytes") for name in names}
    sizes["peak"] = sizes["argument"] + sizes["output"] - sizes["alias"] + sizes["temp"]
    return sizes


def format_report(report: dict[str, Any]) -> str:
    """The report as text."""
    memory, time_ = report["memory"], report["roofline"]
    lines = [
        f"{report['program']} of {report['config']}, {report['precision']}, "
        f"{report['batch']} images of {report['height']} x {report['width']} on "
        f"{report['devices']} x H100 (compiled in {report['compile_seconds']} s; "
        "nothing was run)",
        "memory per device: "
        + ", ".join(f"{name} {memory[name] / 1e9:.2f} GB" for name in memory),
        f"kernels: {report['kernels']}  "
        + ", ".join(f"{name} {count}" for name, count in report["kinds"].items()),
        "cuDNN calls: " + (_calls(report["cudnn"]) or "none"),
        "matrix products: {number}, with an addition in the same kernel "
        "{with_addition}, with the activation {with_activation}".format(
            **report["products"]
        ),
        "transposes and copies:",
    ]
    lines += [
        f"  {row['number']:4d} {row['change']} of {row['of']}, "
        f"{row['bytes'] / 1e6:.1f} MB, from {row['origin']}"
        for row in report["layout"]
    ] or ["  none"]
    in_network = sum(
        row["number"]
        for row in report["layout"]
        if row["of"] == "activations" and row["origin"].startswith(("Stem", "Trunk"))
    )
    lines.append(f"  of activations in stems and trunk: {in_network} (aim: 0)")
    if report["devices"] > 1:
        lines.append("collectives: " + (_collectives(report["collectives"]) or "none"))
    rate = report["batch"] / time_["seconds"]
    memory_share = time_["memory_bound_seconds"] / time_["seconds"]
    lines += [
        f"matrix products and convolutions: {time_['flops'] / 1e9:,.0f} GFLOP; "
        f"bytes moved: {time_['bytes'] / 1e9:.1f} GB (per device)",
        f"roofline estimate, not a measurement: at least {time_['seconds'] * 1e3:.1f} "
        f"ms ({rate:,.0f} images/s), {memory_share:.0%} of it limited by memory; "
        f"matrix units alone {time_['flops'] / _rate(report) * 1e3:.1f} ms",
    ]
    if loops := time_["loops_left_out"]:
        lines.append(
            f"  left out: {loops} loops of which the compiler does not know how often "
            "they turn"
        )
    return "\n".join(lines)


def format_comparison(report: dict[str, Any], before: dict[str, Any]) -> str:
    """What changed since an earlier report of the same program, or that nothing did."""
    same = ("program", "config", "precision", "devices", "batch", "height", "width")
    if other := [key for key in same if report[key] != before.get(key)]:
        return f"not comparable: the other report differs in {', '.join(other)}"
    now, then = _figures(report), _figures(before)
    lines = [
        f"  {name}: {then.get(name, 0):,.6g} -> {now.get(name, 0):,.6g}"
        for name in now | then
        if now.get(name, 0) != then.get(name, 0)
    ]
    return "\n".join(["changed since the other report:", *(lines or ["  nothing"])])


def _figures(report) -> dict[str, float]:
    figures = {"peak memory, MB": report["memory"]["peak"] / 1e6}
    figures |= {"kernels": report["kernels"]}
    figures |= {f"kernels, {name}": count for name, count in report["kinds"].items()}
    for kind, layouts in report["cudnn"].items():
        for layout, count in layouts.items():
            figures[f"cuDNN {kind} {layout}"] = count
    names = {"flops": 1e9, "bytes": 1e9, "seconds": 1e-3}
    units = {"flops": "GFLOP", "bytes": "GB moved", "seconds": "estimated ms"}
    for name, unit in names.items():
        figures[units[name]] = round(report["roofline"][name] / unit, 3)
    return figures


def _rate(report) -> float:
    return PEAK_FLOPS["bf16" if report["precision"] == "bfloat16" else "f32"]


def _calls(cudnn) -> str:
    return ", ".join(
        f"{kind} {count} {layout}"
        for kind, layouts in cudnn.items()
        for layout, count in layouts.items()
    )


def _collectives(found) -> str:
    return "; ".join(
        f"{counts['calls']} {name} of {counts['bytes'] / 1e6:.1f} MB in all, "
        f"{len(counts['large'])} of them of 1 MB or more"
        + "".join(
            f"{':' if i == 0 else ','} {one['bytes'] / 1e6:.1f} MB {one['dtype']} "
            f"beside {one['beside']} kernels"
            for i, one in enumerate(counts["large"])
        )
        for name, counts in found.items()
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
