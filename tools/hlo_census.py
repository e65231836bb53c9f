"""Counts what a program that XLA compiled for a GPU consists of, from its text.

Kernels by kind, library calls, layout changes, communication, and a roofline estimate.
"""

import collections
import math
import re
from dataclasses import replace
from typing import Any

from tools import hlo_text

# NVIDIA's H100 SXM data sheet, dense: FLOP/s of tensor cores by operand type (float32
# operands go through TF32), and bytes/s of memory.
PEAK_FLOPS = {"bf16": 989e12, "f16": 989e12, "f32": 494e12}
PEAK_BYTES = 3.35e12
# What a fusion consists of that computes nothing and only moves data.
MOVES = {
    "parameter", "constant", "tuple", "fusion", "bitcast", "reshape", "copy",
    "transpose", "concatenate", "slice", "dynamic-slice", "dynamic-update-slice", "pad",
    "reverse",
}  # fmt: skip


def census(
    module: hlo_text.Module, parameters: list[tuple[int, ...]]
) -> dict[str, Any]:
    """Counts what the program consists of; pure, of the text alone."""
    kernels = module.kernels()
    kinds = collections.Counter(kind(module, k) for k in kernels)
    return {
        "kernels": len(kernels),
        "kinds": dict(kinds.most_common()),
        "cudnn": cudnn_calls(kernels),
        "products": products(module, kernels),
        "layout": layout_changes(module, kernels, parameters),
        "collectives": collectives(module, kernels),
        "roofline": roofline(module, kernels),
    }


def kind(module: hlo_text.Module, kernel: hlo_text.Instruction) -> str:
    """A kernel's group in the report."""
    if kernel.cudnn:
        return "cuDNN convolution"
    opcode = kernel.opcode.removesuffix("-start")
    if opcode in hlo_text.COLLECTIVES:
        return "collective"
    if is_product(module, kernel):
        return "matrix product"
    if is_transpose(module, kernel):
        return "transpose"
    if is_move(module, kernel):
        return "copy"
    if kernel.opcode == "fusion":
        fused = kernel.attribute("kind")
        return {"kLoop": "elementwise", "kInput": "reduction"}.get(
            fused, "other fusion"
        )
    return kernel.attribute("custom_call_target") or opcode


def is_product(module: hlo_text.Module, kernel: hlo_text.Instruction) -> bool:
    """Whether it holds a matrix product, Triton's or cuBLAS's."""
    if kernel.attribute("custom_call_target").startswith("__cublas"):
        return True
    return any(inner.opcode == "dot" for inner in module.inside(kernel))


def is_transpose(module: hlo_text.Module, kernel: hlo_text.Instruction) -> bool:
    """Whether the kernel moves data into another order (a matrix product may too)."""
    if kernel.cudnn or is_product(module, kernel):
        return False
    return any(inner.opcode == "transpose" for inner in module.inside(kernel))


def is_move(module: hlo_text.Module, kernel: hlo_text.Instruction) -> bool:
    """Whether it only copies: a copy, or a fused concatenation, slice or padding."""
    opcodes = {inner.opcode for inner in module.inside(kernel)}
    return kernel.opcode in MOVES and opcodes <= MOVES


def cudnn_calls(kernels: list[hlo_text.Instruction]) -> dict[str, dict[str, int]]:
    """Kind -> layout -> number of calls."""
    found: dict[str, collections.Counter] = {}
    for call in kernels:
        if call.cudnn:
            labels = call.attribute("dim_labels").partition("_")[0]
            layout = {"b01f": "NHWC", "bf01": "NCHW"}.get(labels, labels)
            found.setdefault(call.cudnn, collections.Counter())[layout] += 1
    return {name: dict(counts) for name, counts in found.items()}


def products(
    module: hlo_text.Module, kernels: list[hlo_text.Instruction]
) -> dict[str, int]:
    """Matrix products, and how many have work after the product in the same kernel.

    An epilogue is addition of a bias or a shortcut, or the activation: an `add` or a
    `maximum` of the product's own result.
    """
    counts = collections.Counter(number=0, with_addition=0, with_activation=0)
    for kernel in kernels:
        if not is_product(module, kernel):
            continue
        counts["number"] += 1
        after = _after_product(module, kernel)
        counts["with_addition"] += "add" in after
        counts["with_activation"] += "maximum" in after
    return dict(counts)


def _after_product(module, kernel) -> set[str]:
    """Opcodes that depend on a product inside the fusion; cuBLAS names its epilogue."""
    epilogue = re.search(r'"epilogue":"(\w+)"', kernel.attributes)
    if epilogue:
        name = epilogue.group(1)
        parts = {"BIAS": "add", "RELU": "maximum"}
        return {opcode for part, opcode in parts.items() if part in name}
    found: set[str] = set()
    reached: set[str] = set()
    for inner in module.inside(kernel):
        if inner.opcode == "dot":
            reached.add(inner.name)
        elif reached & set(inner.operands):
            reached.add(inner.name)
            found.add(inner.opcode)
    return found


