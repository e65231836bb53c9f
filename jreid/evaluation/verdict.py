"""Is B better than A? The first lines of a comparison."""

from collections.abc import Sequence

from jreid.evaluation.differences import RunRow, why_untested
from jreid.evaluation.statistics import Difference, paired_tests

METRIC = "mAP"  # of the whole ranking, and so the steadier of the two in use
LEVEL = 0.05
MOST = 9  # lines, below the one that asks


def verdict(rows: Sequence[RunRow]) -> list[str]:
    """Up to ten lines: each later run against the first, by its first feature.

    Args:
        rows: of all runs and settings, in the order of the table.
    """
    names = list(dict.fromkeys(row.entry.name for row in rows))
    if len(names) < 2:
        return []
    first = names[0]
    pairs = _headlines(rows, first)
    if not pairs:
        return []
    reasons = [why_untested(one, other) for one, other in pairs]
    tested = [pair for pair, reason in zip(pairs, reasons, strict=True) if not reason]
    found = iter(
        paired_tests([(a.score.by_identity, b.score.by_identity) for a, b in tested])
    )
    lines = [f"Better than {first}? By {METRIC}, not re-ranked, with 95 % interval:"]
    for (_, other), reason in zip(pairs, reasons, strict=True):
        answer = f"not tested, {reason}" if reason else _answer(next(found)[METRIC])
        lines.append(f"  {other.entry.name}, {other.score.setting}: {answer}")
    if len(lines) > 1 + MOST:
        left = len(lines) - MOST
        lines[MOST:] = [f"  and {left} more, below"]
    return lines


def _headlines(rows: Sequence[RunRow], first: str) -> list[tuple[RunRow, RunRow]]:
    """In each setting the first plain row of each other run beside that of `first`."""
    plain: dict[tuple[str, str, str], RunRow] = {}
    for row in rows:
        score = row.score
        if not score.reranked:
            key = (row.entry.name, score.protocol, score.setting)
            plain.setdefault(key, row)
    return [
        (plain[first, protocol, setting], row)
        for (name, protocol, setting), row in plain.items()
        if name != first and (first, protocol, setting) in plain
    ]


def _answer(found: Difference) -> str:
    low, high = (f"{100 * end:+.2f}" for end in found.interval)
    told = f"{100 * found.value:+.2f} ({low} to {high}), p {found.p_text}"
    if found.p_value >= LEVEL:
        return f"no difference shown: {told}"
    return f"{'yes' if found.value > 0 else 'no, worse'}: {told}"
