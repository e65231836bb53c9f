"""From the seconds of all turns to rates, ratios, a Markdown table and a chart."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jreid.config import Config
from jreid.whole_files import write_text
from tools.throughput.case import CLASSES, Case, product_size
from tools.throughput.flops import forward_flops, train_flops
from tools.throughput.measure import spread

LABELS = {
    "steps": {"train": "training step", "embed": "embedding"},
    "pipeline": {"train": "training step + input pipeline"},
}
COLOURS = {
    "jax": "#1f5fa8",
    "torch eager": "#d9772b",
    "torch compiled": "#a34f12",
    "torch folded": "#e8b04a",
}


def summarise(config: Config, measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows, one for each program, and the machine's rate; plain JSON values."""
    products = [
        turn["seconds"]
        for entry in measured
        for result in entry["results"].values()
        for turn in result.get("products", ())
    ]
    backends = {
        result["about"]["backend"]
        for entry in measured
        for result in entry["results"].values()
        if "about" in result
    }
    size = product_size(on_gpu="gpu" in backends)
    peak = 2 * size**3 / min(products) if products else 0.0
    rows = []
    for entry in measured:
        case = Case(**entry["case"])
        for kind, labels in LABELS.items():
            if case.work in labels:
                row = _row(config, case, entry["results"], kind, peak)
                rows += [row] if row["sides"] else []
    return {
        "product_size": size,
        "product_flops_per_second": peak,
        "backends": sorted(backends),
        "rows": rows,
        "failed": [
            f"{name}, {case['work']} {case['batch']} x {case['height']}x"
            f"{case['width']}: {result['error']}"
            for entry in measured
            for case in [entry["case"]]
            for name, result in entry["results"].items()
            if "error" in result
        ],
    }


def _row(config, case, results, kind, peak) -> dict[str, Any]:
    if case.work == "train":
        flops = train_flops(config.network, case.height, case.width, CLASSES)
    else:
        flops = forward_flops(config.network, case.height, case.width)
        flops *= 2 if config.embedding.flip else 1
    sides = {
        name: _side(result, kind, case.batch, flops, peak)
        for name, result in results.items()
        if result.get(kind)
    }
    row = {
        "program": LABELS[kind][case.work],
        "kind": kind,
        **case.as_dict(),
        "flops": flops * case.batch,
        "sides": sides,
    }
    others = [name for name in sides if name != "jax"]
    if "jax" in sides and others:
        best = min(others, key=lambda name: sides[name]["seconds"]["median"])
        row["ratios"] = {name: _ratio(results, kind, name) for name in others}
        row |= {"best_torch": best, "ratio": row["ratios"][best]}
        if theirs := sides[best]["peak_bytes"]:
            row["memory_ratio"] = sides["jax"]["peak_bytes"] / theirs
    return row


def _ratio(results, kind, other) -> dict[str, float]:
    """How many times faster JAX was, in the turns of each round."""
    pairs = zip(results["jax"][kind], results[other][kind], strict=True)
    return spread([theirs["seconds"] / ours["seconds"] for ours, theirs in pairs])


def _side(result, kind, batch, flops, peak) -> dict[str, Any]:
    seconds = spread([turn["seconds"] for turn in result[kind]])
    rate = flops * batch / seconds["median"]
    device = result["running"]["device"]
    return {
        "seconds": seconds,
        **{
            key: spread([turn[key] for turn in result[kind]])
            for key in ("cpu_seconds", "system_seconds", "page_faults")
        },
        "images_per_second": {
            "median": batch / seconds["median"],
            "low": batch / seconds["high"],
            "high": batch / seconds["low"],
        },
        "flops_per_second": rate,
        "share_of_product_rate": rate / peak if peak else None,
        "warm_up_seconds": result["warm_up_seconds"],
        "peak_bytes": device or result["running"]["resident"],
        "peak_bytes_with_compilation": device or result["compiling"]["resident"],
    }


