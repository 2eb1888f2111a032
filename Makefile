# make run    set everything up, draw or fetch banners, embed them, serve; again later: only what is missing
# make test   set everything up, run all tests
# make serve  serve what is there
# make update fetch and embed new banners
# make soak   the slow tests: load, kills, faults

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: run serve update test soak screenshots clean unfinished

PYTHON ?= python3
PORT ?= 8000
CATALOGUE ?= data/catalogue
BANNERS ?= data/banners
GAMES ?= 300
VIEWS := plain,mirror,flip,rotate

BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

run: $(CATALOGUE)/manifest.json serve

serve: .venv/embed
	@echo "Steam CLIP is on http://127.0.0.1:$(PORT)"
	CATALOGUE=$(CATALOGUE) BANNERS=$(BANNERS) HOST=127.0.0.1 PORT=$(PORT) exec $(BIN)/python -m webapp

update: .venv/embed
	@$(BIN)/python manage_catalogue.py update $(BANNERS) $(CATALOGUE)

# games.csv does not show whether a run was killed; .unfinished does.
$(BANNERS)/games.csv: $(if $(wildcard $(BANNERS)/.unfinished),unfinished) | .venv/embed
	@status=0; $(BIN)/python fetch_banners.py --popular $(GAMES) --or-demo --out $(BANNERS) || status=$$?
	if [ $$status = 2 ] && [ -f $@ ]; then
		echo "make: going on with the banners that are there" >&2
	elif [ $$status -gt 1 ]; then
		exit $$status
	fi

# Exit status 1 means that some images were unusable; where any was usable there is a new catalogue of these.
$(CATALOGUE)/manifest.json: $(BANNERS)/games.csv | .venv/embed
	@status=0; $(BIN)/python embed_banners.py $(BANNERS) --out $(CATALOGUE) --views $(VIEWS) --fallback packaged || status=$$?
	test $$status = 0 || { test $$status = 1 && test $@ -nt $(BANNERS)/games.csv; }

# An interrupted run has written what it knows; keep it.
.PRECIOUS: $(BANNERS)/games.csv

test: .venv/dev
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist worksteal

# Load, kills and faults, minutes long.
soak: .venv/dev
	@$(BIN)/pytest -m soak --timeout 0 --durations=0

screenshots: .venv/dev $(CATALOGUE)/manifest.json
	@CATALOGUE=$(CATALOGUE) BANNERS=$(BANNERS) $(BIN)/python docs/make_screenshots.py
	@CATALOGUE=$(CATALOGUE) BANNERS=$(BANNERS) $(BIN)/python docs/make_regions.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

# The environment is rebuilt only when a requirements file changed. The dev environment holds the embed one.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, not " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv

.venv/embed: requirements.txt requirements-embed.txt | .venv/bin/python
	@echo "make: installing what the programs need into .venv" >&2
	if [ "$$(uname)" = Linux ] && [ ! -e /dev/nvidiactl ] && [ -z "$${PIP_EXTRA_INDEX_URL:-}" ]; then
		echo "make: PyTorch with CUDA is a download of several gigabytes, and there is no NVIDIA card here. For the CPU build:" \
			"PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make $(MAKECMDGOALS)" >&2
	fi
	$(BIN)/pip install --quiet -r requirements-embed.txt
	touch $@

.venv/dev: requirements.txt requirements-embed.txt requirements-cluster.txt requirements-dev.txt .venv/embed
	@echo "make: installing what the tests need into .venv" >&2
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@
