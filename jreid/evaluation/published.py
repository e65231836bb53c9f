"""The scores of the paper's Tables 1 to 4, as printed there."""

from collections.abc import Mapping
from dataclasses import dataclass

SOURCE = (
    "Wang, Wang, Chen: Cross-modal Person Re-identification Based on Multi-branch"
    " Fusion Variational Refinement Distillation, J. Chongqing Technol. Business Univ."
    " (Nat. Sci. Ed.) 41(4):77-85, 2024, doi 10.16055/j.issn.1672-058X.2024.0004.010"
)
# Counted queries, skipped queries and gallery images of the data sets the tables are
# about. Scores of other counts are of other images.
SIZES = {
    ("SYSU-MM01", "all-search single-shot"): (3803, 0, 301),
    ("SYSU-MM01", "indoor-search single-shot"): (2208, 1595, 112),
    ("RegDB", "visible to infrared"): (2060, 0, 2060),
    ("RegDB", "infrared to visible"): (2060, 0, 2060),
}


@dataclass(frozen=True)
class PublishedRow:
    """One row of a table in one setting; `values` lacks what the paper leaves out."""

    table: int
    name: str
    protocol: str
    setting: str
    reranked: bool
    values: Mapping[str, float]  # metric -> fraction in [0, 1]


def published_rows() -> list[PublishedRow]:
    """All rows of Tables 1 to 4 in both settings, in the order of the paper.

    Re-ranked are the last row of Table 1 and, with the same numbers, the paper's own of
    Table 3. The paper's own row of Table 4 counts as re-ranked too, since the paper
    gives no RegDB score without re-ranking. The draw of the galleries is not stated.
    """
    return [
        row
        for table, (protocol, settings, metrics, text) in _TABLES.items()
        for line in text.strip().splitlines()
        for row in _rows(table, protocol, settings, metrics.split(), line)
    ]


def _rows(
    table: int, protocol: str, settings: tuple[str, str], metrics: list[str], line: str
) -> list[PublishedRow]:
    name, *cells = (cell.strip() for cell in line.split("|"))
    reranked = name.endswith(_RERANKED)
    found = []
    for setting, cell in zip(settings, cells, strict=True):
        numbers = cell.split()
        if numbers == ["-"]:
            continue
        values = {
            metric: round(float(number) / 100, 4)
            for metric, number in zip(metrics, numbers, strict=True)
            if number != "-"
        }
        short = name.removesuffix(_RERANKED)
        found.append(PublishedRow(table, short, protocol, setting, reranked, values))
    return found


_RERANKED = " (re-ranked)"
_SYSU = ("all-search single-shot", "indoor-search single-shot")
_REGDB = ("visible to infrared", "infrared to visible")
_TABLES = {
    1: (
        "SYSU-MM01",
        _SYSU,
        "R-1 mAP mINP",
        """
Base (AGW)          | 47.50 47.65 35.30 | 54.17 62.97 59.23
Ours1 (DIAM)        | 53.66 52.39 39.29 | 57.64 65.01 61.19
Ours2 (VRD on global1) | 54.72 53.84 41.14 | 60.39 67.79 64.20
Ours3 (VRD on global2) | 54.43 53.47 40.37 | 58.85 66.45 62.89
Ours4 (VRD on both) | 56.36 54.96 42.01 | 62.20 69.11 65.50
Ours5 (re-ranked)   | 66.93 65.25 53.05 | 74.72 78.89 75.89
""",
    ),
    2: (
        "SYSU-MM01",
        _SYSU,
        "R-1 mAP mINP",
        """
GeM only     | 47.50 47.65 35.30 | 54.17 62.97 59.23
average only | 47.67 46.98 34.30 | 51.46 59.67 55.81
GeM, max     | 49.83 47.62 33.53 | 53.98 61.59 57.33
GeM, average | 52.32 50.61 37.37 | 57.39 64.61 60.61
GeM, GeM     | 53.66 52.39 39.29 | 57.64 65.01 61.19
""",
    ),
    3: (
        "SYSU-MM01",
        _SYSU,
        "R-1 R-10 R-20 mAP mINP",
        """
TONE     | 12.52 50.72 68.60 14.42 - | 20.82 68.86 84.46 26.38 -
HCML     | 14.32 53.16 69.17 16.16 - | 24.52 73.25 86.73 30.08 -
BDTR     | 27.32 66.96 81.07 27.32 - | 31.92 77.18 89.28 41.86 -
D2RL     | 28.90 70.60 82.40 29.20 - | -
MAC      | 33.26 79.04 90.09 36.22 - | 33.37 82.49 93.69 44.95 -
DPMBN    | 37.02 79.46 89.87 40.28 - | 44.17 87.12 95.24 54.51 -
AlignGAN | 42.40 85.00 93.70 40.70 - | 45.90 87.60 94.40 54.30 -
Hi-CMD   | 34.94 77.58 - 35.94 -     | -
JSIA     | 38.10 80.70 89.90 36.90 - | 43.83 86.20 94.20 52.90 -
Xmodal   | 49.92 89.79 95.96 50.73 - | -
DFE      | 48.71 88.86 95.27 48.59 - | 52.25 89.86 95.85 59.68 -
mtGAN-D  | 41.10 82.40 91.90 40.50 - | -
FBP-AL   | 54.14 86.04 93.03 50.20 - | -
CmCEN    | 50.09 86.64 93.29 49.46 37.17 | 56.84 93.04 97.69 63.55 -
AGW      | 47.50 84.39 92.14 47.65 35.30 | 54.17 91.14 95.98 62.97 59.23
this paper (re-ranked) | 66.93 92.29 96.31 65.25 53.05 | 74.72 95.34 97.91 78.89 75.89
""",
    ),
    4: (
        "RegDB",
        _REGDB,
        "R-1 R-10 R-20 mAP mINP",
        """
HCML     | 24.44 47.53 56.78 20.08 - | 21.70 45.02 55.58 22.24 -
BDTR     | 33.56 58.61 67.43 32.76 - | 32.92 58.46 68.43 31.96 -
D2RL     | 43.40 66.10 76.30 44.10 - | -
MAC      | 36.43 62.36 71.63 37.03 - | 36.20 61.68 70.99 36.63 -
AlignGAN | 57.90 - - 53.60 -         | 56.30 - - 53.40 -
Xmodal   | 62.21 83.13 91.72 60.18 - | -
DFE      | 70.13 86.32 91.96 69.14 - | 67.99 85.56 91.41 66.70 -
mtGAN-D  | 65.60 84.20 89.60 60.00 - | 65.80 85.80 91.40 59.60 -
FBP-AL   | 73.98 89.71 93.69 68.24 - | 70.05 89.22 93.88 66.61 -
CmCEN    | 74.03 88.25 92.38 67.52 51.22 | 74.22 87.22 91.99 67.36 -
AGW      | 70.05 86.21 91.55 66.37 50.19 | 70.49 87.21 91.84 65.90 51.24
this paper (re-ranked) | 78.26 89.27 94.51 77.83 72.50 | 75.35 86.32 92.14 75.48 70.35
""",
    ),
}
