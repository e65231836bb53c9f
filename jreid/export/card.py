"""The model card that is written beside an exported file."""

import json
from pathlib import Path
from typing import Any

from jreid import __version__
from jreid.config_hash import config_hash
from jreid.config_json import to_json
from jreid.export.embedding import in_float32
from jreid.export.onnx.graph import OPSET
from jreid.models.modules.image_statistics import IMAGE_MEAN, IMAGE_STD
from jreid.parts import PLACES
from jreid.run.frozen import FrozenRun
from jreid.run.pretrained import RECORD
from jreid.run.training_set import read_training_set
from jreid.whole_files import write_text

# data set -> who may use what was made of it
TERMS = {
    "sysu_mm01": "SYSU-MM01 is given under a signed agreement, for academic research "
    "only: ask its owners before this model leaves your group.",
    "regdb": "RegDB is given on request, for academic research only: ask its owners "
    "before this model leaves your group.",
    "llcm": "LLCM is given under a signed agreement, for academic research only: ask "
    "its owners before this model leaves your group.",
    "synvi": "SynVI is synthetic and dedicated to the public domain (CC0 1.0): it asks "
    "nothing of this model.",
    "custom": "The images are of your own: the terms they were taken under, and the "
    "consent of the people on them, bind this model too.",
}
# data set -> how people call it; one's own is named by its key
NAMES = {
    "sysu_mm01": "SYSU-MM01",
    "regdb": "RegDB",
    "llcm": "LLCM",
    "synvi": "SynVI (synthetic people, made with jreid, in the layout of SYSU-MM01)",
}
MEASURES = (
    "`setting` is which cameras and how many images a person has in the gallery, "
    "`draw` by whose lists it was drawn; a query is of one modality, the gallery of "
    "the other. R-k is the share of queries with an image of the person among the "
    "first k, mAP the mean average precision, mINP the mean inverse negative penalty: "
    "how far down the last image of the person is. `re-ranked` is by k-reciprocal "
    "neighbours."
)
CALLS = {
    "onnx": "ONNX, opset {opset}: inputs `images` uint8 [batch, height, width, 3] and "
    "`modality` int32 [], 0 for visible and 1 for infrared; output `embeddings` "
    "float32 [batch, {dim}]. For search: "
    '`python -m jreid.search query IMAGE --gallery G --model "{file}"`.',
    "stablehlo": "`jax.export.deserialize(bytearray(contents)).call(images, modality)` "
    "with images uint8 [batch, height, width, 3] and modality int32 [], 0 for visible "
    "and 1 for infrared, gives float32 [batch, {dim}]; for CPU, CUDA and TPU.",
    "torch": "`model.embed(model.read(paths), modality)` of model.py, with modality "
    "`'visible'` or `'infrared'`, gives float32 [len(paths), {dim}]; needs torch, and "
    "Pillow to read images.",
}


def write_card(
    path: Path, run: FrozenRun, kind: str, file: Path, difference: float
) -> None:
    """Writes MODEL.md.

    Args:
        path: of the card.
        run: what was exported, as it was trained.
        kind: the format.
        file: that was written.
        difference: largest one to jreid's vectors that was seen.
    """
    write_text(path, card(run, kind, file.name, difference))


def card(run: FrozenRun, kind: str, file: str, difference: float) -> str:
    """The text of MODEL.md."""
    config = run.config
    call = CALLS[kind].format(dim=run.dim, file=file, opset=OPSET)
    sections = {
        "What it is": "A network that turns the image of a person, visible or "
        f"infrared, into {run.dim} numbers of length 1, computed in float32: the more "
        "alike two vectors, the likelier one person is on both images. It was trained "
        f"with jreid {__version__}, a library for visible-infrared person "
        f"re-identification: config `{config.name}` (hash "
        f"`{config_hash(config)}`, in full below), step {run.network.step}, "
        f"vectors `{run.kind}`, fingerprint `{in_float32(run).fingerprint}`. The "
        f"file's vectors were within {difference:.1e} of jreid's in float32 on random "
        f"images, in batches of 1 and 7.{_rounding(run)}",
        f"How it is called (`{file}`)": call,
        "Preprocessing": _preprocessing(run),
        "Data": _data(run),
        "Scores": _scores(run),
        "Intended use": "Finding again, among images that may lawfully be searched, "
        "those of one person across visible and infrared cameras: a ranking for a "
        "human to look at. Images are upright crops of one whole person.",
        "Limits": "It identifies nobody: near vectors are no proof that two pictures "
        "show one person, and it must not decide alone over people. It was tested on "
        "the data named above only; other cameras, wavelengths, climates, clothing and "
        "groups of people than those may fare worse, and that has not been measured. "
        "Whoever uses it on pictures of people needs a legal ground for that.",
        "Licence": "jreid is under the Apache License 2.0. " + _terms(run),
        "Config": _config(run),
    }
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in sections.items())
    return f"# Model card: {config.name}, step {run.network.step}\n\n{text}\n"


