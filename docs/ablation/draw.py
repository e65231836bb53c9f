"""Draws stability.png and recipe.png of curves.json, imagenet.png of imagenet.json, and
docs/systems.png of the first table of docs/systems.md.
"""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from docs.ablation import paper_tables  # noqa: E402
from docs.ablation.page_tables import read  # noqa: E402
from docs.ablation.tables import DEMO, PAGE  # noqa: E402
from tools import leaderboard_page  # noqa: E402

CURVES = json.loads((HERE / "curves.json").read_text())["curves"]
IMAGENET = json.loads((HERE / "imagenet.json").read_text())["runs"]
CHANCE = math.log(200)
FORMS = {
    "stab-full-linear-s0": "a further Linear to z (VSD's code)",
    "stab-full-relu-s0": "z is the second ReLU layer (default)",
    "stab-full-neck-s0": "a further Linear and a BatchNorm",
}
OTHER_ROWS = {f"stab-{row}-s0": row for row in ("base", "ours1", "ours2", "ours3")}
PANELS = {
    "loss/identity_z1": "identity loss of z1",
    "loss/identity_v1": "identity loss of v1",
    "part/grad_norm/bottleneck": "gradient norm, bottleneck",
    "part/update_ratio/bottleneck": "update / weights, bottleneck",
    "part/update_ratio/branches/v1": "update / weights, branch 1",
    "part/update_ratio/trunk": "update / weights, trunk",
}
ROWS = [row for row in paper_tables.ROWS if row.isidentifier()]


def stability() -> None:
    """What grows first when :full diverges."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 5.6), sharex=True)
    for axis, (key, title) in zip(axes.flat, PANELS.items(), strict=True):
        for number, (run, label) in enumerate((FORMS | OTHER_ROWS).items()):
            if key in CURVES[run]:  # the first rows have no bottleneck
                style = f"C{number}--" if run in OTHER_ROWS else f"C{number}-"
                axis.plot(CURVES[run]["step"], CURVES[run][key], style, label=label)
        axis.set_title(title, fontsize=10)
        axis.set_yscale("log")
        if "identity" in key:
            axis.axhline(CHANCE, color="grey", linewidth=0.8, linestyle=":")
        axis.axvline(76, color="grey", linewidth=0.8)
    for axis in axes[1]:
        axis.set_xlabel("step (76: end of warm-up, rate 0.1)")
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.91))
    figure.savefig(HERE / "stability.png", dpi=100)


def recipe() -> None:
    """Identity losses of the rows over the compressed schedule, at three peaks."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), sharex=True, sharey=True)
    for i, peak in enumerate((".01", ".03", ".1")):
        for j, head in enumerate(("v1", "z")):
            axis = axes[j, i]
            for number, label in enumerate(ROWS):
                run = f"{paper_tables.ROWS[label]}-{peak}-s0"
                curve = CURVES.get(run, {})  # some at one peak only
                found = [k for k in curve if k.startswith(f"loss/identity_{head}")]
                if found:
                    axis.plot(curve["step"], curve[found[0]], f"C{number}", label=label)
            axis.axhline(CHANCE, color="grey", linewidth=0.8, linestyle=":")
            axis.set_title(f"identity loss of {head}, peak 0{peak}", fontsize=10)
    for axis in axes[1]:
        axis.set_xlabel("step")
    axes[0, 1].legend(frameon=False, fontsize=8, ncols=2)
    figure.tight_layout()
    figure.savefig(HERE / "recipe.png", dpi=100)


def imagenet() -> None:
    """Rank-1 rates and identity losses of 120 steps from ImageNet weights."""
    runs = sorted(IMAGENET.items(), key=lambda run: run[1]["R-1"])
    figure, (rates, losses) = plt.subplots(
        1, 2, figsize=(11, 0.8 + 0.24 * len(runs)), sharey=True
    )
    names: list[str] = []
    for place, (name, run) in enumerate(runs):
        name, _, steps = name.partition(",")
        label = name.replace("@lr", ", lr .").replace("+own_size", ", own size")
        names.append(label + (f", {steps} steps" if steps else ""))
        rates.plot(run["R-1 95 %"], (place, place), color="tab:blue")
        rates.plot(run["R-1"], place, "o", color="tab:blue")
        logged = [identity_loss(scalars) for scalars in run.get("losses", {}).values()]
        curve = [loss for loss in logged if loss is not None]
        if curve:
            # several heads' losses may be one term: chance is so many times ln 200
            heads = max(1, round(curve[0] / CHANCE))
            values = [loss / heads for loss in curve]
            losses.plot((min(values), max(values)), (place, place), color="tab:orange")
            losses.plot(values[-1], place, "o", color="tab:orange")
    rates.axvline(IMAGENET["untrained"]["R-1"], color="grey", linewidth=0.8)
    rates.set_yticks(range(len(runs)), names)
    rates.set_xlabel("R-1 and its 95 % interval; grey: untrained")
    losses.axvline(CHANCE, color="grey", linewidth=0.8)
    losses.set_xscale("log")
    losses.set_xticks(ticks := (0.5, 1, 2, 5, 10, 20, 50), map(str, ticks))
    losses.minorticks_off()
    losses.set_xlabel("identity loss of a head: its range, its end; grey: chance")
    rates.margins(y=0.01)
    figure.tight_layout()
    figure.savefig(HERE / "imagenet.png", dpi=100)


def identity_loss(scalars: dict[str, float]) -> float | None:
    """The identity loss of the shared, fused or first head, if the step had any."""
    found = [name for name in scalars if "loss/identity" in name]
    found = [name for name in found if name.endswith("_shared")] or found
    return scalars[min(found, key=len)] if found else None


def systems() -> None:
    """The leaderboard's picture, of the table as it is put together."""
    setting, rows = ("SYSU-MM01", "all-search single-shot"), []
    for cells in read(PAGE.read_text(), DEMO):
        low, high = map(float, cells["R-1 95 %"].split(" to "))
        score = SimpleNamespace(
            mean={"R-1": float(cells["R-1"]) / 100},
            interval={"R-1": (low / 100, high / 100)},
        )
        cost = SimpleNamespace(gflops=float(cells["GFLOPs"]), width=int(cells["width"]))
        rows.append(
            SimpleNamespace(system=cells["system"], scores={setting: score}, cost=cost)
        )
    heading = leaderboard_page.title(setting, synthetic=True)
    leaderboard_page.draw(HERE.parent / "systems.png", rows, setting, heading)


if __name__ == "__main__":
    stability()
    recipe()
    imagenet()
    systems()
