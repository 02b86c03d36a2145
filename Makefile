# make demo   virtual environment, installation, the two-minute tour        make lint      ruff, mypy, clang-format, cython-lint
# make test   the tests                                                     make sanitize  tests/c under ASan and UBSan
# make bench  the speed table, into bench/results                           make test-arm  tests/c for aarch64 under qemu
# make examples  the lectures' results, each by a script
#
# Everything is installed into .venv, editable: a changed Python file needs nothing, a changed C file is compiled again.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
export FASTCONV_DATA ?= $(wildcard $(CURDIR)/../shared/data)
ifeq ($(FASTCONV_DATA),)
unexport FASTCONV_DATA
endif

C_FILES := $(shell find csrc tests/c bench -name '*.[ch]')
# What an installation is made from, the Python files apart.
INPUTS := setup.py pyproject.toml fastconv/_core.pyx $(filter csrc/%,$(C_FILES))
ARM_CC ?= aarch64-linux-gnu-gcc
ARM_RUNNER ?= qemu-aarch64-static

.PHONY: help demo test lint sanitize test-arm bench examples clean

help:
	@sed -n '1,/^$$/s/^# \?//p' Makefile

$(RUN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# One stamp for each extra of pyproject.toml: installed, and not older than what it was built from.
$(VENV)/%.stamp: $(RUN)/python $(INPUTS)
	$(RUN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

demo: $(VENV)/demo.stamp
	$(RUN)/fastconv demo

# Two processes with threads of their own: one that spins while it waits would take the core from the other.
test: $(VENV)/test.stamp
	OMP_WAIT_POLICY=passive $(RUN)/python -m pytest --numprocesses 2 $(PYTEST_FLAGS)

lint: $(VENV)/dev.stamp
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	$(RUN)/clang-format --dry-run -Werror $(C_FILES)
	PATH="$(CURDIR)/$(RUN):$$PATH" cython-lint fastconv/_core.pyx

sanitize: $(VENV)/dev.stamp
	$(RUN)/python tests/c/ctests.py --sanitize

test-arm: $(VENV)/dev.stamp
	$(RUN)/python tests/c/ctests.py --cc "$(ARM_CC)" --static --runner "$(ARM_RUNNER)"

bench: $(VENV)/bench.stamp
	$(RUN)/python bench/run.py --markdown bench/results/cpu.md --json bench/results/cpu.json $(BENCH_FLAGS)

examples: $(VENV)/examples.stamp
	$(RUN)/python examples/all.py $(EXAMPLES_FLAGS)

clean:
	rm -rf $(VENV) build dist *.egg-info fastconv/_core*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis
