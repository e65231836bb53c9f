# `make demo` and `make test` install everything they need into $(VENV) first.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK = 1

RUN := $(VENV)/bin/python -m
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
STAMP := $(VENV)/.installed-$(VERSION)

# A venv whose Python has gone, or is another version, is made anew.
ifneq ($(shell $(VENV)/bin/python -c 'print("works")' 2>/dev/null),works)
BROKEN := broken
endif

.PHONY: help install demo test clean broken

help:
	@echo "make demo   train and evaluate a small network on the embedded data set;"
	@echo '            ARGS="--config.optim.epochs=3" changes its config'
	@echo "make test   ruff, pyright and pytest"
	@echo "make clean  remove the virtual environment and all caches, not runs/"
	@echo "PYTHON=python3.12 chooses the Python (3.11 or newer), VENV=.venv the environment"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt $(BROKEN)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is not Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) pip install -q -c constraints.txt -e '.[test]'
	@touch $@

demo: $(STAMP)
	$(RUN) jreid.train --config configs/demo.py $(ARGS)
	@$(VENV)/bin/python tools/colour_histogram.py

test: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) pyright --pythonpath $(abspath $(VENV)/bin/python)
	$(RUN) pytest

clean:
	rm -rf $(VENV) .jax_cache .pytest_cache .ruff_cache .hypothesis
