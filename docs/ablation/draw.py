"""Draws stability.png and recipe.png from curves.json, in the folder of this file."""

import json
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

HERE = Path(__file__).parent
CURVES = json.loads((HERE / "curves.json").read_text())["curves"]
CHANCE = math.log(200)
FORMS = {
    "stab-full-linear-s0": "a further Linear to z (VSD's code)",
    "stab-full-relu-s0": "z is the second ReLU layer (default)",
    "stab-full-neck-s0": "a further Linear and a BatchNorm",
}
PANELS = {
    "loss/identity_z1": "identity loss of z1",
    "loss/identity_v1": "identity loss of v1",
    "part/grad_norm/bottleneck": "gradient norm, bottleneck",
    "part/update_ratio/bottleneck": "update / weights, bottleneck",
    "part/update_ratio/branches/v1": "update / weights, branch 1",
    "part/update_ratio/trunk": "update / weights, trunk",
}
ROWS = {
    "base": "row-base",
    "ours1": "row-ours1",
    "ours2": "row-ours2-relu",
    "ours3": "row-ours3-relu",
    "full": "row-full-relu",
    "agw": "row-agw",
}


def stability() -> None:
    """What grows first when :full diverges."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 5.6), sharex=True)
    for axis, (key, title) in zip(axes.flat, PANELS.items(), strict=True):
        for run, label in FORMS.items():
            axis.plot(CURVES[run]["step"], CURVES[run][key], label=label)
        axis.set_title(title, fontsize=10)
        axis.set_yscale("log")
        if "identity" in key:
            axis.axhline(CHANCE, color="grey", linewidth=0.8, linestyle=":")
        axis.axvline(76, color="grey", linewidth=0.8)
    for axis in axes[1]:
        axis.set_xlabel("step (76: end of warm-up, rate 0.1)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    figure.savefig(HERE / "stability.png", dpi=100)


def recipe() -> None:
    """Identity losses of the rows over the compressed schedule, at two peaks."""
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), sharey=True)
    for i, peak in enumerate((".03", ".1")):
        for j, head in enumerate(("v1", "z")):
            axis = axes[2 * i + j]
            for number, (label, run) in enumerate(ROWS.items()):
                curve = CURVES[f"{run}-{peak}-s0"]
                found = [k for k in curve if k.startswith(f"loss/identity_{head}")]
                if found:
                    axis.plot(curve["step"], curve[found[0]], f"C{number}", label=label)
            axis.axhline(CHANCE, color="grey", linewidth=0.8, linestyle=":")
            axis.set_title(f"identity loss of {head}, peak 0{peak}", fontsize=10)
            axis.set_xlabel("step")
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(HERE / "recipe.png", dpi=100)


if __name__ == "__main__":
    stability()
    recipe()
