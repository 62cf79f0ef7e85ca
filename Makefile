# Everything that a person or CI does here; `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
COLLECTION := collections/ansible_collections/gradual/rollout
# haproxy and pgbouncer are in /usr/sbin, which is not on the path of every user.
PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin
PYTEST := .venv/bin/python -m pytest
export PATH

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo fleet: export GRADUAL_BEGAN := $(shell date +%s)
demo: ingredients ## a new fleet, release 1.0.0, load, then Epic 21 to 100 % of the users (leaves the fleet up)
	@sandbox/demo

fleet: ingredients ## a fleet that waits for its first release (GRADUAL_FLEET=…, default demo)
	@sandbox/ready

load: environment ## users of that fleet's site until Ctrl-C (RATE=…, requests a second, default 60)
	@.venv/bin/python -m tests.load --url https://storefront.test --ca .sandbox/tls/ca.pem --rate $(or $(RATE),60) \
	    --resolve storefront.test=$$(sandbox/fleet status --fleet $(or $(GRADUAL_FLEET),demo) | awk '$$1 == "lb1" {print $$2}')

# What a fleet is made of; the hosts' image is built while the environment is installed.
ingredients:
	@[ "$$(id -u)" = 0 ] || ! command -v sudo > /dev/null || sudo true
	@$(MAKE) --no-print-directory -j2 artifacts image
artifacts: environment
	@sandbox/secrets
	@.venv/bin/python examples/storefront/build
image:
	@sandbox/fleet image

environment: ## .venv with exactly what requirements/lock.txt names
	@requirements/install .venv $(PYTHON)

# The stories are played on these fleets side by side (sandbox/fleet knows their names).
FLEETS := test test2
# Debian of their hosts: 12 where nothing is said, 13, half (both), or a mix such as 12,app2=13.
ifdef DEBIAN
export GRADUAL_DEBIAN := $(DEBIAN)
endif
# However a run ends, its fleets go with it.
with-fleets = trap 'for fleet in $(FLEETS); do said=$$(sandbox/fleet down --fleet $$fleet 2>&1) || echo "$$said" >&2; done' EXIT; $(1)
QUIETLY := $(MAKE) --no-print-directory --output-sync=target

# The fast ones first. Nothing runs beside the stories and the machine: both keep the cores busy.
test: environment packages ## every test but the long ones on a fleet (make fleet-test)
	@$(QUIETLY) -j3 image second-environment lint
	@$(MAKE) --no-print-directory unit
	@$(QUIETLY) -j2 storefront-test rules-test
	@$(MAKE) --no-print-directory integrations-test database-test
	@if command -v node > /dev/null; then $(MAKE) --no-print-directory node-test; \
	else echo "test: no Node here, so integrations/node was not tested (make node-test installs it)"; fi
	@$(call with-fleets,$(QUIETLY) -j2 $(FLEETS:%=ready-%) && $(MAKE) --no-print-directory stories)
	@$(MAKE) --no-print-directory machine-test

# The stories play on the other ansible-core too where it is.
second-environment: environment
	@other=$$(requirements/other-python $(PYTHON)); [ -z "$$other" ] || requirements/install .venv-3.12 "$$other"

packages:
	@sandbox/packages openssl procps haproxy postgresql-15 pgbackrest pgbouncer sqitch libdbd-pg-perl prometheus prometheus-alertmanager

# Those of ansible-test's sanity tests that found faults here and take seconds; `make sanity` has all.
QUICK_SANITY := pep8 validate-modules
lint: environment ## ruff, mypy, ansible-lint, yamllint, antsibull, the quick ones of ansible-test
	ruff check .
	ruff format --check --quiet .
	mypy
	ansible-lint
	yamllint --strict .
	antsibull-docs lint-collection-docs --plugin-docs $(COLLECTION)
	cd $(COLLECTION) && antsibull-changelog lint
	@collections/ansible-test sanity $(QUICK_SANITY)

collection: environment ## the collection as one archive, roles and playbooks included, in .cache/collection (docs/installing.md)
	@collections/build

sanity: environment ## ansible-test's 24 sanity tests on that archive (minutes the first time); TEST="pep8 import" for some
	@collections/ansible-test sanity $(TEST)

galaxy-importer: environment ## what Galaxy checks when a collection is published, on that archive
	@collections/galaxy-importer

units: environment ## the unit tests under ansible-test, on that archive (make unit runs them faster, with all others)
	@collections/ansible-test units

