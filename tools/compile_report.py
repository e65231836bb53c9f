"""What XLA makes of the training step or the embedding on GPUs, without a GPU.

    python tools/compile_report.py --config configs/sysu.py --config.model.bfloat16=True
    python tools/compile_report.py --devices 8 --batch 512 --json report.json
    python tools/compile_report.py --embed

Compiles the program that jreid runs for NVIDIA H100s that exist for the compiler only,
and prints its memory, kernels, library calls, layout changes and communication, and a
roofline *estimate* of its time. Nothing is executed, so nothing is measured; kernels
are chosen without autotuning, which needs the device.

Needs jax's CUDA plugin, Python 3.12 and 6 GB of disk: pip install "jax[cuda12]".
"""

import argparse
import functools
import json
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from jreid.config import Config  # noqa: E402
from tools import hlo_text  # noqa: E402
from tools.config_argument import read_config  # noqa: E402
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


def main(arguments: list[str]) -> int:
    """Prints the report; exit code 2 and one line for what is refused."""
    try:
        config, rest = read_config(arguments)
        given = parse_arguments(rest)
        compiled, parameters, seconds = compile_for_gpu(config, given)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = compiled.as_text()
    if given.hlo:
        given.hlo.write_text(text)
    report = {
        "program": "embedding" if given.embed else "training step",
        "config": config.name,
        "precision": "bfloat16" if config.model.bfloat16 else "float32",
        "devices": given.devices,
        "batch": given.batch,
        "height": config.data.height,
        "width": config.data.width,
        "compile_seconds": round(seconds, 1),
        "memory": memory(compiled.memory_analysis()),
        **census(hlo_text.parse(text), parameters),
    }
    print(format_report(report))
    if given.compare:
        print(format_comparison(report, json.loads(given.compare.read_text())))
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line without the config's part."""
    parser = argparse.ArgumentParser(
        prog="python tools/compile_report.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="--config FILE[:VARIANT] and --config.field=value as in jreid.train; "
        "the default is configs/sysu.py",
    )
    add = parser.add_argument
    add("--devices", type=int, default=1, help="GPUs that share the batch (1)")
    add("--batch", type=int, default=64, help="images in a batch over all GPUs (64)")
    add("--classes", type=int, default=395, help="training identities (395)")
    add("--embed", action="store_true", help="the frozen embedding, not the step")
    add("--json", type=Path, metavar="FILE", help="write the report here as well")
    add("--compare", type=Path, metavar="FILE", help="an earlier --json, to compare")
    add("--hlo", type=Path, metavar="FILE", help="write the compiled program's text")
    given = parser.parse_args(arguments)
    per_slot = 1 if given.embed else 2
    if given.devices < 1 or given.batch < 1 or given.batch % (given.devices * per_slot):
        raise ValueError(
            f"a batch of {given.batch} images on {given.devices} devices; give a "
            f"multiple of {per_slot} images per device (a visible and an infrared one "
            "make a slot in training)"
        )
    if given.compare and not given.compare.is_file():
        raise ValueError(f"{given.compare} does not exist; write one with --json")
    for path in (given.json, given.hlo):
        if path and not path.parent.is_dir():
            raise ValueError(f"the folder of {path} does not exist; make it first")
    return given


def gpus(count: int) -> list[Any]:
    """`count` H100s of one host that exist for the compiler only."""
    if find_spec("jax_plugins.xla_cuda12") is None and (
        find_spec("jax_plugins.xla_cuda13") is None
    ):
        raise ValueError(
            "jax's CUDA plugin is not installed, and it holds the compiler: "
            'pip install "jax[cuda12]" (Python 3.12 or newer, 6 GB of disk; no GPU)'
        )
    # Nothing runs on a device: do not look for one, nor tune kernels on it.
    os.environ["JAX_PLATFORMS"] = "cpu"
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


def compile_for_gpu(config: Config, given: argparse.Namespace):
    """The compiled program, the dimensions of its parameters, and the seconds taken."""
    devices = gpus(given.devices)
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    from jreid import system
    from jreid.training.learner import (
        data_mesh,
        init_state,
        make_embed,
        make_train_step,
        network_structure,
    )

    mesh = data_mesh(devices)
    divided = NamedSharding(mesh, PartitionSpec("data"))
    replicated = NamedSharding(mesh, PartitionSpec())
    make_network = functools.partial(system.make_network, config, given.classes)
    graphdef, frozen = network_structure(make_network)
    tx = system.build_tx(config, system.build_schedule(config, steps_per_epoch=100))
    # The shapes are the same on the devices at hand, where they can be traced.
    shapes = jax.eval_shape(
        lambda: init_state(make_network, tx, config.seed, data_mesh())
    )
    state = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), shapes
    )

    def batch(*dims: int, dtype=jnp.int32):
        return jax.ShapeDtypeStruct(dims, dtype, sharding=divided)

    pixels = (config.data.height, config.data.width, 3)
    if given.embed:
        images = batch(given.batch, *pixels, dtype=jnp.uint8)
        options = config.evaluation
        embed = make_embed(frozen, feature=options.feature, flip=options.flip)
        arguments = (state.params, state.stats, images, system.STREAMS[0])
        traced = embed.trace(*arguments)
    else:
        slots = (given.batch // 2, 2)
        objective = system.build_objective(config)
        step = make_train_step(graphdef, objective, tx, system.STREAMS)
        inputs = {
            "images": batch(*slots, *pixels, dtype=jnp.uint8),
            "ids": batch(*slots),
            "modality": batch(*slots),
        }
        traced = step.trace(state, inputs)
    start = time.perf_counter()
    compiled = traced.lower(lowering_platforms=("cuda",)).compile()
    parameters = [leaf.shape for leaf in jax.tree.leaves(state.params)]
    return compiled, parameters, time.perf_counter() - start


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
