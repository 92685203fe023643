# Everything a fresh clone needs: `make demo` and `make test`. Each target makes .venv when it is
# missing or older than what it is made from.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# Exact versions, so that everybody runs what CI ran. `make LOCK= ...` takes the newest instead.
LOCK ?= requirements.lock
# The first Python that is new enough; `make PYTHON=/path/to/python ...` chooses another.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 && command -v $(name))))

.PHONY: demo test check bench clean format

demo: $(VENV)/ready
	@$(BIN)/wiretape demo

test: $(VENV)/ready
	@$(BIN)/python -m pytest -n 2 -q

check: $(VENV)/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -p no:randomly tests/test_*.py

format: $(VENV)/ready
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/ready
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

$(VENV)/ready: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" && command -v "$(PYTHON)" >/dev/null || { echo "wiretape needs Python 3.12 or newer, and the python3 on PATH is" \
		"$$(python3 --version 2>/dev/null || echo missing): install one, or name it with make PYTHON=/path/to/python3.13 $(if $(PYTHON),($(PYTHON) is not there))" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(v < (3, 12) and f"wiretape needs Python 3.12 or newer, and $(PYTHON) is {v[0]}.{v[1]}: name another with make PYTHON=/path/to/python3.13" or 0)'
	@echo "installing into $(VENV) ..."
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(LOCK),--constraint $(LOCK)) --editable '.[all]'
	@touch $@

clean:
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis htmlcov demo.* edited.db* killed.db* recorder.json
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
