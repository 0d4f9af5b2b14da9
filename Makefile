# PCLive: every target that a person calls has a line of help behind ##.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BUILD    := build
JOBS     ?= $(shell nproc)
DIST     := $(BUILD)/dist
PREFIX   ?= /usr/local
STRATEGY ?= pipelined
HOST     ?= a

export LAB_SUITE ?= bookworm

TS_SOURCES := $(shell find shim runtime native/addon test -name '*.ts' 2>/dev/null)
PROTOS     := $(shell find protos -name '*.proto')

.PHONY: help
help: ## List what can be made
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Building -------------------------------------------------------------------

.PHONY: deps
deps: $(BUILD)/.deps ## Install the Debian packages that building and testing need
$(BUILD)/.deps: install/deps.sh
	@mkdir -p $(BUILD)
	install/deps.sh
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json
	npm ci
	@touch $@

$(BUILD)/protos/.done: $(PROTOS) install/protos.sh node_modules/.package-lock.json
	install/protos.sh $(BUILD)/protos
	@touch $@

.PHONY: js
js: $(BUILD)/js/.done ## Compile the TypeScript
$(BUILD)/js/.done: $(TS_SOURCES) tsconfig.json $(BUILD)/protos/.done node_modules/.package-lock.json
	npx tsc -p tsconfig.json
	@touch $@

.PHONY: engine addon criu
engine: $(BUILD)/.deps ## Build the migration engine (C++)
	$(MAKE) -j $(JOBS) -C native/engine OUT=$(abspath $(BUILD)/native/engine) engine

addon: $(BUILD)/.deps node_modules/.package-lock.json ## Build the Node addon
	install/addon.sh $(BUILD)/native/addon

criu: $(BUILD)/.deps ## Fetch CRIU's source and build it with the overlay
	install/criu.sh $(BUILD)/criu

.PHONY: build
build: js engine addon criu ## Build everything and put it in build/dist
	install/dist.sh $(BUILD) $(DIST)

.PHONY: install
install: build ## Install into PREFIX (default /usr/local)
	install/install.sh $(DIST) $(PREFIX)

.PHONY: deb
deb: build ## Make the Debian package, build/deb/pclive_VERSION_ARCH.deb
	install/deb.sh $(DIST) $(BUILD)/deb

.PHONY: ttrpc-package
ttrpc-package: node_modules/.package-lock.json ## Make the npm package ttrpc-ts of shim/ttrpc, in build/ttrpc-ts
	shim/ttrpc/pack.sh $(BUILD)/ttrpc-ts

# Go's own ttrpc, for the interoperability tests.
$(BUILD)/test/ttrpc-peer: $(wildcard test/programs/ttrpc-peer/*)
	cd $(<D) && CGO_ENABLED=0 "$$($(CURDIR)/install/go.sh)" build -trimpath -o $(abspath $@) .

## Checking -------------------------------------------------------------------

.PHONY: lint
lint: node_modules/.package-lock.json $(BUILD)/.deps ## Check format and style of every language here
	install/lint.sh

.PHONY: format
format: node_modules/.package-lock.json $(BUILD)/.deps ## The same, and mend what can be mended
	install/lint.sh --fix

.PHONY: test
test: build lab-images $(BUILD)/test/ttrpc-peer ## Set up and run every test: lint, native, unit, model, end to end
	test/run.sh all

.PHONY: test-unit test-native test-sanitizers test-model test-robustness test-e2e test-deb conformance test-softdirty
test-unit: build $(BUILD)/test/ttrpc-peer ## Unit and integration tests only
	test/run.sh unit integration
test-native: $(BUILD)/.deps ## Tests of the engine and of the CRIU overlay
	test/run.sh native
test-sanitizers: $(BUILD)/.deps ## The tests of the engine and of the Node addon under ASan and UBSan
	SAN=1 test/native/engine/run.sh
	test/native/addon/sanitizers.sh
test-model: $(BUILD)/.deps ## Check the handover protocol's model with spin
	test/run.sh model
test-robustness: build lab-images ## Hundreds of containers, kills of containerd and shims, gigabytes of output (half an hour)
	test/robustness/run.sh full
test-e2e: build lab-images ## End-to-end tests in the two-host lab
	test/run.sh e2e
test-deb: build ## The Debian package on hosts of Debian 12 and 13 (minutes; needs the archives of Debian)
	test/deb/run.sh
conformance: build lab-images ## Our shim beside the stock one, call by call; CONFORMANCE_SUITES="bookworm trixie forky"
	test/conformance/run.sh

.PHONY: fuzz
fuzz: js addon ## Fuzz what reads bytes from outside: FUZZ_SECONDS (60) for each of FUZZ_TARGETS (all)
	test/fuzz/run.sh

test-softdirty: build lab-images ## A whole migration between two QEMU guests with soft-dirty
	test/softdirty/run.sh

.PHONY: test-cgroup2
test-cgroup2: build lab-images $(BUILD)/test/ttrpc-peer ## Our shim beside the stock one with cgroup v2 and systemd, in a QEMU guest
	test/cgroup2/run.sh

.PHONY: test-clients
test-clients: build lab-images ## ctr, Docker, nerdctl and crictl of three generations against PCLive
	test/clients/tools.sh nerdctl
	test/clients/tools.sh crictl
	test/clients/run.sh

## The lab --------------------------------------------------------------------

.PHONY: lab-images lab-up lab-shell clean-lab
lab-images: $(BUILD)/.deps ## Build the hosts' root file system and the container images
	test/lab/images.sh
lab-up: build lab-images ## Start two hosts (a, b) and a client on this machine
	test/lab/lab up
lab-shell: ## A shell on a host of the lab: make lab-shell HOST=a
	test/lab/lab shell $(HOST)
clean-lab: ## Stop the lab and take away all that it left on this machine
	test/lab/lab down
	rm -rf --one-file-system $(BUILD)/lab

.PHONY: demo bench
demo: build lab-images ## Move a Redis under load from host a to host b (STRATEGY=all for all three)
	node $(BUILD)/js/test/demo/main.js --strategy $(STRATEGY)
bench: build lab-images ## Measure downtime; npm run bench -- --help tells the rest
	node $(BUILD)/js/test/bench/main.js downtime --quick

.PHONY: clean
clean: ## Remove what was built (the caches too)
	rm -rf --one-file-system $(BUILD)
