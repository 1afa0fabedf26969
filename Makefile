# The only door to every chore. `make help` lists them; CONTRIBUTING.md explains them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup run test deploy-check matrix faults faults-long attack fuzz sbom licences check lint types django openapi config-docs docs docs-serve shape fmt lock bench bench-pages load topology screenshots hooks clean

BIN := .venv/bin
# A lock names everything, so there is nothing to resolve. pip would compile on one core; what is not Python in spite of
# its name is no error.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile --requirement
COMPILE := { $(BIN)/python -m compileall -qq -j 0 .venv/lib || true; }
EXTRAS := pubsub semantic pii otel focus deploy checkov fuzz

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z][a-z-]*%?:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/base.lock ## Serve a seeded demo at http://127.0.0.1:8000 (PORT= overrides) until Ctrl-C
	@exec $(BIN)/python -m gateway_site.run

test: .venv/dev.lock ## Run every test against PostgreSQL with Valkey, and against SQLite without Redis
	@exec $(BIN)/python -m tests.run

test-%: .venv/dev.lock ## Run one folder of tests/, say test-domain
	@exec $(BIN)/python -m tests.run $*

deploy-check: .venv/dev.lock ## Judge deploy/ and the workflows offline: schemas, linters, nginx, systemd, Prometheus' rules
	@exec $(BIN)/python -m tests.run deploy

matrix: .venv/dev.lock ## Try every caller's dialect with every provider's, and write docs/compatibility.md
	@$(BIN)/python -m tests.matrix.show --write
	@exec $(BIN)/python -m tests.run matrix

faults: .venv/dev.lock ## Break everything and compare the books: SEED=n plays one round of chaos again, SEEDS=n so many, CALLS=n storms
	@exec $(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(CALLS),--calls $(CALLS))

faults-long: .venv/dev.lock ## 1,000 rounds of chaos: half of them on SQLite, half on PostgreSQL with Valkey
	@exec $(BIN)/python -m tests.faults --seeds 1000

attack: .venv/dev.lock ## Try what an attacker would, and write the table of docs/security.md: ROWS="F20 F24" tries some
	@exec $(BIN)/python -m tests.attack $(ROWS)

fuzz: .venv/dev.lock ## Look for input that makes a fault of a decoder: SECONDS=60 for each of 67, TARGET="json sse" only those, SEED=n
	@exec nice $(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(TARGET)

sbom: .venv/dev.lock ## List what a release is made of, as CycloneDX 1.6, in var/sbom.cdx.json (FILE= overrides)
	@$(BIN)/python -m tests.supply sbom $(or $(FILE),var/sbom.cdx.json)

licences: .venv/dev.lock ## Write the table of docs/licences.md anew, from what the packages of a release say
	@$(BIN)/python -m tests.supply licences

check: lint types django shape ## Everything that needs no test run: lint, types, django and shape

lint: .venv/dev.lock ## Style and import rules
	@$(BIN)/ruff format --check --output-format concise . || { echo "Run: make fmt"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo

types: .venv/dev.lock ## mypy, strict on the domain and the data plane
	@$(BIN)/mypy

django: .venv/dev.lock ## Missing migrations, and what Django itself finds wrong
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py check --fail-level WARNING
	@$(BIN)/python manage.py openapi --check

openapi: .venv/dev.lock ## Describe the management API anew, in apps/api/openapi.yaml; `make check` compares it
	@$(BIN)/python manage.py openapi

config-docs: .venv/base.lock ## Write the tables of docs/configuration.md anew, from what is declared; `make check` compares them
	@$(BIN)/python -m gateway_site.reference

docs: .venv/dev.lock ## Build the pages of docs/ as a site, in var/site; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "var/site/index.html"

docs-serve: .venv/dev.lock ## Serve that site at http://127.0.0.1:8010, built anew at each change
	@NO_MKDOCS_2_WARNING=1 exec $(BIN)/python -m mkdocs serve --strict --dev-addr 127.0.0.1:8010

shape: .venv/dev.lock ## The architecture tests: sizes, names, purity, foreign keys, templates, documents
	@$(BIN)/python -m pytest -q -p no:randomly tests/architecture

fmt: .venv/dev.lock ## Rewrite the code in the project's style
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

setup: .venv/dev.lock ## Make .venv with all that development needs

lock: .venv/dev.lock ## Write requirements/*.txt from requirements/*.in, with hashes, for all platforms
	@cd requirements && for name in base production dev $(EXTRAS); do \
		../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-emit-find-links --custom-compile-command "make lock" $(UPGRADE) \
			--output-file $$name.txt $$name.in || exit 1; done

bench: .venv/dev.lock ## Measure Weir beside a bare relay; writes var/bench/latest.json
	@exec $(BIN)/python -m benchmarks.run

bench-pages: .venv/dev.lock ## Time every page with a million keys and 20 million calls: DATABASE_URL=, ROUNDS=, KEYS=, ENTRIES=
	@exec nice $(BIN)/python -m benchmarks.pages $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(KEYS),--keys $(KEYS)) \
		$(if $(ENTRIES),--entries $(ENTRIES))

load: .venv/dev.lock ## Load the demo that `make run` serves as agents, chats and people do: URL=, USERS=10, TIME=60s
	@exec $(BIN)/python -m locust -f benchmarks/locustfile.py --headless --only-summary \
		$(if $(URL),--host $(URL)) $(if $(USERS),--users $(USERS)) $(if $(TIME),--run-time $(TIME))

topology: .venv/dev.lock ## Run production on this machine until Ctrl-C: nginx, two gateways, control, worker, beat, their stores
	@exec $(BIN)/python -m tests.topology

screenshots: .venv/dev.lock ## Take the pictures in docs/images anew, with an installed Chromium
	@exec $(BIN)/python -m tests.screenshots

hooks: .venv/dev.lock ## Let git run `make lint` before every commit
	@$(BIN)/pre-commit install

clean: ## Remove the environment and caches; var/ (the demo's data) stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis staticfiles

# A copy of the lock lies in .venv as it was installed: pip runs only when the lock has changed. The development lock
# holds everything of the base lock at the same versions, so installing it is installing both.
.PHONY: .venv/base.lock .venv/dev.lock

.venv/base.lock: .venv/usable
	@cmp -s requirements/base.txt $@ || { echo "Installing requirements/base.txt into .venv"; \
		$(PIP) requirements/base.txt && $(COMPILE) && cp requirements/base.txt $@; }

.venv/dev.lock: .venv/usable
	@cmp -s requirements/dev.txt $@ || { echo "Installing requirements/dev.txt into .venv"; \
		$(PIP) requirements/dev.txt && $(COMPILE) && cp requirements/dev.txt $@ && cp requirements/base.txt .venv/base.lock; }

# The first Python that starts and is new enough; PYTHON= names another. Debian's may come without ensurepip: then
# the pip beside it fills the environment.
.PHONY: .venv/usable
.venv/usable:
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exit; \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; \
	done; \
	[ -n "$$python" ] || { echo "Weir needs Python 3.11 or newer, and PATH has none: make PYTHON=/path/to/python3 …"; exit 1; }; \
	echo "Making .venv with $$($$python --version)"; \
	rm -rf .venv; \
	$$python -m venv .venv >/dev/null 2>&1 || { \
		$$python -m venv --clear --without-pip .venv && $$python -m pip --python .venv install --quiet pip; }
