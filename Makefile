# Short names for what CONTRIBUTING.md describes. Everything runs in .venv, which `make setup` makes.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: setup test quick lint docs

setup:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e ".[test,lint,peers]"

test:
	$(BIN)/python -m pytest -n 2

quick:
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs:
	$(BIN)/python scripts/update_api.py
	$(BIN)/python scripts/update_docs.py