# What imports ansible-core; the rest is plain Python, which the first environment tests.
WITH_ANSIBLE := plugins/action plugins/callback plugins/modules plugins/plugin_utils/test_*.py test_documentation.py
unit: environment ## the thinking, as tables; what uses ansible-core on the other Python and ansible-core too where they are
	GRADUAL_FLEETS="$(FLEETS)" $(PYTEST) -n 2 $(COLLECTION)/tests/unit tests/bench tests/load tests/sandbox tests/text tests/roles tests/awx
	@other=$$(requirements/other-python $(PYTHON)); if [ -n "$$other" ]; then \
	    requirements/install .venv-3.12 "$$other" && .venv-3.12/bin/python -m pytest $(WITH_ANSIBLE:%=$(COLLECTION)/tests/unit/%); \
	else echo "unit: no second Python here, so the other ansible-core was not tested"; fi

# The frameworks and servers have an environment of their own: nothing of them belongs to what Gradual runs with.
INTEGRATIONS := .cache/integrations-python
integrations:
	@mkdir -p .cache
	@requirements/install $(INTEGRATIONS) $(PYTHON) integrations/python/requirements.txt

integrations-test: integrations ## the library of the application contract, beside the real frameworks and servers
	PYTHONPATH=.:collections:integrations/python $(INTEGRATIONS)/bin/python -m pytest -c pyproject.toml integrations/python/tests

rules-test: environment packages ## alert rules, routes, the gate and the dashboard, on a Prometheus of the tests' own
	$(PYTEST) tests/rules tests/services

database-test: environment packages ## backups and migrations on a PostgreSQL of the tests' own
	$(PYTEST) -n 2 --dist loadfile tests/database tests/faults

storefront-test: environment packages ## the reference application on a PostgreSQL of the tests' own
	$(PYTEST) examples/storefront/tests

node-test: environment ## the Node library beside Express, Fastify and plain http, and its users held against Python's
	@integrations/node/check

$(FLEETS:%=ready-%): ready-%: environment
	@GRADUAL_FLEET=$* sandbox/ready --fresh

# STORIES=all plays the long ones too (tests/fleet/conftest.py says which); ONLY is an expression for pytest's -k.
stories: environment
	GRADUAL_FLEETS="$(FLEETS)" $(PYTEST) $(if $(filter all,$(STORIES)),,-m "not long") $(if $(ONLY),-k "$(ONLY)") --verbose -n $(words $(FLEETS)) --dist loadgroup --no-loadscope-reorder \
	    --max-worker-restart 0 --durations 40 --durations-min 20 tests/fleet tests/runner

fleet-test: environment ## every story on fleets of its own (test and test2, side by side), by Molecule and ansible-runner (DEBIAN=13 or half, ONLY="good-release")
	@$(call with-fleets,$(QUIETLY) -j2 $(FLEETS:%=ready-%) && $(QUIETLY) stories STORIES=all)

# What differs between two releases of Debian shows in these: services, Python, PostgreSQL and its standby, HAProxy.
debian-test: ## good release, rollback and database failover on Debian 13, then on a fleet of 12 and 13
	@set -e; for debian in 13 half; do \
	    $(MAKE) --no-print-directory fleet-test DEBIAN=$$debian ONLY="test_stories and (good-release or rollback or database)"; done

# One after another: each makes and removes the fleet `role`.
role-test: environment ## one scenario for each provisioning role on one host (not part of make test)
	@set -e; for role in $(notdir $(wildcard molecule/role-*)); do PATH=$(CURDIR)/.venv/bin:$$PATH molecule test --scenario-name $$role; done

machine-test: environment ## the README's first command on a machine of its own where nothing was ever installed
	$(PYTEST) tests/machine

bench-gates: environment ## Argo, Flagger, Kayenta and ours on the same simulated ramps: docs/bench-gates.md (BENCH="--quick --out FOLDER": a tenth, elsewhere)
	@PYTHONPATH=collections:. python -m tests.bench.gates $(BENCH)

bench-locks: environment packages ## what one ALTER with a long transaction in its way costs the users, by strategy: docs/bench-locks.md (BENCH="--rounds 1 --out FOLDER")
	@PYTHONPATH=collections:. python -m tests.bench.locks $(BENCH)

bench-lint: environment packages ## how often migration_lint is right on a corpus of migrations, tried on a real server: docs/bench-lint.md (BENCH="--case TEXT --out FOLDER")
	@PYTHONPATH=collections:. python -m tests.bench.lint $(BENCH)

bench-projects: environment packages ## five public projects from PyPI, migrated to their next release by their own tools and by Gradual: docs/bench-projects.md (BENCH="--project TEXT --rounds 1 --out FOLDER")
	@PYTHONPATH=collections:. python -m tests.bench.projects $(BENCH)

bench-backup: environment packages ## taking, proving and restoring backups, beside the raw tools: docs/bench-backup.md (BENCH="--rounds 1 --megabytes 100 --out FOLDER")
	@PYTHONPATH=collections:. python -m tests.bench.backups $(BENCH)

