# make demo     a run of agents, live in JupyterLab
# make test     everything that is checked
# make bench    the measured figures beside their bars
# make looks    the pictures that the views are compared with, anew: look at them in tests/data/looks
# make picture  README's picture, light and dark, anew from the real widget
# make docs     the documentation, as pages in build/docs
# make bench-peers  frames of spans beside Phoenix and MLflow, installed into environments of their own
# make matrix   the wheel in bare environments: each Python that is found, lowest and newest versions (PYTHONS="…" chooses)
# make kernels  a live graph under older and newer ipykernels
# make nightly  the long versions of the tests, an hour of models that fail, 48 minutes of a live run: a good hour (ARGS="--minutes 5")
# make release-check  the same with the numbers of a release: half a million sequences, ten thousand kills, eight hours
# make soak     a live run at ten times its speed for 48 minutes (ARGS="--minutes 5"): memory, file handles, threads, the page's heap
#
# Each does all it needs: a virtual environment, the dependencies, the bundle. PYTHON=python3.12 picks another Python.
PYTHON ?= python3
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)
ARGS ?=

# Versions for what is installed and for what builds it; a relative path, so that folders with spaces work.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test looks picture docs bench bench-peers matrix kernels nightly release-check soak install chromium
.NOTPARALLEL:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: install
	@$(BIN)/anton-notebook demo $(ARGS)

# Two workers, a file of tests each at a time, in the given order: the browser's driver keeps an event loop, so its files come last.
# Many hold a clock or a browser against a machine that others use too: what fails is tried twice more, and each such try is listed.
test: install chromium
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --reruns 2 -rfER $(ARGS)

looks: install chromium
	ANTON_NOTEBOOK_RENEW_LOOKS=1 $(BIN)/python -m pytest -q tests/browser/test_looks.py -k every_view $(ARGS)

picture: install chromium
	$(BIN)/python -m tests.tools.picture

docs: install
	$(BIN)/python examples/build_docs.py build/docs

bench: install chromium
	$(BIN)/python tests/benchmarks $(ARGS)

bench-peers: install
	$(BIN)/python tests/benchmarks/peers.py $(ARGS)

matrix: install
	$(BIN)/python tests/tools/matrix.py $(ARGS)

kernels: install
	$(BIN)/python tests/tools/kernels.py $(ARGS)

nightly: install chromium
	$(BIN)/python tests/tools/nightly.py $(ARGS)

release-check: install chromium
	$(BIN)/python tests/tools/nightly.py --release $(ARGS)

soak: install chromium
	$(BIN)/python tests/tools/soak.py $(ARGS)

install: $(BIN)/python
	@$(BIN)/python tests/tools/install.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is older or missing. Another one: make PYTHON=python3.12 test" >&2; exit 1; }
	@echo "Creating the virtual environment .venv"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "$(PYTHON) could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# The browser tests use the Chromium of the machine, or Debian's. Without one they are skipped, and say so.
chromium:
	@for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do \
	  command -v $$name >/dev/null 2>&1 && exit 0; done; \
	if [ -n "$$CHROMIUM" ]; then exit 0; fi; \
	as=; [ "$$(id -u)" = 0 ] || as="sudo -n"; \
	if command -v apt-get >/dev/null 2>&1 && { [ -z "$$as" ] || $$as true 2>/dev/null; }; then \
	  echo "No Chromium found: installing Debian's."; \
	  $$as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as apt-get install -y -qq chromium >/dev/null && exit 0; fi; \
	echo "No Chromium found, and it cannot be installed from here: the browser tests will be skipped." >&2; \
	echo "Install Chromium (or Chrome), or point CHROMIUM at one." >&2
