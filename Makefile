# `make demo` and `make test` work on a fresh machine: each sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m

.PHONY: demo test slow lint bench chaos clean

$(VENV)/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[test,demo,cpu,peers]'
	touch $@

$(VENV)/demo: setup.cfg constraints.txt
	test -f $(VENV)/ready || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[cpu,demo]'
	touch $@

# What is installed decides what is shown: after `make test` the sheet has names and the papers' own maps, too.
demo: $(VENV)/demo
	$(RUN) unsee demo demo

test: $(VENV)/ready
	$(RUN) pytest --numprocesses auto --dist loadfile

slow: $(VENV)/ready
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[ptx]'
	$(RUN) pytest -m "slow_install or proof"

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

bench: $(VENV)/ready
	$(RUN) unsee bench all $(BENCH)

chaos: $(VENV)/ready
	$(RUN) unsee.tests.chaos

clean:
	rm -rf $(VENV) build demo *.egg-info
