# `make run` and `make test` do everything from a fresh clone; see README.md.
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 1
# Enough for a first burst while the server has the rest of its target drawn.
FIRST_FILL ?= 600
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test test-slow bench setup lint release images clean
.DEFAULT_GOAL := run

# The pool is migrated and filled before the server starts, so that the first request finds a captcha. What visitors in
# doubt get can wait for the server's first refill.
run: export CAPTCHA_WORK ?= light
run: setup
	@$(VENV)/bin/python -m server --check --host $(HOST) --port $(PORT)
	$(VENV)/bin/alembic upgrade head
	CAPTCHA_DOUBT=false $(VENV)/bin/python -m batch.fill --target $(FIRST_FILL)
	exec $(VENV)/bin/python -m server --host $(HOST) --port $(PORT) --workers $(WORKERS)

setup: $(VENV)/.installed-batch

# Hundreds of processes import the same files: where byte code is not kept, each would compile them.
test test-slow: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.installed-dev
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist worksteal

# What needs minutes: load, kills, three browsers, trainings, a Ray cluster, made-up requests, types.
test-slow: $(VENV)/.installed-dev
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist worksteal tests/slow tests/training

# Ratios of things measured side by side: let nothing else run meanwhile. OUT=docs/benchmarks updates the page's figures.
bench: $(VENV)/.installed-dev
	$(VENV)/bin/python -m benchmarks.speed $(if $(OUT),--out $(OUT))

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --platform win32 --package gantcha
	$(VENV)/bin/lint-imports

# Wheel, sources and npm package in dist/, each tried in an empty environment, and their checksums.
release: $(VENV)/.installed-dev
	$(VENV)/bin/python release.py

# For two architectures, each with a list of its parts (SBOM), sent to a registry: make images REGISTRY=registry.example.com
images: VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' gantcha/__init__.py)
images: REGISTRY ?= $(error where to? make images REGISTRY=registry.example.com)
images: $(addprefix image-,server refill batch)
image-%:
	docker buildx build --push --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max --target $* \
		--label org.opencontainers.image.version=$(VERSION) \
		--label org.opencontainers.image.revision=$(shell git rev-parse HEAD) \
		--tag $(REGISTRY)/gantcha-$*:$(VERSION) --tag $(REGISTRY)/gantcha-$*:latest .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed-batch: requirements-batch.txt requirements.txt | $(VENV)/bin/python
	@echo "Installing what the server and the drawing need (half a minute) ..."
	$(PIP) -r requirements-batch.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements-train.txt requirements-ray.txt requirements-parquet.txt requirements-lmdb.txt $(VENV)/.installed-batch
	@echo "Installing what the tests need ..."
	$(PIP) -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
