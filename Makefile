# Set-up, build, test and demonstration. Needs cargo, a C++ compiler, make, and python3 with pip.
# After `make libtorch` plain `cargo build`, `cargo test` and editors work as well.

CARGO ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help libtorch build wheel release test test-avx2 demo check deny fuzz zoo bench gpu-check fashion-mnist clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

libtorch: ## Find or install libtorch 2.11 (1 GB, once per user; CUDA=1: all of CUDA, 6 GB) and tell cargo where it is
	@$(PYTHON) .ci/libtorch.py $(if $(CUDA),--cuda)

build: libtorch ## Build target/release/ckaprune
	$(CARGO) build --locked --release

test: libtorch ## Run all tests
	$(CARGO) test --locked

# What computes differently there: training and going on with it, measuring, repair, scoring and our own convolutions.
test-avx2: libtorch ## Run the tests of numbers again as on a processor without AVX-512
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(CARGO) test --locked --lib --test training --test sittings \
		--test repair --test scoring --test inference --test robustness --test similarity
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(CARGO) test --locked --test cli -- \
		training resume targets statistics criteria compare gates

demo: build ## Prune the network that the program carries: the result lies under target/demo
	$(TARGET)/release/ckaprune demo --output $(TARGET)/demo --force

check: libtorch ## Check formatting and lints, with and without libtorch
	@for tool in fmt clippy; do $(CARGO) $$tool --version >/dev/null 2>&1 || \
		{ echo "make check needs cargo $$tool: rustup component add rustfmt clippy" >&2; exit 1; }; done
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --all-targets --no-default-features -- -D warnings

# FULL names a program that is built already: no cargo is needed for it.
wheel: $(if $(FULL),,build) ## Make the wheel that pip installs beside torch 2.11: target/wheel/dist
	@$(PYTHON) .ci/wheel.py $(FULL)

release: wheel ## Make all files of a release: target/release-files
	@$(PYTHON) .ci/release.py

deny: ## Check licences, duplicate versions and known faults of all dependencies (installs cargo-deny)
	@.ci/deny.sh

# One target, or all of them one after another; seconds for each.
FUZZ ?= zip pickle parse print blocks patch exported data
FUZZ_SECONDS ?= 1200

fuzz: ## Run the fuzz targets for 20 minutes each (needs cargo-fuzz and a nightly compiler; fuzz/README.md)
	@fuzz/run $(FUZZ_SECONDS) $(FUZZ)

# ZOO names models, FAMILIES those of timm ("all"); only what is named runs, or everything.
ZOO_JOBS ?= 1
ZOO_PYTHON ?= $(TARGET)/zoo/bin/python

# Pip runs again where the requirements have changed.
$(TARGET)/zoo/installed: tests/zoo/requirements.txt
	$(PYTHON) -m venv $(TARGET)/zoo
	$(TARGET)/zoo/bin/pip install --quiet --requirement $<
	@touch $@

zoo: build $(if $(filter $(TARGET)/zoo/bin/python,$(ZOO_PYTHON)),$(TARGET)/zoo/installed) ## Check removals against PyTorch on a zoo of models (needs torch, torchvision, timm)
	$(ZOO_PYTHON) tests/zoo/operators.py
	$(ZOO_PYTHON) tests/zoo/transforms.py --ckaprune $(TARGET)/release/ckaprune
	$(ZOO_PYTHON) tests/zoo/shapes.py --ckaprune $(TARGET)/release/ckaprune
	$(ZOO_PYTHON) tests/zoo/exported_run.py --ckaprune $(TARGET)/release/ckaprune
	$(ZOO_PYTHON) tests/zoo/answers.py --ckaprune $(TARGET)/release/ckaprune
	$(ZOO_PYTHON) tests/zoo/trainers.py --ckaprune $(TARGET)/release/ckaprune
	$(ZOO_PYTHON) tests/zoo/inside.py --ckaprune $(TARGET)/release/ckaprune
	$(if $(if $(ZOO),,$(FAMILIES)),,$(ZOO_PYTHON) tests/zoo/zoo.py --ckaprune $(TARGET)/release/ckaprune --jobs $(ZOO_JOBS) $(ZOO))
	$(if $(if $(FAMILIES),,$(ZOO)),,$(ZOO_PYTHON) tests/zoo/sweep.py --ckaprune $(TARGET)/release/ckaprune --jobs $(ZOO_JOBS) $(FAMILIES))

# The zoo's Python where it was made; without torch these say so and are skipped.
BENCH_PYTHON ?= $(or $(wildcard $(ZOO_PYTHON)),$(PYTHON))

# BENCH and GPU_CHECK are options of the two programs. CKAPRUNE names a program that is built already: no cargo is needed.
bench: $(if $(CKAPRUNE),,build) ## Time scoring, evaluation and training beside eager PyTorch (an hour; benches/README.md)
	$(BENCH_PYTHON) benches/bench.py --ckaprune $(or $(CKAPRUNE),$(TARGET)/release/ckaprune) $(BENCH)

gpu-check: $(if $(CKAPRUNE),,build) ## Check and time everything on a GPU (eight minutes; benches/README.md)
	$(BENCH_PYTHON) benches/gpu.py --ckaprune $(or $(CKAPRUNE),$(TARGET)/release/ckaprune) $(GPU_CHECK)

# A network with random weights; everything else is in the configuration.
fashion-mnist: build $(TARGET)/zoo/installed ## Train ResNet-20 on Fashion-MNIST and prune it to half (an hour; needs Debian's dataset-fashion-mnist)
	@mkdir -p $(TARGET)/fashion-mnist
	$(TARGET)/zoo/bin/python benches/networks.py resnet20 28 $(TARGET)/fashion-mnist/resnet20.pt 1
	$(TARGET)/release/ckaprune prune --config configs/fashion-mnist.json --model $(TARGET)/fashion-mnist/resnet20.pt \
		--output $(TARGET)/fashion-mnist/pruned.pt --run-dir $(TARGET)/fashion-mnist/run $(FASHION_MNIST)

clean: ## Remove what was built (the installed libtorch stays)
	$(CARGO) clean
