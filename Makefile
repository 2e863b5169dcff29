# Every verb works on a fresh machine: each begins with `setup`, which is instant when all is there.
PYTHON := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := tests

.PHONY: help setup demo test lint generate verify bench faults pictures corpus lock

help: ## list the verbs
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: ## install what the tests need: Debian packages, Python environment, Kubernetes control plane
	@python3 tests/testbed/setup.py

demo: ## the main job on real components; KEEP=1 leaves it running; NODE=real on a real node, by its own image
	@python3 tests/testbed/setup.py $(if $(filter real,$(NODE)),,--demo)
	@$(PYTHON) tests/demo/$(if $(filter real,$(NODE)),real,demo).py $(if $(KEEP),--keep)

test: setup lint verify ## everything that must hold
	@$(PYTHON) -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: setup ## formatting, style, types, layers
	@ruff format --check --quiet && ruff check --quiet
	@mypy
	@lint-imports --no-logo --no-cache
	@hadolint Dockerfile

generate: setup ## write the generated files: CRD, permissions, tables of reasons
	@$(PYTHON) -m hack.generate

verify: setup ## fail when a generated file is out of date
	@$(PYTHON) -m hack.generate --verify

pictures: setup ## take the pictures in docs/pictures, of the demo's installations in a browser
	@$(PYTHON) tests/demo/pictures.py

corpus: setup ## record what a real kubelet says of each staged state; ARGS=FOLDER for another containerd
	@$(PYTHON) -m testbed.recording $(ARGS)

bench: setup ## measure the budgets of the design; ARGS="-o json" for machines
	@$(PYTHON) -m bench $(ARGS)

faults: setup ## the page docs/faults.md, measured here; FULL=1 for floods of full size
	@$(PYTHON) -m faults

.PHONY: release
release: setup ## build what a release publishes into dist/; publishes nothing
	@$(PYTHON) -m hack.release

lock: ## resolve the dependencies anew
	@uv pip compile --quiet --universal --upgrade --generate-hashes --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" pyproject.toml --all-extras -o requirements.lock
	@uv pip compile --quiet --universal --upgrade --generate-hashes --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" pyproject.toml --all-extras --group dev -o requirements-dev.lock
	@echo 'hatchling>=1.27' | uv pip compile --quiet --universal --upgrade --generate-hashes --no-annotate \
	  --no-emit-index-url --custom-compile-command "make lock" - -o requirements-build.lock

.PHONY: imagefaults
imagefaults: setup ## the faults, with the operator of the image and on its Python
	@$(PYTHON) -m faults.image
