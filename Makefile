# A thin door over the project's own tools. Each target does its own set-up; `make` alone lists them.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/sh
# Dozens of processes start in a test run; each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
FOR_RUNNING := .venv/.ready-to-run
FOR_TESTS := .venv/.ready-to-test
# What is there already does: a test environment runs the service too.
READY := $(if $(wildcard $(FOR_TESTS)),$(FOR_TESTS),$(FOR_RUNNING))
PIN := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate
COMPILE := $(PIN) pyproject.toml --no-emit-package foundry-rollouts-emulator
EMULATOR := src/foundry_emulator
BINDIR ?= $(HOME)/.local/bin

.PHONY: help demo serve emulator install uninstall test lint format types imports unit component simulation contract scenarios browser storm soak mutants requirements site packages release-check sbom image image-test clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 22

demo: $(READY) ## see a healthy version promoted and a faulty one rolled back (KEEP=1 leaves it running)
	@$(BIN)/foundry-rollouts demo $(if $(KEEP),--keep)

serve: $(READY) ## run the service with the settings of the environment
	@$(BIN)/foundry-rollouts serve

emulator: $(READY) ## run a local Foundry on 127.0.0.1:8090
	@$(BIN)/foundry-rollouts emulator --listen 127.0.0.1:8090 --images echo

install: $(READY) ## put foundry-rollouts on the PATH: a link in BINDIR, ~/.local/bin unless named, to .venv here
	@mkdir -p "$(BINDIR)" && ln -sf "$(CURDIR)/$(BIN)/foundry-rollouts" "$(BINDIR)/foundry-rollouts"
	@echo "foundry-rollouts is in $(BINDIR)"
	@case ":$$PATH:" in *":$(BINDIR):"*) ;; *) echo "which is not on your PATH yet: export PATH=\"$(BINDIR):\$$PATH\"" ;; esac

uninstall: ## take that link away; pinned agents stay pinned (docs/upgrading.md)
	@rm -f "$(BINDIR)/foundry-rollouts"

test: $(FOR_TESTS) ## lint, types, import contracts and every test
	@PYTHONPATH=tests $(BIN)/python -m tools.every_check

lint: $(FOR_TESTS) ## all that needs no test run: style, types, imports, dependencies, spelling
	@PYTHONPATH=tests $(BIN)/python -m tools.every_check --without-tests

format: $(FOR_TESTS) ## put the code in order
	@$(BIN)/ruff check --fix && $(BIN)/ruff format

types: $(FOR_TESTS) ## check the types
	@$(BIN)/mypy

imports: $(FOR_TESTS) ## check who imports whom
	@$(BIN)/lint-imports

unit: $(FOR_TESTS) ## the unit tests: a minute, nothing outside the process; the slowest are listed
	@$(BIN)/pytest -n auto --durations=10 tests/unit

component: $(FOR_TESTS) ## the command line against a served API and a local Foundry; policies that are watched
	@$(BIN)/pytest -n auto tests/component

simulation: $(FOR_TESTS) ## the judge's promises, its laws and its bench, on recorded counts and simulated rollouts
	@$(BIN)/pytest -n auto tests/simulation

contract: $(FOR_TESTS) ## one exam per port: SQLite and PostgreSQL, client and emulator
	@$(BIN)/pytest -n auto tests/contract tests/migrations

scenarios: $(FOR_TESTS) ## stories with real processes
	@$(BIN)/pytest -n 2 tests/scenarios

browser: $(FOR_TESTS) ## the pages in a browser; pictures of them are left in PICTURES
	@$(BIN)/pytest -n 2 tests/browser

storm: $(FOR_TESTS) ## three replicas and 50 rollouts while processes are killed and networks cut (minutes)
	@PYTHONPATH=tests $(BIN)/python -m storm

soak: $(FOR_TESTS) ## twenty minutes of rollouts in a hurry: nothing may grow (ROLLOUTS=3000: so many in progress)
	@PYTHONPATH=tests $(BIN)/python -m storm.soak --minutes $(or $(MINUTES),20) --rollouts $(or $(ROLLOUTS),0)

mutants: $(FOR_TESTS) ## change the core bit by bit: tests notice, or a reason is recorded (FILES=core/judging/bets.py; all: an hour or two)
	@PYTHONPATH=tests $(BIN)/python -m mutation $(FILES)

requirements: $(FOR_TESTS) ## pin the dependencies anew, with hashes
	@$(COMPILE) --group dev --all-extras -o tests/requirements.txt
	@$(COMPILE) --extra postgres --extra otel --extra notify -o deploy/requirements.txt
	@$(PIN) --group build -o deploy/requirements-build.txt
	@$(COMPILE) --extra postgres --extra otel --extra notify --extra emulator --constraints deploy/requirements.txt -o deploy/requirements-demo.txt
	@for file in tests/requirements-*.in; do $(PIN) $$(grep -q -- --no-deps $$file && echo --no-deps) $$file -o "$${file%in}txt" || exit; done

site: $(FOR_TESTS) ## build the documentation as a static site into site/; a link that leads nowhere is an error
	@PYTHONPATH=tests $(BIN)/python -m tools.site

packages: $(FOR_TESTS) ## build the two wheels of a release into dist/: the service, and the emulator it names
	@cd $(EMULATOR) && $(CURDIR)/$(BIN)/python -m hatchling build -t wheel -d $(CURDIR)/dist
	@EMULATOR_RELEASE="==$$($(BIN)/python -m hatchling version)" $(BIN)/python -m hatchling build -t wheel -d dist

release-check: $(FOR_TESTS) ## say whether TAG is the tag of this version, as the release workflow asks before it builds
	@test "$(TAG)" = "v$$($(BIN)/python -m hatchling version)" || { echo "TAG is not v$$($(BIN)/python -m hatchling version)" >&2; exit 1; }

sbom: $(FOR_TESTS) ## write the bills of materials of a release into dist/ (CycloneDX)
	@PYTHONPATH=tests $(BIN)/python -m tools.sbom dist

image: ## build the container image
	@docker build --tag foundry-rollouts .

image-test: $(FOR_TESTS) ## build both images without a container engine and run them as they run in production (root, on Debian)
	@PYTHONPATH=tests $(BIN)/python -m tools.system_packages
	@$(BIN)/pytest tests/image

clean: ## take away the environment and everything that was made
	@rm -rf .venv .demo build dist site .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(FOR_RUNNING): deploy/requirements-demo.txt pyproject.toml $(EMULATOR)/pyproject.toml .ci/environment
	@.ci/environment deploy/requirements-demo.txt && touch $@

$(FOR_TESTS): tests/requirements.txt pyproject.toml $(EMULATOR)/pyproject.toml .ci/environment
	@.ci/environment tests/requirements.txt && touch $@
