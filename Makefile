# Everything lives in .venv in this checkout; nothing here needs root.
#
#   make run    set up, then the main job on the embedded default (no GPU, nothing to download)
#   make test   set up, then every test; a test that lacks a system package is skipped by name
#   make lint   ruff and mypy, as CI runs them

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
TORCH := 2.13.0

.PHONY: run test lint format clean

run: .venv/.cpu
	$(BIN)/factory run pipelines/quickstart.yaml

# In the order of the folders: sorted by their number of tests, the files of few long ones come last.
test: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv runs

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 run"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "The venv module is missing: sudo apt install python3-venv"; exit 1; }
	touch $@

# torch first: its CPU build where pip is told of an index that has it, else the general one, which
# runs on the CPU as well and brings gigabytes of GPU libraries along.
.venv/.cpu: .venv/.made constraints/cpu.txt pyproject.toml
	@echo "Setting up .venv: a few minutes, once."
	@$(PIP) torch==$(TORCH)+cpu 2>/dev/null || \
	  { echo "pip knows no CPU build of torch $(TORCH); taking the general one (gigabytes)."; \
	    echo "To save them, name PyTorch's CPU index in PIP_EXTRA_INDEX_URL and run again."; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check torch==$(TORCH); }
	$(PIP) -r constraints/cpu.txt
	$(PIP) --no-build-isolation --editable .
	touch $@

# reasoning-gym needs a solver that pip builds with a C compiler; without one its tests are skipped.
.venv/.dev: .venv/.cpu constraints/gym.txt constraints/dev.txt constraints/train.txt \
            constraints/loaders.txt
	$(PIP) -r constraints/dev.txt
	$(PIP) -r constraints/train.txt
	$(PIP) --target .venv/prm trl==1.13.0
	@$(PIP) --upgrade --target .venv/loaders -r constraints/loaders.txt || \
	  echo "axolotl, LLaMA-Factory and verl are left out; their loaders are not tested."
	@$(PIP) -r constraints/gym.txt || \
	  echo "reasoning-gym is left out; it needs: sudo apt install gcc python3-dev"
	touch $@
