"""Reads the text of a compiled HLO module: instructions, kernels, FLOPs and bytes.

The text is what `jax.stages.Compiled.as_text()` gives for a GPU: one entry computation
whose instructions are the kernels in their order, and one computation per fusion.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

BYTES = {
    "pred": 1, "s8": 1, "u8": 1, "f8e4m3fn": 1, "f8e5m2": 1, "s16": 2, "u16": 2,
    "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8,
    "c64": 8, "c128": 16,
}  # fmt: skip
# Instructions of the entry computation that start no kernel.
FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all",
    "partition-id", "replica-id", "opt-barrier",
}  # fmt: skip
COLLECTIVES = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute",
)  # fmt: skip
CUDNN = {
    "__cudnn$convForward": "forward",
    "__cudnn$convBiasActivationForward": "forward + bias + activation",
    "__cudnn$convBackwardInput": "input gradient",
    "__cudnn$convBackwardFilter": "weight gradient",
}

_LINE = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\]")
_FRAME = re.compile(r"^(\d+) \{file_location_id=(\d+)(?: parent_frame_id=(\d+))?\}")
_LOCATION = re.compile(
    r"^(\d+) \{file_name_id=(\d+) function_name_id=(\d+) line=(\d+) "
)
_NAME = re.compile(r'^(\d+) "(.*)"$')


@dataclass(frozen=True)
class Shape:
    """One array; a tuple of arrays is a list of these."""

    dtype: str
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.size * BYTES.get(self.dtype, 4)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.dims))}]"


@dataclass
class Instruction:
    """One line: `name = shapes opcode(operands), attributes`."""

    name: str
    shapes: list[Shape]
    opcode: str
    operands: list[str]
    attributes: str

    def attribute(self, name: str) -> str:
        """The text after `name=`, without quotes; empty if there is none."""
        found = re.search(rf'\b{name}=(?:"([^"]*)"|%?([^,\s{{}}]+))', self.attributes)
        return (found.group(1) or found.group(2) or "") if found else ""

    def numbers(self, name: str) -> tuple[int, ...]:
        """The integers of `name={1,2}`."""
        found = re.search(rf"\b{name}={{([\d,]*)}}", self.attributes)
        return tuple(map(int, found.group(1).split(","))) if found else ()

    @property
    def cudnn(self) -> str:
        """Which of a convolution's three computations cuDNN is called for, or ""."""
        return CUDNN.get(self.attribute("custom_call_target"), "")

    @property
    def bytes(self) -> int:
        """Of the results."""
        return sum(shape.bytes for shape in self.shapes)


@dataclass
class Module:
    """A compiled module."""

    computations: dict[str, list[Instruction]]
    entry: str
    # stack frame -> (file:line, function name, parent frame)
    frames: dict[int, tuple[str, str, int]] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> dict[str, Instruction]:
        """The entry computation's instructions."""
        return {i.name: i for i in self.computations[self.entry]}

    def kernels(self) -> list[Instruction]:
        """The entry's instructions that run on the device.

        The second half of an asynchronous pair is left out.
        """
        return [
            i
            for i in self.computations[self.entry]
            if i.opcode not in FREE and not i.opcode.endswith("-done")
        ]

    def beside(self, start: Instruction) -> int:
        """Kernels between an asynchronous instruction's start and its end."""
        after = self.computations[self.entry]
        after = after[after.index(start) + 1 :]
        ends = (
            i
            for i, other in enumerate(after)
            if other.opcode.endswith("-done") and start.name in other.operands
        )
        between = after[: next(ends, 0)]
        return sum(i.opcode not in FREE and "-done" not in i.opcode for i in between)

    def inside(self, instruction: Instruction) -> Iterator[Instruction]:
        """The instruction, and those of the computation it calls, at any depth."""
        yield instruction
        if called := instruction.attribute("calls"):
            for inner in self.computations.get(called, ()):
                yield from self.inside(inner)

    def stack(self, instruction: Instruction) -> list[tuple[str, str]]:
        """(file:line, function) from the innermost call outwards; empty if unknown."""
        text, found, seen = instruction.attribute("stack_frame_id"), [], set()
        frame = int(text) if text.isdigit() else 0
        while frame in self.frames and frame not in seen:
            seen.add(frame)
            where, function, parent = self.frames[frame]
            found.append((where, function))
            frame = parent
        return found

    def bytes_moved(self, instruction: Instruction) -> int:
        """Operands read once and results written once: what the kernel must move."""
        read = 0
        for name in set(instruction.operands):
            if name in self.by_name:
                read += self.by_name[name].bytes
        return read + instruction.bytes

    def flops(self, instruction: Instruction) -> int:
        """Of matrix products and convolutions, 2 per multiply-add; other work is 0."""
        if instruction.cudnn:
            return self._convolution_flops(instruction)
        if instruction.attribute("custom_call_target").startswith("__cublas"):
            return self._gemm_flops(instruction)
        total = 0
        for computation in self._called(instruction):
            shapes = {i.name: i.shapes[0] for i in computation if i.shapes}
            for inner in computation:
                if inner.opcode == "dot":
                    left = shapes[inner.operands[0]]
                    over = inner.numbers("lhs_contracting_dims")
                    contracted = math.prod(left.dims[axis] for axis in over)
                    total += 2 * inner.shapes[0].size * contracted
        return total

    def _called(self, instruction: Instruction) -> Iterator[list[Instruction]]:
        if called := instruction.attribute("calls"):
            computation = self.computations.get(called, [])
            yield computation
            for inner in computation:
                yield from self._called(inner)

    def _convolution_flops(self, call: Instruction) -> int:
        """Positions of the output map x elements of the kernel x 2, in all three."""
        kind = call.cudnn
        first, second = (self.by_name[name].shapes[0] for name in call.operands[:2])
        result = call.shapes[0]
        labels = re.fullmatch(
            r"(\w+)_(\w+)->(\w+)", call.attribute("dim_labels").strip()
        )
        if labels is None:
            return 0
        output, kernel = {
            "weight gradient": (second, result),
            "input gradient": (first, second),
        }.get(kind, (result, second))
        out_channels = kernel.dims[labels.group(2).index("o")]
        return 2 * output.size // out_channels * kernel.size

    def _gemm_flops(self, call: Instruction) -> int:
        left = self.by_name[call.operands[0]].shapes[0]
        found = re.search(r'"lhs_contracting_dimensions":\["?(\d+)', call.attributes)
        contracted = left.dims[int(found.group(1))] if found else left.dims[-1]
        return 2 * call.shapes[0].size * contracted


