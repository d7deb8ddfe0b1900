# Recipes use relative paths only, so that a clone may live on a path with spaces.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
UPGRADE ?=
RUNS ?= 1000000
TESTS ?=
GROUP ?= timescale
FUZZED ?= $(patsubst tests/fuzz/fuzz_%.py,%,$(wildcard tests/fuzz/fuzz_*.py))

PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
# Modules are compiled when they are first imported: most of what is installed never is.
LOCKED = $(PIP) install --quiet --no-compile --require-hashes --only-binary :all:
PYTEST = OPENBLAS_NUM_THREADS=1 $(VENV)/bin/pytest -n $(JOBS) --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help demo test pytest test-slow fuzz mutants check format bench docs smoke lock sbom clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: $(VENV)/run.stamp ## install what is locked, write a synthetic flight to flights/demo and run it
	$(VENV)/bin/dronesense demo flights/demo

test: check ## every check and every test but the slow ones
	$(PYTEST)

pytest: $(VENV)/dev.stamp ## every test but the slow ones, without the checks (TESTS='-m "not slow and not once"')
	$(PYTEST) $(TESTS)

test-slow: $(VENV)/dev.stamp ## the sweeps and the large files, with new random examples
	HYPOTHESIS_PROFILE=explore $(PYTEST) -m slow

fuzz: $(VENV)/dev.stamp ## a million damaged files for every parser; flight logs guided by the branches they reach (RUNS=1000000)
	$(VENV)/bin/python tests/fuzz/files.py all --cases $(RUNS)
	@for format in $(FUZZED); do echo "$$format"; $(VENV)/bin/python tests/fuzz/run.py $$format --runs $(RUNS) || exit 1; done

mutants: $(VENV)/dev.stamp ## change the code in one place at a time: does a test notice? (GROUP=timescale, evidence, atomic, envi, sbet, ...)
	$(VENV)/bin/python tests/mutants.py $(GROUP)

check: $(VENV)/dev.stamp ## lint, format, types, import floors
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/dev.stamp ## put the code into the house format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(VENV)/dev.stamp ## run what the documentation says, make its pictures, build it as a site in build/site
	OPENBLAS_NUM_THREADS=1 $(VENV)/bin/pytest -m "slow or not slow" tests/test_docs.py tests/test_doc_commands.py tests/test_tutorials.py tests/test_howto.py tests/test_site.py \
		tests/test_boresight.py::test_the_command_prints_the_mount_to_use
	$(VENV)/bin/python docs/pictures.py
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

bench: $(VENV)/dev.stamp ## speed and memory beside peers, then what was found and missed over many made-up flights
	@for script in benchmarks/bench_*.py benchmarks/seeds.py; do echo "$$script"; $(VENV)/bin/python "$$script" || exit 1; done

smoke: $(VENV)/run.stamp ## the demo with nothing but the run-time lock: make smoke PYTHON=python3.13 VENV=build/py313
	$(PIP) check
	rm -rf $(VENV)/smoke
	$(VENV)/bin/dronesense demo $(VENV)/smoke

# One lock for all systems and Pythons: uv resolves with markers, and takes only versions that exist as a wheel, so that nothing is
# compiled on a field laptop. Versions already locked stay as they are: make lock UPGRADE=--upgrade takes the newest.
COMPILE = UV_PYTHON_DOWNLOADS=never UV_CUSTOM_COMPILE_COMMAND='make lock' $(VENV)/bin/uv pip compile pyproject.toml --quiet --no-config \
	--universal --python-version 3.11 --only-binary :all: --generate-hashes --no-emit-index-url $(UPGRADE) --group build
IN_RUN = $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements/run.txt | sort -u)

lock: $(VENV)/dev.stamp ## resolve requirements/*.txt anew from pyproject.toml
	$(COMPILE) --output-file requirements/run.txt
	$(COMPILE) --group dev --constraint requirements/run.txt $(IN_RUN) --output-file requirements/dev.txt

sbom: $(VENV)/run.stamp ## what the program is made of, as CycloneDX 1.6: build/sbom.cdx.json
	$(VENV)/bin/dronesense evidence sbom requirements/run.txt -o build/sbom.cdx.json

clean: ## remove the virtual environment
	rm -rf $(VENV)

$(VENV)/run.stamp: requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("dronesense needs Python 3.11 or newer, e.g. make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) -r requirements/run.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	$(LOCKED) -r requirements/run.txt -r requirements/dev.txt
	@touch $@
