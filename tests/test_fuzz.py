"""Readers of files and flags, given anything: an error that names the file, or data.

Never another exception, never code that runs. `tests/search.py` says how other inputs
are tried.
"""

import contextlib
import dataclasses
import io
import json
import pathlib
import re
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given
from PIL import Image
from search import examples

from jreid import command_line, ending
from jreid.config_files import load
from jreid.config_json import from_json, to_json
from jreid.convert import tensor_files
from jreid.data import image_file, lists
from jreid.data.folder import read_folder
from jreid.data.regdb import read_regdb
from jreid.evaluation.files.features_file import read_features
from jreid.evaluation.files.results_file import read_results
from jreid.evaluation.official_draw import read_permutations
from jreid.parts import check
from jreid.run import image_list, pretrained, workdir
from jreid.run.training_set import read_training_set

ROOT = pathlib.Path(__file__).parent.parent
EXAMPLES = 200  # of each kind of input
pytestmark = [
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning"),
    pytest.mark.hypothesis,
]
FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork")

watched = []  # what must not happen while a reader works


def watch(event: str, arguments: tuple) -> None:
    if WATCHING and event.startswith(FORBIDDEN):
        watched.append((event, str(arguments)[:200]))


WATCHING = []
sys.addaudithook(watch)


def fuzz(
    strategy, read, path: pathlib.Path, *, write=None, number: int = EXAMPLES
) -> None:
    """Writes what `strategy` gives to `path` and reads it."""

    @examples(number, suppress_health_check=[*HealthCheck])  # type: ignore[arg-type]
    @given(strategy)
    def once(content):
        (write or path.write_bytes)(content)
        WATCHING.append(True)
        try:
            read()
        except (ValueError, OSError) as error:
            assert path.name in str(error), f"{error!r} names no file"
        finally:
            WATCHING.clear()
        assert not watched, watched

    watched.clear()
    once()