def parse(text: str) -> Module:
    """Raises ValueError if `text` holds no entry computation."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if current is None:
            if head := _HEAD.match(line):
                current = computations.setdefault(head.group(2), [])
                entry = head.group(2) if head.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif instruction := _instruction(line):
            current.append(instruction)
    if not entry:
        raise ValueError("this is not the text of a compiled HLO module: no ENTRY")
    return Module(computations, entry, _frames(text))


def _instruction(line: str) -> Instruction | None:
    match = _LINE.match(line)
    if match is None:
        return None
    name, rest = match.groups()
    end = _closing(rest, 0) + 1 if rest.startswith("(") else 0
    space = rest.index(" ", end)
    shapes = [
        Shape(dtype, tuple(int(d) for d in dims.split(",") if d))
        for dtype, dims in _ARRAY.findall(re.sub(r"\{[^}]*\}", "", rest[:space]))
    ]
    opcode, _, tail = rest[space + 1 :].partition("(")
    close = _closing("(" + tail, 0) - 1
    operands = re.findall(r"%([\w.\-]+)", tail[:close])
    return Instruction(name, shapes, opcode, operands, tail[close + 1 :])


def _closing(text: str, start: int) -> int:
    """Index of the parenthesis that closes the one at `start`."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    raise ValueError(f"a parenthesis is not closed: {text[start : start + 80]}")


def _frames(text: str) -> dict[int, tuple[str, str, int]]:
    """The tables with which newer versions replace source_file and source_line."""
    sections: dict[str, list[str]] = {}
    titles = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")
    title = ""
    for line in text.splitlines():
        if line in titles:
            title = line
        elif not line.strip():
            title = ""
        elif title:
            sections.setdefault(title, []).append(line)
    if set(titles) - set(sections):
        return {}
    files, functions = (
        {
            int(match.group(1)): match.group(2)
            for match in map(_NAME.match, lines)
            if match
        }
        for lines in (sections["FileNames"], sections["FunctionNames"])
    )
    locations = {}
    for line in sections["FileLocations"]:
        if match := _LOCATION.match(line):
            key, file, function, number = map(int, match.groups())
            short = files.get(file, "?").rsplit("/", 1)[-1]
            locations[key] = (f"{short}:{number}", functions.get(function, "?"))
    frames = {}
    for line in sections["StackFrames"]:
        if match := _FRAME.match(line):
            key, location = int(match.group(1)), int(match.group(2))
            # Printed parents are one too high: the first frame names itself.
            parent = int(match.group(3) or 1) - 1
            frames[key] = (*locations.get(location, ("?", "?")), parent)
    return frames
