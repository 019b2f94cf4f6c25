# Each target makes .venv and installs what it needs by itself.
PYTHON ?= python3
export OMP_WAIT_POLICY = passive
export PIP_DISABLE_PIP_VERSION_CHECK = 1

SHELL = /bin/bash
.SHELLFLAGS = -eo pipefail -c

.PHONY: demo test test-slow soak lint format bench clean

demo: .venv/scripts   ## rows -> model -> GGUF -> an answer, on a tiny model; minutes
	bash recipes/demo.sh

test: .venv/tests     ## all the tests but the slow ones
	.venv/bin/python -m pytest -q -m "not slow and not soak and not gpu"

test-slow: .venv/tests  ## whole runs from the command line
	.venv/bin/python -m pytest -q -m "slow and not soak and not gpu"

soak: .venv/tests     ## kills, big files, load; before a release
	.venv/bin/python -m pytest -q -s -m soak

lint: .venv/tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: .venv/tests
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: .venv/tests    ## tables for people; the JSON lines go to out/bench.jsonl
	mkdir -p out
	for script in bench/*.py; do .venv/bin/python $$script | tee /dev/stderr | tail -n 1 >> out/bench.jsonl; done

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "codetune needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/scripts: requirements.txt | .venv/bin/python
	.venv/bin/python -m pip install -q -r requirements.txt
	touch $@

.venv/tests: requirements.txt requirements-dev.txt | .venv/bin/python
	.venv/bin/python -m pip install -q -r requirements-dev.txt
	touch .venv/scripts $@

clean:
	rm -rf .venv out .cache .pytest_cache .ruff_cache
