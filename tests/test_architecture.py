"""The layers hold: imports point downwards, and heavy libraries stay where they are."""

import ast
import importlib
import pathlib
import re
import runpy
import subprocess
import sys

import pytest
import selection

PACKAGE = pathlib.Path(__file__).parent.parent / "jreid"

# A module imports from its own line or the lines above it, and never in a circle.
LAYERS = """
stopping streams
bounds cache_folder extra lazy machine_memory progress shapes user_files whole_files
extremes
models.torch_names run.leaves run.plain_path run.quiet_orbax data.quiet
ending heat_map parts processes.*
config_json
config_hash config_differences
run.workdir
data.modality_words data.grey16 data.stateless
data.rows data.datasets data.views data.image_file data.synvi
data.image_folders data.lists
losses.* models.* data.sampling data.augmentations data.device_augmentations
data.linear_mixing data.channel_mixing data.channel_select data.pair_sampling
data.cluster_sampling data.colour_jitter data.blur
evaluation.* data.entries data.source data.records
data.sysu_mm01 data.regdb data.llcm data.csv_file data.decoding data.builders
data.aligned_memory data.deep_images data.resizing data.reading
data.folder data.batch_plan
data.pipeline
data.data_sets
data.embedding_labels
training.patterns training.subtrees training.schedules training.adam_counts
training.optimizers
data.single_image
run.image_list run.embedding_batches run.embedding_shards run.embedding_job
run.checkpoint_reading
run.checkpoint training.objective training.scalars
training.phases training.players training.memory training.writers
training.weights_and_biases training.end_time run.reporter
config_checks
config
configs.* config_files
command_line evaluate_options
training.*
run.begin
run.about run.rank_sheet run.published_weights run.weights_file run.transformer_weights
run.further_channels
run.pretrained run.results
run.fingerprints
run.embedder run.images
run.training_set
run.*
convert.tensor_files
convert.transformer_tensors
convert.torchvision
search.* convert.agw
explanation_kind
explanation
report.*
serve.*
doctor.*
export.program export.torch_network.resnet export.torch_network.head
export.torch_network.network
export.*
finish
embed evaluate train prepare explain search.__main__ export.__main__
__main__
"""
LEVELS = {
    name: level
    for level, line in enumerate(LAYERS.split("\n"))
    for name in line.split()
}
NUMPY_ONLY = (
    "evaluation.",
    "report.",
    *(
        "data.datasets",
        "data.lists",
        "data.image_folders",
        "data.sysu_mm01",
        "data.regdb",
        "data.llcm",
    ),
    *(
        "data.image_file",
        "data.single_image",
        "data.entries",
        "data.csv_file",
        "data.folder",
        "data.views",
    ),
    *("data.sampling", "data.synvi", "data.rows", "data.data_sets", "data.deep_images"),
)
# Library -> the only modules that import it.
TENSORFLOW = (
    *("data.augmentations", "data.batch_plan", "data.decoding", "data.pipeline"),
    "data.records",
    *("data.aligned_memory", "data.reading", "data.resizing"),
    "lazy",  # where it is type-checked
)
SERVED = tuple(
    f"serve.{name}"
    for name in (
        *("__main__", "app", "connection", "form", "gate", "messages", "refusals"),
        "server",
        "static",
    )
)
ONLY_IN = {
    "tensorflow": TENSORFLOW,
    "tensorflow_datasets": ("data.builders", "data.records", "prepare"),
    "clu": ("run.reporter", "training.writers"),
    "orbax": ("run.checkpoint", "run.checkpoint_reading"),
    "matplotlib": ("evaluation.cmc_plot", "heat_map", "search.reliability_diagram"),
    "fastapi": SERVED,
    "starlette": SERVED,
    "pydantic": SERVED,
    "uvicorn": SERVED,
    "ray": ("run.ray_embedding",),
    "wandb": ("training.weights_and_biases",),
    "onnx": ("export.onnx.emit",),
    "onnxruntime": ("search.onnx_network",),
    "torch": (
        "convert.tensor_files",
        "export.__main__",  # to say that it is missing
        "export.torch_file",
        *("export.torch_network.resnet", "export.torch_network.head"),
        "export.torch_network.network",
        "export.torch_network.standalone",
        "export.torch_network.weights",
    ),
}
READERS_OF_CONFIG = (
    *("config_files", "command_line", "training.build", "train", "finish", "embed"),
    *("export.torch_file", "export.torch_network.from_config", "convert.agw"),
    "run.",
    "doctor.",
)
# Modules of parts, which are imported before a command line is known to be right.
LIGHT = ("losses.", "data.augmentations", "training.optimizers", "config", "models.")
HEAVY = {"jax", "flax", "optax", "tensorflow", "orbax", "clu"}


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


PATHS = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = {name: path for name, path in PATHS.items() if not name.endswith("__init__")}


