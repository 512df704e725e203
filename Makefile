PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs docs-check bench wheel-check clean

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: .venv/installed  ## install galgen and what it needs into .venv

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup  ## train a small model on simulated galaxies and draw its own (six minutes)
	$(BIN)/python -m galgen.train experiment=demo run_name=demo
	$(BIN)/python -m galgen.plot runs/demo split=test
	$(BIN)/python -m galgen.plot runs/demo figure=samples magnitude=21:25 redshift=0.7
	$(BIN)/python -m galgen.plot runs/demo figure=samples redshift=0.2:2 magnitude=22
	$(BIN)/python -m galgen.plot runs/demo figure=samples size=0.1:0.6 magnitude=22

test: setup  ## run the tests, in two processes of one thread
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: setup  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: setup  ## build the documentation into build/docs; a warning is an error
	PYTHONPATH=. $(BIN)/sphinx-build -q -W --keep-going -c docs . build/docs
	$(BIN)/python tests/check_pages.py build/docs

docs-check: setup  ## run every code block of README.md and docs/, with small sizes
	$(BIN)/python -m tests.check_docs

bench: setup  ## measure training, reading and generating (two minutes), for docs/performance.md
	$(BIN)/python -m experiments.throughput

wheel-check: setup  ## build the wheel, install it elsewhere, compose every config, train
	$(BIN)/python tests/check_wheel.py

clean:  ## delete what the targets above made, but not runs/
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