def damaged(*whole: bytes) -> st.SearchStrategy[bytes]:
    """One of the files, cut or with bytes changed or moved; or nonsense."""

    @st.composite
    def damage(draw):
        content = bytearray(draw(st.sampled_from(whole)))
        for _ in range(draw(st.integers(0, 4))):
            place = draw(st.integers(0, max(len(content) - 1, 0)))
            how = draw(st.sampled_from(("cut", "change", "insert", "remove", "word")))
            if how == "cut":
                del content[place:]
            elif how == "change":
                content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            elif how == "insert":
                content[place:place] = draw(st.binary(max_size=9))
            elif how == "remove":
                del content[place : place + draw(st.integers(1, 9))]
            else:  # sizes and counts are words of four bytes
                word = draw(
                    st.sampled_from((b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f"))
                )
                content[place : place + 4] = word
        return bytes(content)

    return st.one_of(damage(), st.binary(max_size=300))


LINE = st.one_of(
    st.sampled_from(
        (
            "Visible/1/a.bmp 3",
            "Thermal/1/a.bmp 0",
            "/etc/passwd 1",
            "../../etc/passwd 1",
            "Visible/../../x 1",
            "a" * 5000 + " 1",
            "Visible/1/a.bmp " + "9" * 5000,
            "Visible/1/a.bmp 99999999999999999999",
            "Visible/1/a.bmp \N{SUPERSCRIPT TWO}",
            "1,2,3",
            "1 2 x",
        )
    ),
    st.text(max_size=40),
)
LINES = st.one_of(
    st.lists(LINE, max_size=6).map(lambda x: "\n".join(x).encode("utf-8", "replace")),
    st.binary(max_size=100),
)


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
    """A small RegDB, whole but for the list that is fuzzed."""
    (tmp_path / "idx").mkdir()
    for name in ("Visible", "Thermal"):
        for identity in (1, 2):
            (tmp_path / name / str(identity)).mkdir(parents=True)
            (tmp_path / name / str(identity) / "a.bmp").write_bytes(b"")
        for number, part in ((1, "train"), (2, "test")):
            path = tmp_path / "idx" / f"{part}_{name.lower()}_1.txt"
            path.write_text(f"{name}/{number}/a.bmp 0\n")
    return tmp_path


def test_lists_of_images(root):
    path = root / "idx" / "train_visible_1.txt"
    inside = re.compile(re.escape(str(root)) + r"/(Visible|Thermal)/")

    def read():
        try:
            paths = read_regdb(root, split=1).train.paths
        except ValueError as error:
            if "share" in str(error):  # the test list has the same image
                raise ValueError(f"{path.name}: {error}") from error
            raise
        assert all(inside.match(name) for name in paths.tolist())

    fuzz(LINES, read, path)


def test_lists_of_identities(tmp_path):
    path = tmp_path / "train_id.txt"
    fuzz(LINES, lambda: lists.read_id_list(path, "layout"), path)


def test_lists_to_embed(tmp_path):
    path = tmp_path / "list.txt"

    def read():
        images = image_list.index_list(path, root=tmp_path, shard_size=2)
        rows = [row for shard in range(len(images)) for row in images.rows(shard)]
        assert len(rows) == images.images

    line = st.tuples(
        LINE, st.sampled_from(("", "\t", "\tvisible", "\tinfrared", "\tx"))
    )
    listed = st.lists(line.map("".join), max_size=6).map(
        lambda x: "\n".join(x).encode("utf-8", "replace")
    )
    fuzz(st.one_of(listed, LINES), read, path)


CELL = st.one_of(
    st.sampled_from(
        ("path", "id", "modality", "camera", "split", "a.jpg", "b.jpg", "visible", "1")
        + ("infrared", "train", "test", '"', "/etc/passwd", "../x.jpg", "9" * 30, "")
    ),
    st.text(max_size=9),
)
TABLE = st.one_of(
    st.lists(st.lists(CELL, max_size=6).map(",".join), max_size=6).map(
        lambda x: "\n".join(["path,id,modality", *x]).encode("utf-8", "replace")
    ),
    st.lists(st.lists(CELL, max_size=6).map(",".join), max_size=6).map(
        lambda x: "\r\n".join(x).encode("utf-16" if len(x) > 5 else "utf-8", "replace")
    ),
    st.binary(max_size=100),
)


def test_csv_files(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    path = tmp_path / "images.csv"
    fuzz(TABLE, lambda: read_folder(path), path)


def save(writer, *arguments, **options) -> bytes:
    file = io.BytesIO()
    writer(file, *arguments, **options)
    return file.getvalue()


COLUMNS = {
    "features": np.eye(6, 4, dtype=np.float32) + 0.1,
    "ids": np.array([1, 1, 2, 2, 3, 3]),
    "cameras": np.array([1, 3, 2, 6, 4, 3]),
    "paths": np.array(["a", "b", "c", "d", "e", "f"]),
}


@pytest.mark.parametrize("suffix", ["npz", "mat"])
def test_bytes_of_feature_files(tmp_path, suffix):
    whole = {
        "npz": [
            save(np.savez, **COLUMNS),
            save(np.savez_compressed, **COLUMNS),
            save(np.savez, ids=np.array([{"a": 1}] * 6, object), **{"features": 1.0}),
        ],
        "mat": [
            save(scipy.io.savemat, COLUMNS),
            save(scipy.io.savemat, COLUMNS, do_compression=True),
            save(scipy.io.savemat, {"ids": np.arange(3.0)}, format="4"),
        ],
    }[suffix]
    path = tmp_path / f"features.{suffix}"
    fuzz(damaged(*whole), lambda: read_features(path), path)


def arrays() -> st.SearchStrategy[dict[str, np.ndarray]]:
    """Whole columns, some of them replaced by an array of another kind."""
    kinds = ("f2", "f4", "f8", "i1", "i8", "u8", "?", "c8", "S3", "U3", "M8[s]", "V2")

    @st.composite
    def columns(draw):
        values = dict(COLUMNS)
        for _ in range(draw(st.integers(1, 3))):
            name = draw(st.sampled_from((*COLUMNS, "modality", "other", "a/b", "")))
            shape = draw(st.lists(st.sampled_from((0, 1, 2, 4, 6)), max_size=3))
            kind = np.dtype(draw(st.sampled_from(kinds)))
            size = int(np.prod(shape)) * kind.itemsize
            content = draw(st.one_of(st.binary(min_size=size, max_size=size)))
            with contextlib.suppress(UnicodeError, ValueError):
                values[name] = np.frombuffer(content, kind).reshape(shape)
        return values

    return columns()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arrays_of_feature_files(tmp_path):
    path = tmp_path / "features.npz"

    def write(values):
        path.write_bytes(save(np.savez, **values))

    fuzz(arrays(), lambda: read_features(path), path, write=write)


def test_permutations(tmp_path):
    draw = np.empty((1, 6), object)
    for camera in range(6):
        draw[0, camera] = np.arange(12).reshape(3, 4)
    whole = save(scipy.io.savemat, {"rand_perm_cam": draw})
    path = tmp_path / "rand_perm_cam.mat"
    fuzz(damaged(whole), lambda: read_permutations(path), path)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ("format", "scores", "mean", "cmc", "data", "is", "lr", "network")
                + ("branches", "identities", "images", "crc32_of_names", "x")
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=20,
).map(lambda value: json.dumps(value).encode())
DEEP = st.sampled_from(("[", '{"a":', "9", "NaN,")).map(lambda x: x.encode() * 15_000)


def test_results(tmp_path):
    path = tmp_path / "results.json"
    head = (
        b'{"format": 2, "unit": "fraction", "scores": [{"protocol": "a", "cmc": [1]}]}'
    )
    fuzz(st.one_of(JSON, DEEP, damaged(head)), lambda: read_results(path), path)


def test_files_of_a_run(tmp_path):
    config, training_set = tmp_path / "config.json", tmp_path / "training_set.json"
    whole = json.dumps(to_json(load("sysu"))).encode()
    training = b'{"identities": [1, 2], "images": 3, "crc32_of_names": 4}'

    def read():
        check(from_json(workdir.read_config(tmp_path)))

    def read_both():
        try:
            read_training_set(tmp_path)
        except ValueError as error:
            assert training_set.name in str(error)
        try:
            read()
        except ValueError as error:  # the field is named, or the file
            raise ValueError(f"{config.name}: {error}") from error

    def write(content):
        config.write_bytes(content)
        training_set.write_bytes(content)

    strategy = st.one_of(JSON, DEEP, damaged(whole, training))
    fuzz(strategy, read_both, config, write=write)


FIELDS = (
    *("seed", "steps", "name", "size", "data.root", "loading.cache", "optimizer.lr"),
    *("views.visible.pipe.0.pixels", "views.visible.pipe", "objective.wrt.on"),
    *("network.trunk.width", "network.refine.of", "network.branches.0.name"),
    *("optimizer.groups", "schedule.drops", "objective.wrt.weight", "log.every_steps"),
    *("network", "", "__class__", "data.__init__", "optimizer.lr.real", "nothing"),
    *("memory", "phases", "players", "evaluation.permutations", "embedding.names"),
)
VALUES = st.one_of(
    st.sampled_from(
        (
            "1",
            "-1",
            "0.5",
            "nan",
            "inf",
            "1e999",
            "True",
            "none",
            "()",
            "(1,2)",
            "('a',)",
        )
        + ("__import__('os').system('false')", "[1]", "{}", "(" * 300, "9" * 5000)
        + ("lambda: 1", "1,2", "('2.3',)", "('9.9',)", "f()", "\0", "(1,", "'")
    ),
    st.text(max_size=12),
    st.floats().map(str),
    st.integers().map(str),
)


@dataclasses.dataclass
class NoOptions:
    """Of a program that takes a config alone."""


@pytest.mark.long
def test_overrides_of_a_config(tmp_path, capsys):
    """A config that was checked, or exit code 2 and no traceback."""
    overrides = st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), max_size=3)

    def program(arguments):
        command_line.parse_with_config(
            NoOptions, "program", arguments, description="Takes a config."
        )

    def read():
        given_ = [f"--config.{field}={value}" for field, value in chosen[0]]
        code = ending.exit_code(program, ["--config=sysu", *given_])
        said = capsys.readouterr().err
        assert code == (2 if said else 0) and "Traceback" not in said

    chosen = []

    def write(content):
        chosen[:] = [content]

    # A third of a second each: the whole command line is built anew.
    fuzz(overrides, read, tmp_path / "config", write=write, number=40)