def _rounding(run: FrozenRun) -> str:
    """What another precision of the run means for the file; "" for float32."""
    precision = run.config.precision
    if precision == "float32":
        return ""
    return (
        f" The run itself computes in {precision} (fingerprint `{run.fingerprint}`): "
        "its vectors, and the scores below, are rounded otherwise than the file's, and "
        "a gallery made with the one is not searched with the other."
    )


def _preprocessing(run: FrozenRun) -> str:
    height, width = run.config.size
    grey = run.grey16
    window = {
        "image": "from its own lowest to its own highest value",
        "window": f"from {grey.low} to {grey.high}",
    }[grey.by]
    mean, std = (", ".join(map(str, values)) for values in (IMAGE_MEAN, IMAGE_STD))
    return (
        f"Before the file: EXIF orientation applied, alpha dropped, converted to RGB; "
        f"a 16-bit grey image scaled to 8 bits {window}; resized to {height} x {width} "
        f"pixels (height x width) without regard to its proportions, with the "
        f"{run.config.resize} filter, antialiased where it shrinks, rounded to "
        "uint8.\n\n"
        f"Inside the file: divided by 255, minus the channel means {mean}, divided by "
        f"the standard deviations {std}"
        + ("; the mirrored image's vector added." if run.config.embedding.flip else ".")
    )


def _data(run: FrozenRun) -> str:
    known = read_training_set(run.workdir)
    lines = [
        f"Trained on {known['images']} images of {len(known['identities'])} people of "
        f"{_named(_data_set(run))}."
    ]
    record = run.workdir / RECORD
    if record.is_file():
        begun = json.loads(record.read_text())
        source = begun["about"].get("source") or Path(begun["path"]).name
        lines.append(f"Begun with the weights `{source}` (SHA-256 {begun['sha256']}).")
    else:
        lines.append("Begun with random weights.")
    return " ".join(lines)


def _data_set(run: FrozenRun) -> str:
    data = run.config.data
    return "synvi" if getattr(data, "root", "") == "synvi" else data.key


def _named(data_set: str) -> str:
    return NAMES.get(data_set, f"`{data_set}`, a data set of one's own")


def _config(run: FrozenRun) -> str:
    """All fields, a line for each of the first level; without folders."""
    stored = to_json(run.config)
    stored["data"] = {k: v for k, v in stored["data"].items() if k not in PLACES}
    stored["pretrained"] = Path(stored["pretrained"]).name
    lines = [f" {json.dumps(name)}: {json.dumps(stored[name])}" for name in stored]
    return "```json\n{\n" + ",\n".join(lines) + "\n}\n```"


def _terms(run: FrozenRun) -> str:
    text = TERMS.get(_data_set(run), TERMS["custom"])
    if (run.workdir / RECORD).is_file():
        text += " The weights that training began with have terms of their own."
    return text


def _scores(run: FrozenRun) -> str:
    """A table of what results.json has of this embedding."""
    path = run.workdir / "results.json"
    if not path.is_file():
        return "None: the run has not been evaluated (`python -m jreid.evaluate RUN`)."
    results = json.loads(path.read_text())
    synvi = results.get("root") == "synvi"
    tested = _named("synvi" if synvi else str(results.get("dataset")))
    head = (
        f"Of step {results.get('step')} on the test images of {tested}, vectors "
        f"compared by the {results.get('measure')} measure; in percent, with 95 % "
        f"intervals over people. {MEASURES}"
    )
    if results.get("measure") == "product":
        head += (
            " The run's vectors have lengths of their own, which count in these "
            "products; the file's have length 1, and so may rank otherwise: the scores "
            "are the run's and not quite the file's."
        )
    if results.get("step") != run.network.step:
        head += f" **Not of this file's step, {run.network.step}.**"
    rows = [_row(s) for s in results["scores"] if s["feature"] == run.kind]
    names = list(rows[0]) if rows else []
    table = [names, ["---"] * len(names), *([row[n] for n in names] for row in rows)]
    return head + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in table)


def _row(score: dict[str, Any]) -> dict[str, str]:
    """The protocol's setting and its measures, in percent."""
    told = {name: str(score[name]) for name in ("protocol", "setting", "draw")}
    told["re-ranked"] = "yes" if score["reranked"] else "no"
    for name, mean in score["mean"].items():
        low, high = score["interval"].get(name, (None, None))
        told[name] = f"{100 * mean:.2f}"
        if low is not None and high is not None:
            told[name] += f" ({100 * low:.2f} to {100 * high:.2f})"
    return told
