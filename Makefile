PYTHON ?= python3
BIN := .venv/bin
# Two files at a time: tests wait as much as they work.
PYTEST := $(BIN)/python -m pytest -n 2 --dist=loadfile --no-loadscope-reorder

.PHONY: train test rounding check clean

train: .venv/installed
	$(BIN)/python main.py --config=configs/default.py

test: .venv/installed-dev
	$(PYTEST)

# What depends on rounding, with code for older x86 processors. Other files need not be imported.
rounding: .venv/installed-dev
	XLA_FLAGS=--xla_cpu_max_isa=SSE4_2 $(PYTEST) -m rounding $$(grep -l mark.rounding tests/test_*.py)
	XLA_FLAGS=--xla_cpu_max_isa=AVX2 $(PYTEST) -m rounding $$(grep -l mark.rounding tests/test_*.py)

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python requirements.txt
	$(BIN)/python -m pip install -q -r requirements.txt
	touch $@

.venv/installed-dev: .venv/bin/python requirements.txt requirements-formats.txt requirements-dev.txt
	$(BIN)/python -m pip install -q -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv
