"""How the bones of a walking person turn."""

import numpy as np


def stride(gait, phase, eagerness):
    """Bone turns (axis-angle) of a walking person; `phase` in radians.

    `eagerness` scales step and arm swing: near 0 is standing.
    """
    turns: dict[str, tuple[float, ...]] = {"spine04": (gait.stoop, 0, 0)}
    for side, sign, shift in (("L", 1, 0.0), ("R", -1, np.pi)):
        thigh = -gait.stride * eagerness * np.sin(phase + shift)
        knee = 0.05 + 1.3 * gait.stride * eagerness * max(0, np.cos(phase + shift))
        turns[f"upperleg01.{side}"] = (thigh, 0, 0.07 * sign)
        turns[f"lowerleg01.{side}"] = (knee, 0, 0)
        turns[f"foot.{side}"] = (-0.6 * (thigh + knee), 0, 0)
        arm = -gait.swing * eagerness * np.sin(phase + shift)
        turns[f"upperarm01.{side}"] = (arm, 0, -0.72 * sign)
        turns[f"lowerarm01.{side}"] = (gait.elbow, 0, 0)
    return turns
