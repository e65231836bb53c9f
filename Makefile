# Every command installs what it needs into $(VENV) first.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WORKERS ?= 2

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# A step's temporaries come in huge pages, not in thousands of small ones: docs/benchmark.md.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

RUN := $(VENV)/bin/python -m
INSTALL := $(RUN) tools.install
# A file's tests share what they compile, and so one worker.
PYTEST := $(RUN) pytest -n $(WORKERS) --dist loadfile --durations 10 --durations-min 5
# Files whose types may be known with PyTorch alone: that import it, or what does.
OF_TORCH = $(shell grep -rl --include='*.py' -E 'torch|parity' jreid tools tests)
# Reading all tests takes half a minute: files with tests of a marker, unless ARGS has some.
MARKED = grep -rlE --include='test_*.py' 'mark.$(1)|$(1)_but' tests
marked = -m $(1) $(if $(findstring tests/,$(ARGS)),,$(sort $(shell $(MARKED))))
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# What programs need, and besides it what tests need: the demo waits for the first alone.
BASE := $(VENV)/.installed-$(VERSION)
STAMP := $(VENV)/.installed-tests-$(VERSION)

# A venv whose Python has gone, or is another version, is made anew.
ifneq ($(shell $(VENV)/bin/python -c 'print("works")' 2>/dev/null),works)
BROKEN := broken
endif

.PHONY: help install demo search-demo check test slow torch parity search commands release clean broken

help:
	@echo "make demo     train and evaluate a small network on the embedded data set;"
	@echo '              ARGS="--config.seed=1 --workdir=runs/seed-1" changes its config'
	@echo "make search-demo  indexes the demo's test people and finds one of them"
	@echo "make test     ruff, pyright and pytest; ARGS are pytest's"
	@echo "make slow     the tests that take more than three seconds each"
	@echo "make parity   the tests that compare with PyTorch, which is installed first:"
	@echo "              TORCH_INDEX=URL from this index, CUDA=1 even if it brings CUDA"
	@echo "make search   random inputs for the readers and measures, other ones each time"
	@echo "make commands the commands of the README and of docs/, as written there"
	@echo "make release  builds dist/ and uses the wheel in an empty environment"
	@echo "make install  the virtual environment alone; make torch adds PyTorch"
	@echo "make clean    remove the virtual environment and all caches, not runs/"
	@echo "PYTHON=python3.12 chooses the Python (3.11 to 3.13), VENV=.venv the environment,"
	@echo "WORKERS=2 how many processes run pytest, and threads pyright"

install: $(STAMP)

$(BASE): pyproject.toml constraints.txt $(BROKEN)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	    { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13, which TensorFlow is built for:" \
	    "make PYTHON=python3.13"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) -e .
	@touch $@

$(STAMP): $(BASE)
	$(INSTALL) -e '.[test]'
	@touch $@

demo: $(BASE)
	$(RUN) jreid.train --config configs/demo.py $(ARGS)
	@$(VENV)/bin/python tools/colour_histogram.py

search-demo: $(BASE)
	@test -d runs/demo/checkpoints || { echo "there is no runs/demo: make demo"; exit 1; }
	$(INSTALL) -e '.[search]'
	$(RUN) tools.search_demo $(ARGS)

check: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) pyright --threads $(WORKERS) --pythonpath $(abspath $(VENV)/bin/python)

test: check
	$(PYTEST) $(ARGS)

slow: $(STAMP)
	JREID_SLOW_TESTS=1 $(PYTEST) $(call marked,slow) $(ARGS)

torch: $(STAMP)
	@TORCH_INDEX='$(TORCH_INDEX)' CUDA='$(CUDA)' $(RUN) tools.install_torch

parity: torch
	$(RUN) pyright --threads $(WORKERS) --pythonpath $(abspath $(VENV)/bin/python) $(OF_TORCH)
	JREID_SLOW_TESTS=1 $(PYTEST) $(call marked,torch) $(ARGS)

SEED ?= $(shell $(PYTHON) -c 'import random; print(random.randrange(2**32))')
search: SEED := $(SEED)
search: $(STAMP)
	@echo "make search SEED=$(SEED) does the same again"
	JREID_SEARCH=$${JREID_SEARCH:-5} $(PYTEST) -m hypothesis --hypothesis-seed=$(SEED) $(ARGS)

commands: torch
	$(RUN) tools.run_documented_commands $(ARGS)

release: $(STAMP)
	$(RUN) tools.release $(ARGS)

clean:
	rm -rf $(VENV) .jax_cache .pytest_cache .ruff_cache .hypothesis
