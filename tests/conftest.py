"""Settings of the whole test suite; environment variables reach subprocesses too."""

import collections
import os
import pathlib
import signal

import numpy as np
import pytest
import search
import selection

ROOT = pathlib.Path(__file__).parent.parent

# Tests mean the same on every machine; JAX_PLATFORMS=cuda tries them on a GPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is most of the time of a test; the key covers program, flags and versions.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache"))
# Also of the small programs that operations one by one are: they are most of it.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# As in JAX's own tests: the same operations, less machine code to be optimised.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # as programs do


def pytest_configure(config):
    # Programs keep what nohup, and a shell for what runs in its background, ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    search.choose(config.getoption("hypothesis_seed"))


@pytest.fixture(scope="session")
def systems_built_once():
    """Runs of one config share what is traced and compiled: most of a test's time."""
    from jreid.config_hash import config_hash
    from jreid.run import build, trained

    made = {}

    def once(function):
        def shared(config, classes, *rest):
            unhashed = repr(config.embedding), config.log.by_part
            key = (function.__name__, config_hash(config), *unhashed, classes)
            if key not in made:
                made[key] = function(config, classes, *rest)
            return made[key]

        return shared

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build, "build_system", once(build.build_system))
        patched.setattr(trained, "build_embed", once(trained.build_embed))
        yield


@pytest.fixture(scope="session")
def recognised_once():
    """Crops that many tests index are looked at once: most of the time of indexing."""
    from jreid.search import indexing

    found = {}

    def recognise(pixels):
        key = pixels.shape, pixels.dtype.str, pixels.tobytes()
        if key not in found:
            found[key] = really(pixels)
        return found[key]

    really = indexing.recognise
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(indexing, "recognise", recognise)
        yield


@pytest.fixture
def embedded(monkeypatch) -> list:
    """Test features of the runs, which are not scored."""
    from jreid.run import results

    found = []
    monkeypatch.setattr(results, "write_report", lambda *a: found.append(a[3]) or [])
    monkeypatch.setattr(results, "print_report", lambda *_: None)
    return found


@pytest.fixture(scope="session")
def trees(tmp_path_factory):
    """A small stand-in for each data set, in a folder named as the data set."""
    from tools import stand_ins

    root = tmp_path_factory.mktemp("trees")
    for name in ("sysu_mm01", "regdb", "llcm"):
        getattr(stand_ins, name)(root / name)
    stand_ins.own_images(root / "folder")
    return root


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


SLOW = "needs more than three seconds: set JREID_SLOW_TESTS=1"
LONG = "needs minutes: set JREID_LONG_TESTS=1"


def pytest_collection_modifyitems(items):
    for item in items:
        is_quick = not item.get_closest_marker("slow")
        if is_quick and item.path.stem in selection.VERSIONS:
            item.add_marker("versions")
    for marker, reason in (("slow", SLOW), ("long", LONG)):
        if not os.environ.get(f"JREID_{marker.upper()}_TESTS"):
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=reason))


REMEDIES = {  # part of a reason -> what was skipped, and the command that runs it
    "'torch'": "that compare with PyTorch (make parity)",
    SLOW: "that take more than three seconds each (make slow)",
    LONG: "that take minutes (JREID_LONG_TESTS=1 make test)",
    "": "that cannot run here (make test ARGS=-rs says why)",
}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    """The last line of all says what was skipped."""
    result = yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped") if reporter else None
    if skipped:
        reporter.write_line("skipped: " + ", ".join(counted(skipped)))
    return result


def counted(skipped):
    """`7 files and 13 tests that compare with PyTorch (make parity)`, and so on.

    A file that skips itself as a whole is one report, of its collection.
    """
    counts = {part: collections.Counter() for part in REMEDIES}
    for report in skipped:
        reason = str(report.longrepr[2])
        part = next(part for part in REMEDIES if part in reason)
        counts[part][isinstance(report, pytest.CollectReport)] += 1
    for part, remedy in REMEDIES.items():
        numbers = [(counts[part][True], "file"), (counts[part][False], "test")]
        words = [f"{n} {what}{'s' * (n > 1)}" for n, what in numbers if n]
        if words:
            yield f"{' and '.join(words)} {remedy}"