def layout_changes(
    module: hlo_text.Module,
    kernels: list[hlo_text.Instruction],
    parameters: list[tuple[int, ...]],
) -> list[dict[str, Any]]:
    """Transposes and copies, grouped by what they move and where they come from."""
    weights = {tuple(sorted(dims)) for dims in parameters}
    groups: dict[tuple[str, str, str], list[int]] = {}
    for kernel in kernels:
        transposes = is_transpose(module, kernel)
        if not transposes and not is_move(module, kernel):
            continue
        moved = _moved(module, kernel) if transposes else kernel.shapes
        where = origin(module, kernel)
        if all(tuple(sorted(shape.dims)) in weights for shape in moved):
            of = "weights"
        elif all(len(shape.dims) < 2 for shape in moved):
            # statistics; and gradients, joined to be communicated in one call
            of, where = "vectors", where.partition(" (")[0]
        else:
            of = "activations"
        key = ("transpose" if transposes else "copy", of, where)
        groups.setdefault(key, []).append(sum(shape.bytes for shape in moved))
    return [
        {"change": name, "of": of, "origin": where, "number": len(sizes),
         "bytes": sum(sizes)}
        for (name, of, where), sizes in sorted(groups.items())
    ]  # fmt: skip


def _moved(module, kernel) -> list[hlo_text.Shape]:
    inner = [i for i in module.inside(kernel) if i.opcode == "transpose"]
    return [i.shapes[0] for i in inner]


def origin(module: hlo_text.Module, kernel: hlo_text.Instruction) -> str:
    """The part of the network or program, and the line, that the kernel comes from."""
    for inner in (kernel, *module.inside(kernel)):
        stack = module.stack(inner)
        functions = [function for _, function in stack]
        line = stack[0][0] if stack else ""
        for function in functions:
            name = function.partition(".")[0]
            if name in ("Stem", "Trunk", "InformationBottleneck", "make_objective"):
                return f"{name} ({line})"
        if functions:
            return f"{functions[0]} ({line})"
    return "the compiler"


def collectives(
    module: hlo_text.Module, kernels: list[hlo_text.Instruction]
) -> dict[str, dict[str, Any]]:
    """Operation -> number of calls, each device's bytes, and those of a megabyte.

    Of each large one its bytes, type, and how many kernels may run beside it: those
    between the halves of an asynchronous pair, none where all wait for it.
    """
    found: dict[str, dict[str, Any]] = {}
    for kernel in kernels:
        name = kernel.opcode.removesuffix("-start")
        if name not in hlo_text.COLLECTIVES:
            continue
        counts = found.setdefault(name, {"calls": 0, "bytes": 0, "large": []})
        sent = [module.by_name[name] for name in kernel.operands]
        size = sum(operand.bytes for operand in sent)
        counts["calls"] += 1
        counts["bytes"] += size
        if size >= 1e6:
            counts["large"].append(
                {
                    "bytes": size,
                    "dtype": sent[0].shapes[0].dtype,
                    "beside": module.beside(kernel),
                }
            )
    return found


def roofline(
    module: hlo_text.Module, kernels: list[hlo_text.Instruction]
) -> dict[str, float]:
    """The least time that each kernel needs on an H100, added up: an estimate.

    A kernel takes as long as its operations at the data sheet's rate or its bytes at
    the memory's, whichever is longer. Left out: launches, communication, and that no
    kernel reaches these rates. Bytes are of operands and results, each moved once.
    A loop's kernels count as often as it turns; loops of which the compiler does not
    know how often are left out, and counted as "loops_left_out".
    """
    total = {"flops": 0, "bytes": 0, "seconds": 0.0, "memory_bound_seconds": 0.0}
    total["loops_left_out"] = 0
    for kernel in kernels:
        if kernel.opcode == "while":
            if not (turns := _turns(kernel)):
                total["loops_left_out"] += 1
                continue
            body = replace(module, entry=kernel.attribute("body"))
            once = roofline(body, body.kernels())
            total["loops_left_out"] += once.pop("loops_left_out")
            for name, value in once.items():
                total[name] += turns * value
            continue
        flops, moved = module.flops(kernel), module.bytes_moved(kernel)
        seconds = max(flops / _peak(module, kernel), moved / PEAK_BYTES)
        total["flops"] += flops
        total["bytes"] += moved
        total["seconds"] += seconds
        if moved / PEAK_BYTES >= seconds:
            total["memory_bound_seconds"] += seconds
    return total


def _turns(loop: hlo_text.Instruction) -> int:
    """How often its body runs; 0 if the compiler does not know it."""
    found = re.search(r'"known_trip_count":{"n":"(\d+)"', loop.attributes)
    return int(found.group(1)) if found else 0


def _peak(module, kernel) -> float:
    if kernel.attribute("custom_call_target").startswith("__cublas"):
        operand = module.by_name[kernel.operands[0]].shapes[0]
        return PEAK_FLOPS.get(operand.dtype, PEAK_FLOPS["f32"])
    for inner in module.inside(kernel):
        if inner.opcode == "dot" or inner.cudnn:
            return PEAK_FLOPS.get(inner.shapes[0].dtype, PEAK_FLOPS["f32"])
    return math.inf