def markdown(summary: dict[str, Any], machine: str) -> str:
    """A table of the rows, and what failed."""
    size = summary["product_size"]
    rate = summary["product_flops_per_second"] / 1e9
    lines = [
        machine,
        "",
        f"Matrix products of {size} x {size}: {rate:,.0f} GFLOP/s, the best of both "
        "sides in this run. Shares are of this rate.",
        "",
        "| program | batch | size | GFLOP | JAX images/s | PyTorch images/s | "
        "JAX / PyTorch | JAX GFLOP/s | PyTorch GFLOP/s | warm-up s | peak memory GB | "
        "page faults | system s |",
        "|---|--:|---|" + "--:|" * 10,
    ]
    for row in summary["rows"]:
        names = list(row["sides"])
        if names == ["jax"]:
            lines.append(_line(row, "jax", None))
        lines += [_line(row, "jax", name) for name in names if name != "jax"]
    lines += ["", *(f"- failed: {text}" for text in summary["failed"])]
    if len(summary["backends"]) > 1:
        lines += [
            "",
            "JAX and PyTorch ran on different devices: this compares nothing.",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _line(row, ours: str, theirs: str | None) -> str:
    sides = [row["sides"].get(ours), row["sides"].get(theirs)]
    variant = theirs.removeprefix("torch ") if theirs else "none"
    ratio = row.get("ratios", {}).get(theirs)

    def pair(text) -> str:
        return " / ".join(text(side) if side else "-" for side in sides)

    def rate(side) -> str:
        share = side["share_of_product_rate"]
        shown = "" if share is None else f" ({share:.0%})"
        return f"{_three_digits(side['flops_per_second'] / 1e9)}{shown}"

    cells = [
        f"{row['program']} (PyTorch {variant})",
        str(row["batch"]),
        f"{row['height']}x{row['width']}",
        _three_digits(row["flops"] / 1e9),
        *(_with_spread(side["images_per_second"]) if side else "-" for side in sides),
        "**{median:.2f}** ({low:.2f} to {high:.2f})".format(**ratio) if ratio else "-",
        *(rate(side) if side else "-" for side in sides),
        pair(lambda side: f"{side['warm_up_seconds']:.1f}"),
        pair(lambda side: f"{side['peak_bytes'] / 1e9:.2f}"),
        pair(lambda side: f"{side['page_faults']['median']:,.0f}"),
        pair(lambda side: f"{side['system_seconds']['median']:.2f}"),
    ]
    return "| " + " | ".join(cells) + " |"


def _three_digits(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def _with_spread(value: dict[str, float]) -> str:
    digits = 1 if value["median"] < 100 else 0
    texts = {key: f"{number:,.{digits}f}" for key, number in value.items()}
    return "{median} ({low} to {high})".format(**texts)


def write_chart(summary: dict[str, Any], path: Path, title: str) -> None:
    """Images per second of each program: one panel each, one group for each case."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    programs = list(dict.fromkeys(row["program"] for row in summary["rows"]))
    names = [
        name for name in COLOURS if any(name in row["sides"] for row in summary["rows"])
    ]
    groups = {p: [r for r in summary["rows"] if r["program"] == p] for p in programs}
    most = max((len(rows) for rows in groups.values()), default=1)
    figure = Figure(figsize=(2 + len(programs) * (1.4 + 1.3 * most), 4.4))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, max(len(programs), 1), squeeze=False)[0]
    for axis, program in zip(axes, programs, strict=True):
        _panel(axis, groups[program], names)
        axis.set_title(program, fontsize=10)
    axes[0].set_ylabel("images per second")
    handles, labels = axes[0].get_legend_handles_labels()
    for axis in axes[1:]:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    lines = textwrap.wrap(title, int(figure.get_figwidth() * 13))
    above = "\n".join([*lines, "above PyTorch's bars: JAX / PyTorch"])
    figure.suptitle(above, fontsize=9, linespacing=1.4)
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 0.98))
    part = path.with_name(path.name + ".part")
    figure.savefig(part, dpi=120, format="png")
    part.replace(path)


def _panel(axis, rows, names) -> None:
    width = 0.8 / len(names)
    top = 0.0
    for index, name in enumerate(names):
        places, heights, errors = [], [], ([], [])
        for group, row in enumerate(rows):
            if name not in row["sides"]:
                continue
            value = row["sides"][name]["images_per_second"]
            places.append(group + (index - (len(names) - 1) / 2) * width)
            heights.append(value["median"])
            errors[0].append(value["median"] - value["low"])
            errors[1].append(value["high"] - value["median"])
            top = max(top, value["high"])
            if name in row.get("ratios", {}):
                axis.annotate(
                    f"{row['ratios'][name]['median']:.2f}",
                    (places[-1], value["high"]),
                    xytext=(0, 4),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                )
        if places:
            axis.bar(
                places,
                heights,
                width * 0.92,
                yerr=errors,
                capsize=2,
                color=COLOURS[name],
                label={"jax": "JAX (jreid)"}.get(
                    name, name.replace("torch", "PyTorch")
                ),
            )
    labels = [f"{row['batch']} of\n{row['height']}x{row['width']}" for row in rows]
    axis.set_xticks(range(len(rows)), labels, fontsize=8)
    axis.set_ylim(0, top * 1.15)
    axis.set_xlim(-0.7, len(rows) - 0.3)
    axis.spines[["top", "right"]].set_visible(False)


def write_all(
    folder: Path, report: dict[str, Any], summary: dict[str, Any], machine: str
) -> list[Path]:
    """benchmark.json, benchmark.md and benchmark.png in `folder`, each atomically."""
    suffixes = ("json", "md", "png") if summary["rows"] else ("json", "md")
    paths = [folder / f"benchmark.{suffix}" for suffix in suffixes]
    write_text(paths[0], json.dumps(report | summary, indent=1) + "\n")
    write_text(paths[1], markdown(summary, machine))
    for path in paths[2:]:
        write_chart(summary, path, machine)
    return paths
