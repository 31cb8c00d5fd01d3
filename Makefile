# The environment is created once, and again whenever constraints.txt or pyproject.toml change.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FLOORS := $(VENV)-floors
NEWEST := $(VENV)-newest
KEY := $(shell cat constraints.txt pyproject.toml | sha256sum | cut -c1-16)
STAMP := $(VENV)/.installed-$(KEY)

.PHONY: help install demo test lint floors check-python docs clean

help:
	@echo "make demo   simulated benchmark: 15 fusion strategies and the baselines, about a minute"
	@echo "make test   style checks and the whole test suite, about 10 minutes on 2 cores"
	@echo "make docs   build the documentation into docs/_build/html"
	@echo "make lint   style checks only"
	@echo "make floors fast tests with the lowest versions that pyproject.toml allows"
	@echo "make check-python PYTHON=python3.13  all tests with another Python and the newest versions"

$(STAMP):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=77"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[tests]"
	touch $@

install: $(STAMP)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .

demo: install
	$(BIN)/smilefusion benchmark --data simulated --folds 3 --n-jobs 2 --output demo-results

lint: install
	$(BIN)/python -m pip check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --follow-imports=silent tests/test_typed_usage.py
	$(BIN)/codespell

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Downloads several GB, because torch and all other requirements have other versions.
floors:
	$(PYTHON) -m venv --clear $(FLOORS)
	$(PYTHON) tools/check_dependencies.py floors > $(FLOORS)/floors.txt
	$(FLOORS)/bin/python -m pip install --quiet --upgrade pip "setuptools>=77"
	$(FLOORS)/bin/python -m pip install --quiet -c $(FLOORS)/floors.txt -e ".[tests]"
	$(FLOORS)/bin/python -m pip check
	$(FLOORS)/bin/python -m pytest -n 2 --dist worksteal -m "not slow"

# Like floors, but with the newest versions that pip finds for this Python.
check-python:
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade pip "setuptools>=77"
	$(NEWEST)/bin/python -m pip install --quiet -e ".[tests]"
	$(NEWEST)/bin/python -m pip check
	$(NEWEST)/bin/python -m pytest -n 2 --dist worksteal

docs: install
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) $(FLOORS) $(NEWEST) build docs/_build docs/gallery docs/api docs/generated .pytest_cache .mypy_cache .ruff_cache