bench-look: environment ## what one look of the gate costs in time of our own, also after 2,000 looks, and how many traces a second replay judges
	@PYTHONPATH=collections:. python -m tests.bench.speed

bench-integrations: integrations ## what the library of the application contract costs: docs/integrations.md (BENCH="--rounds 1 --seconds 1")
	@$(INTEGRATIONS)/bin/python -m integrations.python.bench $(BENCH)

bench-preload: environment ## what loading the plugins once, in the parent process, saves of the controller's CPU
	@PYTHONPATH=collections:. python -m tests.bench.preload

bench-safety: environment ## from the first bad answer to safe users, on a real fleet: docs/bench-safety.md (BENCH="--rounds 10 --rates 20,60,200 --out FOLDER")
	@GRADUAL_FLEET=$(firstword $(FLEETS)) PYTHONPATH=collections:. python -m tests.bench.safety $(BENCH)

bench-scale: environment ## switching and rolling back 3, 6 and 10 hosts, in waves and one by one, beside Ansistrano's steps: docs/bench-scale.md (BENCH="--hosts 6 --out FOLDER")
	@GRADUAL_FLEET=dev1 PYTHONPATH=collections:. python -m tests.bench.scale $(BENCH)

bench-node: ## what the Node library costs a service: requests a second, CPU and median time, with and without it
	@cd integrations/node && node bench.js $(BENCH)

bench-faults: environment packages ## every fault that a backup or a migration has to survive, and what finds damage in a backup: docs/bench-faults.md
	@PYTHONPATH=collections:. python -m tests.faults $(BENCH)

replay: environment ## what the gate would have said of recorded counts (COUNTS=file.json [GATE=gate.yml]): docs/gates.md
	@test -n "$(COUNTS)" || { echo "replay: which counts? make replay COUNTS=file.json [GATE=gate.yml]" >&2; exit 2; }
	@PYTHONPATH=collections python -m ansible_collections.gradual.rollout.plugins.module_utils.gate.replay $(COUNTS) $(GATE)

contract-check: environment ## what a running application lacks of the application contract (URL=http://… [FEATURES=search,feed] [ARGS="-e …"])
	@test -n "$(URL)" || { echo "contract-check: which application? make contract-check URL=http://127.0.0.1:8080" >&2; exit 2; }
	@ansible-playbook -i localhost, -c local playbooks/contract_check.yml -e url=$(URL) $(if $(FEATURES),-e features=$(FEATURES)) $(ARGS)

new-application: environment ## the files of a new application, ready for a first release (NAME=shop [LANGUAGE=node] [DATABASE=none] [FOLDER=…]): docs/new-application.md
	@test -n "$(NAME)" || { echo "new-application: which name? make new-application NAME=shop" >&2; exit 2; }
	@ansible-playbook -i localhost, playbooks/new_application.yml -e name=$(NAME) $(if $(LANGUAGE),-e language=$(LANGUAGE)) \
	    $(if $(DATABASE),-e database=$(DATABASE)) $(if $(FOLDER),-e folder=$(FOLDER))

LEDGER ?= .sandbox/demo/record/ledger.jsonl
REPORT ?= $(shell ls -td .sandbox/demo/record/reports/*/ 2> /dev/null | head -1)
check-report: environment ## recompute every claim of a report from its ledger (LEDGER=file REPORT=folder; default: the demo's newest)
	@test -f "$(LEDGER)" -a -d "$(REPORT)" || { echo "check-report: no record of a demo here; give LEDGER=file REPORT=folder" >&2; exit 2; }
	@PYTHONPATH=collections python -m ansible_collections.gradual.rollout.plugins.module_utils.report.check $(LEDGER) $(REPORT)

lock: environment ## resolve requirements.in, and that of the integrations, again
	cd requirements && ../.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-emit-index-url --no-header --quiet --upgrade --output-file lock.txt requirements.in
	cd integrations/python && ../../.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-emit-index-url --no-header --quiet --upgrade --output-file requirements.txt pyproject.toml requirements.in

clean: ## remove all that was made: fleets of the demo and of the tests, images, environments, state
	@for fleet in demo $(FLEETS); do sandbox/fleet down --fleet $$fleet || true; done
	@sandbox/fleet remove-images
	rm -rf .venv .venv-3.12 .sandbox .gradual .cache .ansible .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f inventories/sandbox/group_vars/all/vault.yml
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help demo fleet load ingredients artifacts image environment packages test $(FLEETS:%=ready-%) stories lint collection sanity units galaxy-importer unit second-environment rules-test database-test storefront-test fleet-test debian-test role-test machine-test bench-gates bench-locks bench-lint bench-projects bench-backup bench-look bench-preload bench-safety bench-scale bench-faults replay contract-check new-application check-report lock node-test bench-node integrations integrations-test bench-integrations clean