def level(name):
    rooms = name.split(".")[:-1]
    places = [name, *(".".join(rooms[:i]) + ".*" for i in range(len(rooms), 0, -1))]
    found = next((LEVELS[place] for place in places if place in LEVELS), None)
    assert found is not None, f"{name} has no place in LAYERS: give it one"
    return found


def imports(path, inside=True):
    """Full names of all imported modules, also of those imported inside functions."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if inside else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"{path}: import by the full name, not a relative one"
            )
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = whole.removeprefix("jreid.") in MODULES
                yield whole if is_module else str(node.module)


def own_imports(name, inside=True):
    found = imports(MODULES[name], inside)
    names = (other.removeprefix("jreid.") for other in found)
    return [other for other in names if other in MODULES]


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name):
    above = [other for other in own_imports(name) if level(other) > level(name)]
    assert not above, f"{name} imports {above} of a higher layer"


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_where_they_are(name):
    libraries = {other.split(".")[0] for other in imports(MODULES[name])}
    for library, homes in ONLY_IN.items():
        assert library not in libraries or name in homes, f"{name} imports {library}"
    if name.startswith(NUMPY_ONLY):
        assert not libraries & {"jax", "flax", "optax"}, f"{name} is NumPy only"


def test_only_the_programs_read_the_config():
    readers = {name for name in MODULES if "config" in own_imports(name)}
    assert all(name.startswith(READERS_OF_CONFIG) for name in readers), readers


@pytest.mark.parametrize("name", MODULES)
def test_parts_import_nothing_heavy_at_their_top(name):
    if not name.startswith(LIGHT) or name.startswith("models.modules"):
        return
    top = ast.parse(MODULES[name].read_text()).body
    found = {n.name for x in top if isinstance(x, ast.Import) for n in x.names}
    found |= {str(x.module) for x in top if isinstance(x, ast.ImportFrom)}
    assert not {library.split(".")[0] for library in found} & HEAVY


def test_no_import_goes_in_a_circle():
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"a circle of imports: {[*open_, name]}"
        if name not in done:
            open_.append(name)
            # A part imports the module that it makes when it makes it.
            for other in own_imports(name, inside=False):
                visit(other)
            done.add(open_.pop())

    for name in MODULES:
        visit(name)


def test_scoring_loads_neither_jax_nor_tensorflow():
    code = (
        "import sys, jreid.evaluation.ranking, jreid.evaluation.protocols\n"
        "import jreid.data.datasets, jreid.data.sampling, jreid.data.synvi\n"
        "import jreid.data.regdb, jreid.data.llcm, jreid.data.folder, jreid.prepare\n"
        "print(*sorted({'jax', 'tensorflow', 'flax', 'matplotlib'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert loaded.split() == []


@pytest.mark.parametrize(
    "path",
    sorted(pathlib.Path(__file__).parent.glob("test_*.py")),
    ids=lambda p: p.stem,
)
def test_tests_are_skipped_where_torch_is_missing(path):
    """Without torch, an optional dependency, one import at their top ends pytest."""
    for statement in ast.parse(path.read_text()).body:
        text = ast.unparse(statement)
        # which is skipped itself, and those that import it with it
        at_top = not isinstance(statement, ast.FunctionDef)
        skips = at_top and "importorskip('torch')" in text
        if skips or text == "import parity":
            assert "pytestmark = pytest.mark.torch" in path.read_text()
            return
        is_import = isinstance(statement, ast.Import | ast.ImportFrom)
        needs = (
            r"\b(torch|torch_resnet|tools\.torch_reference|torch_file|torch_network)\b"
        )
        assert not (is_import and re.search(needs, text)), text


def test_make_finds_the_files_of_marked_tests():
    """By the marker: of files that are no tests only `parameters.py` has it."""
    folder = pathlib.Path(__file__).parent
    marks = re.compile(r"mark\.(slow|torch)\b")
    helpers = [p for p in folder.glob("*.py") if not p.name.startswith("test_")]
    assert [p.stem for p in helpers if marks.search(p.read_text())] == ["parameters"]
    assert "slow_but" in (folder / "parameters.py").read_text()


def test_the_selection_for_every_python_is_of_files_that_are_there():
    tests = {path.stem for path in pathlib.Path(__file__).parent.glob("test_*.py")}
    assert set(selection.VERSIONS) <= tests


def test_commands_of_messages_are_there_in_a_wheel():
    found = set()
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text())
        docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"python -m jreid\.([\w.]*\w)", node.value))
                assert "tools/" not in node.value or id(node) in docs, name
    assert {"train", "convert.torchvision"} <= found
    assert {n for n in found if not {n, f"{n}.__main__"} & MODULES.keys()} == set()


@pytest.mark.parametrize("name", ["torchvision", "agw"])
def test_converters_of_a_clone_are_those_of_the_package(name):
    script = PACKAGE.parent / "tools" / f"convert_{name}.py"
    module = importlib.import_module(f"jreid.convert.{name}")
    assert runpy.run_path(str(script))["main"] is module.main
