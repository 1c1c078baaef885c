# make demo   set everything up and fix a real bug in a bundled example repository
# make test   set everything up, lint, type-check and run the tests
# Needs: Python >= 3.11, git, a C/C++ compiler (llama.cpp is compiled once, about 4 minutes on
# 2 cores) and a package index. Uses uv when there is one, else venv + pip.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
# AMX tile code is miscompiled by some gcc 12 builds; the engine also avoids it at run time.
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

ifdef UV
install = VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --constraint constraints.txt
venv    = $(UV) venv --quiet --python "$(PYTHON)" $(VENV)
else
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
venv    = "$(PYTHON)" -m venv $(VENV)
endif

.PHONY: demo test lint bench clean

demo: $(VENV)/.installed
	@$(BIN)/python -m evals.demo

test: lint
	@$(BIN)/python -m pytest -n auto --dist loadfile --max-worker-restart 0

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m evals.bench.fix --check

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Pointsman needs Python >= 3.11; '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1)"; \
	  echo "  try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	@command -v git >/dev/null || { echo "error: git is not installed"; \
	  echo "  try: apt-get install git"; exit 2; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
	  echo "error: no C++ compiler, and llama.cpp has to be compiled"; \
	  echo "  try: apt-get install build-essential   (macOS: xcode-select --install)"; exit 2; }
	@$(venv)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing (the first time compiles llama.cpp: about 4 minutes on 2 cores) ..."
	@$(install) --editable .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing (the first time compiles llama.cpp: about 4 minutes on 2 cores) ..."
	@$(install) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
