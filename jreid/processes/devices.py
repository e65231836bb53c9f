"""The devices that JAX has found, in words."""

import collections
import os
from typing import Any

import jax

from jreid.machine_memory import whole_memory


def describe_devices() -> str:
    """`devices: 2 x NVIDIA H100 (80.0 GB each)`, or what a CPU has for memory."""
    counts = collections.Counter(device.device_kind for device in jax.devices())
    kinds = ", ".join(
        kind if count == 1 else f"{count} x {kind}" for kind, count in counts.items()
    )
    return f"devices: {kinds} ({_memory(jax.local_devices()[0])})"


def _memory(device: Any) -> str:
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if limit:
        return f"{limit / 1e9:.1f} GB each"
    whole = whole_memory()
    if not whole:
        return "memory unknown"
    return f"{whole / 1e9:.1f} GB, {os.cpu_count()} cores"