def safetensors() -> bytes:
    header = json.dumps(
        {
            "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
            "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]},
        }
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(22)


def test_weights(tmp_path):
    npz = save(np.savez, **{"stem/conv1/kernel": np.ones(3), "about": np.array("{}")})
    about = json.dumps({"format": pretrained.FORMAT, "depth": 18})
    ours = save(np.savez, about=np.array(about), **{"stem/bn1/bias": np.ones(64)})
    paths = [tmp_path / "weights.npz", tmp_path / "weights.safetensors"]

    def write(content):
        for path in paths:
            path.write_bytes(content)

    def read():
        for path in paths:
            with contextlib.suppress(ValueError):
                try:
                    tensor_files.read_tensors(path)
                except ValueError as error:
                    assert path.name in str(error)
                    raise
        pretrained.read_pretrained(paths[0], 18)

    fuzz(damaged(npz, ours, safetensors()), read, paths[0], write=write)


def test_images(tmp_path):
    picture = Image.fromarray(np.arange(480, dtype=np.uint8).reshape(20, 8, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
    whole = [save(picture.save, kind) for kind in kinds]
    whole += [save(picture.save, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP")]
    path = tmp_path / "image"

    def read():
        try:
            image = image_file.read_rgb(path.read_bytes())
        except image_file.UnreadableImageError:
            return
        assert image.dtype == np.uint8 and image.shape[2] == 3

    fuzz(damaged(*whole), read, path)
