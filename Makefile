# `make demo` and `make test` set up all they need; `make help` lists the rest.
# Paths are relative, so that the checkout may lie in a folder with spaces in its name.

BIN := .venv/bin
CATALOGUES := $(wildcard pilot/translations/*/LC_MESSAGES/messages.po)
COMPILED := $(CATALOGUES:.po=.mo)
LOCK := $(BIN)/uv --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(ARGS)

export PYTHON

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-all lint types fix bench serve lock migration translations ready-to-run ready-to-test \
	ready-to-bench ready-to-bench

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

demo: ready-to-run $(COMPILED) ## a whole pilot, base to PDF, then the web admin (ARGS="--seed 7 --no-serve" DATA=orders.csv)
	@$(BIN)/pilot demo $(if $(DATA),--orders "$(DATA)") $(ARGS)

test: lint types $(COMPILED) ## style, types and tests (ARGS="-k mail")
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

test-all: lint types $(COMPILED) ## the same with the long simulations
	@$(BIN)/python -m pytest -m "slow or not slow" --numprocesses auto --dist loadfile $(ARGS)

lint: ready-to-test ## style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: ready-to-test ## types
	@$(BIN)/mypy

fix: ready-to-test ## mend the style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: ready-to-bench $(COMPILED) ## measure speed and memory beside peers
	@for benchmark in benchmarks/*.py; do echo "$$benchmark"; $(BIN)/python "$$benchmark" || exit; done

serve: ready-to-run $(COMPILED) ## web site and worker, as the PILOT_* variables say (ARGS="--port 8000")
	@$(BIN)/pilot serve $(ARGS)

lock: ready-to-test ## write requirements/*.txt after a change in setup.cfg (ARGS=--upgrade takes newer versions)
	@$(LOCK) requirements/tools.in --output-file requirements/tools.txt
	@$(LOCK) setup.cfg --extra postgresql --output-file requirements/run.txt
	@$(LOCK) setup.cfg --extra postgresql --extra test --constraint requirements/run.txt \
		--output-file requirements/test.txt
	@$(LOCK) setup.cfg --extra postgresql --extra test --extra bench --constraint requirements/test.txt \
		--output-file requirements/bench.txt

migration: ready-to-test ## a revision from the difference between migrations and models (MESSAGE="add a table")
	@buildsupport/migration.sh "$(MESSAGE)"

translations: ready-to-test ## take new texts into the catalogues of messages and compile them
	@buildsupport/translations.sh

$(COMPILED) &: $(CATALOGUES)
	@$(BIN)/python buildsupport/backend.py

ready-to-run:
	@buildsupport/setup.sh run

ready-to-test:
	@buildsupport/setup.sh test

ready-to-bench:
	@buildsupport/setup.sh bench
