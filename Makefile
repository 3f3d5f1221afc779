# The two commands to begin with: `make demo` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-stamp
# One worker per core of a small machine; each keeps its linear algebra to one thread, or they fight for the cores.
WORKERS ?= 2
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help setup demo test sanitize lint format bench bench-kernels bench-paper bench-symbolic examples clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Create .venv and install Edgewise into it, with what its development needs

$(STAMP): pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*.hpp csrc/*.cpp)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	touch $@

demo: setup  ## From bundled measurements to a formula, in under a minute
	$(BIN)/edgewise demo

test: setup  ## All tests and doctests, with the coverage of the folders that compute
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --benchmark-disable --cov --cov-report=term --cov-fail-under=95

sanitize: setup  ## The kernels' tests under the address and undefined-behaviour sanitizers
	$(BIN)/cmake -S . -B build/sanitized -G Ninja -DEDGEWISE_SANITIZE=ON -DPython_EXECUTABLE=$(abspath $(BIN)/python) \
		-DCMAKE_PREFIX_PATH=$$($(BIN)/python -m nanobind --cmake_dir)
	$(BIN)/cmake --build build/sanitized
	$(ONE_THREAD) PYTHONPATH=csrc EDGEWISE_SANITIZED=$$(ls $(CURDIR)/build/sanitized/_cpu*.so) \
		LD_PRELOAD="$$($${CXX:-g++} -print-file-name=libasan.so) $$($${CXX:-g++} -print-file-name=libstdc++.so)" \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
		$(BIN)/python -m pytest -n $(WORKERS) -p sanitized_extension -q tests/test_kernels_cpu.py tests/test_kernels_gram.py

lint: setup  ## Style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror csrc/*.hpp csrc/*.cpp
	$(BIN)/basedpyright

format: setup  ## Put the code into the project's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i csrc/*.hpp csrc/*.cpp

bench: setup  ## The speed of small networks, with the bounds that are promised
	$(BIN)/python -m pytest benchmarks/bench_speed.py --benchmark-only

bench-kernels: setup  ## KAN layers against MLPs, products, pykan and jaxKAN: the table in benchmarks/results
	$(BIN)/python benchmarks/kernels.py

bench-symbolic: setup  ## How often formulas are found, also by pyoperon, gplearn and pysindy, for hours and resumable; then the table
	$(BIN)/python benchmarks/symbolic/recover.py
	$(BIN)/python benchmarks/symbolic/rivals.py
	$(BIN)/python benchmarks/symbolic/summary.py

examples: setup  ## The worked examples at full size, most of an hour: tables and pictures in benchmarks/results/examples
	for name in fit_against_mlp differential_equations continual_learning image small_and_fast interaction inside_a_network; do \
		$(BIN)/python examples/$$name.py || exit; done

bench-paper: setup  ## The paper's tables, for hours and resumable: Edgewise, MLPs and pykan; then the report
	$(BIN)/python benchmarks/paper/run.py
	for study in convergence dimensions noise few narrow tables coverage; do $(BIN)/python benchmarks/paper/studies.py $$study || exit; done
	$(BIN)/python benchmarks/paper/report.py

clean:  ## Remove caches and build products (the environment stays)
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .benchmarks .coverage .coverage.* htmlcov
	find src tests csrc -name __pycache__ -type d -prune -exec rm -rf {} +
