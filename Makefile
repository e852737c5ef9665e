# The commands of a contributor. `make` without a target lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
BIN := target/release
# Built in a third of the time of a release; what is measured is always the static binaries.
DEMO := target/demo
# The directory into which `make tools` installs.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keysluice/tools
export PATH := $(TOOLS)/bin:$(TOOLS)/typos/bin:$(PATH)
# The commit that `--version` prints; set only for release builds, so that a commit does not rebuild everything.
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
build static: export KEYSLUICE_COMMIT := $(COMMIT)

.PHONY: help
help: ## Lists the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Runs the guides' manifests end to end: webhook, sidecar, files, a Secret, a rotation; a legacy SDK, a pipeline step; VERBOSE=1 prints all
	$(CARGO) build --profile demo -p keysluice -p keysluice-injector -p keysluice-demo
	$(DEMO)/keysluice-demo --bin-dir $(DEMO) --data tests/data $(if $(VERBOSE),--verbose)

.PHONY: build
build: ## Builds both binaries into target/release (the sidecar with its own profile for size)
	$(CARGO) build --release -p keysluice
	$(CARGO) build --profile injector -p keysluice-injector
	@cp -f target/injector/keysluice-injector $(BIN)/keysluice-injector

.PHONY: man
man: ## Writes manual pages of keysluice into target/man
	$(CARGO) run --quiet --example man -- target/man

.PHONY: test
# Each `cargo test` has --workspace: what `make test` built is not built again with fewer features.
# Tests wait for timers and processes most of the time: twice as many threads as CPUs halve the time.
test: export RUST_TEST_THREADS ?= 8
test: ## Runs all tests that need only Rust and a C compiler
	$(CARGO) build -p keysluice-injector
	$(CARGO) test --workspace

.PHONY: soak
soak: ## Runs the property tests with other seeds, ROUNDS (10) times, and prints each seed; then test-peers, and 100 rotations
	$(CARGO) build -p keysluice-injector
	@set -e; for round in $$(seq $(or $(ROUNDS),10)); do \
		seed=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' '); echo "round $$round: PROPTEST_RNG_SEED=$$seed"; \
		PROPTEST_RNG_SEED=$$seed PROPTEST_CASES=$(or $(CASES),4096) $(CARGO) test --quiet --workspace \
			|| { echo "failed with PROPTEST_RNG_SEED=$$seed; keep the printed case as a test"; exit 1; }; \
	done
	@if [ "$$(id -u)" = 0 ] && command -v go >/dev/null; then $(MAKE) --no-print-directory test-peers; \
		KEYSLUICE_ROTATIONS=100 $(MAKE) --no-print-directory test-cluster \
			ONLY='replaced_pods_never containers_that_restart an_application_that_checks_itself'; \
	else echo "not root, or go is not installed: the tests of the migration pages are skipped"; fi

.PHONY: test-hold
test-hold: static ## Attacks the static webhook under the chart's memory limit, with three times the load of the known attacks, and checks times (root, cgroups)
	KEYSLUICE_HOLD_BINARY=$(CURDIR)/target/static/keysluice KEYSLUICE_HOLD_TIMED=1 KEYSLUICE_REQUIRE_CGROUP=1 \
		$(CARGO) test --workspace --test tests -- --nocapture --test-threads 1 hold

.PHONY: test-load
test-load: ## Runs the two load tests longer: 60 s of certificate and CA rotation, 20 replacements of replicas
	KEYSLUICE_LOAD_SECONDS=60 KEYSLUICE_LOAD_CYCLES=20 $(CARGO) test --workspace --test tests -- --nocapture no_review_fails

.PHONY: test-sdk
test-sdk: ## Reads a secret with Microsoft's SDKs for Rust, Python, Node, Go and Java (root or user namespaces; gets what is missing); LANGUAGES=… chooses
	tests/sdk/run

.PHONY: test-cluster
test-cluster: ## Tests on a real Kubernetes with a node (root, Go; builds Kubernetes once, some minutes); ONLY=NAME selects, FIGURES=1 measures more
	tests/cluster/prepare
	$(MAKE) --no-print-directory images
	@$(ENCLOSURE); \
	$(CARGO) test --workspace --test api_server --test chart -- --nocapture --ignored $(if $(FIGURES),,--skip figures); \
	$(if $(FIGURES),KEYSLUICE_FIGURES=1) $(CARGO) test --workspace --test scenarios -- --ignored $(ONLY)

.PHONY: test-peers
test-peers: ## Follows the migration pages with the real cert-manager, CSI driver and Azure Workload Identity (as above; builds them once, some minutes); ONLY=… chooses
	tests/cluster/prepare
	$(MAKE) --no-print-directory images
	@$(ENCLOSURE); export KEYSLUICE_PEERS; KEYSLUICE_PEERS=$$(tests/cluster/peers/build.sh); \
	$(CARGO) test --workspace --test scenarios -- --ignored $(ONLY)

.PHONY: cluster-programs
cluster-programs: ## Builds the programs of the tests on a cluster into the user's cache directory (root, Go; once, 10 minutes and more)
	tests/cluster/prepare
	tests/cluster/components/build.sh
	scripts/helm version --short
	tests/cluster/images/build.sh

# The environment of the tests on a cluster; builds the components that are missing.
ENCLOSURE = set -e; export KEYSLUICE_COMPONENTS KEYSLUICE_HELM KEYSLUICE_TEST_IMAGES; \
	KEYSLUICE_COMPONENTS=$$(tests/cluster/components/build.sh); \
	KEYSLUICE_TEST_IMAGES=$$(tests/cluster/images/build.sh); \
	scripts/helm version --short; KEYSLUICE_HELM=$$(scripts/helm --path); \
	export KEYSLUICE_BINARY=$(CURDIR)/target/static/keysluice KEYSLUICE_IMAGES=$(CURDIR)/target/images

.PHONY: tools
tools: ## Installs the checkers that `make lint`, `make fuzz` and `make book` use into the user's cache directory
	@./scripts/tools

.PHONY: fuzz
fuzz: ## Runs each fuzz target for EACH (30) seconds; TARGETS=NAMES selects (needs a C++ compiler)
	./scripts/fuzz $(or $(EACH),30) $(TARGETS)

.PHONY: msrv
msrv: ## Checks that the oldest compiler of Cargo.toml's rust-version builds everything (needs rustup)
	./scripts/msrv

.PHONY: lint
lint: ## Checks format, clippy, lock files, spelling, licences (the last two if their tools are installed)
	$(CARGO) fmt --all --check
	$(CARGO) metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if command -v typos >/dev/null; then typos; else echo "typos is not installed: spelling not checked"; fi
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: licences not checked"; fi

.PHONY: book
book: ## Builds the pages of docs/ as a book with search (target/book), and checks its links (needs make tools and Python)
	./scripts/book

.PHONY: lint-chart
lint-chart: ## Checks the chart against Kubernetes 1.30 to 1.37, and its renderings (needs Go and Python; builds Helm once)
	./scripts/lint-chart

.PHONY: test-alerts
test-alerts: ## Checks alerts and dashboards: promtool, then a Prometheus that scrapes the real programs (needs Go; builds both once, some minutes)
	scripts/helm version --short
	scripts/prometheus promtool --version
	$(CARGO) build -p keysluice-injector
	KEYSLUICE_NEED_PROMETHEUS=1 KEYSLUICE_NEED_HELM=1 $(CARGO) test --workspace --test tests -- monitoring::

.PHONY: dashboards
dashboards: ## Draws docs/pictures/dashboard-*.svg from twelve minutes of a Prometheus that scrapes the real programs (needs Go and Python)
	scripts/helm version --short
	scripts/prometheus promtool --version
	$(CARGO) build --profile demo -p keysluice -p keysluice-injector
	$(CARGO) test --workspace --test tests -- --ignored --nocapture monitoring::picture::draws_the_dashboards

.PHONY: bench
bench: static ## Measures the sidecar's size, memory, times and calls, and the webhook's speed
	$(CARGO) build --quiet --profile demo -p keysluice-demo
	$(DEMO)/keysluice-demo --figures --injector target/static/keysluice-injector
	$(MAKE) --no-print-directory bench-webhook bench-memory

.PHONY: figures
figures: static ## Fails if a figure of the static sidecar is more than 15 % above tests/demo/figures.json (a shorter bench)
	$(CARGO) build --quiet --profile demo -p keysluice-demo
	$(DEMO)/keysluice-demo --figures --injector target/static/keysluice-injector --starts 50 --refreshes 1000 --idle 20 \
		--reads 100000 --baseline tests/demo/figures.json

.PHONY: bench-webhook
bench-webhook: static ## Measures the webhook's speed compared with a TLS echo server, and instructions per review (wrk and valgrind, if installed)
	$(CARGO) build --quiet --release -p keysluice-bench
	$(BIN)/keysluice-bench compare --bin-dir target/static --rounds 5
	@if [ "$$(id -u)" = 0 ]; then $(BIN)/keysluice-bench limited --bin-dir target/static; else echo "not root: the run with a CPU limit is skipped"; fi
	$(CARGO) bench --quiet -p keysluice --bench review
	@if command -v valgrind >/dev/null; then ./scripts/instructions; else echo "valgrind is not installed: instructions not counted"; fi

.PHONY: bench-memory
bench-memory: static ## Measures the webhook's memory, time to ready and first review with 0 to 50,000 ServiceAccounts (needs Go; builds Kubernetes once)
	@set -e; if command -v go >/dev/null; then \
		KEYSLUICE_COMPONENTS=$$(tests/cluster/components/build.sh) KEYSLUICE_BINARY=$(CURDIR)/target/static/keysluice \
			$(CARGO) test --workspace --test api_server -- --nocapture --ignored figures; \
	else echo "go is not installed: memory with many ServiceAccounts not measured"; fi

.PHONY: static
static: ## Builds static binaries: the sidecar for musl (if the target is missing, fails with the command that installs it), the webhook for glibc; ARCH=x86_64 or aarch64
	./scripts/static $(ARCH)

.PHONY: hot
hot: ## Measures anew which functions of the static programs run, so that they stand together (scripts/hot; root, Go)
	./scripts/hot/measure

.PHONY: profile
profile: ## Measures anew how often each branch of the webhook runs, for its static program (scripts/hot; llvm-tools of the compiler)
	./scripts/hot/profile

.PHONY: test-static
test-static: export KEYSLUICE_TEST_BINARY = $(CURDIR)/target/static/keysluice-injector
test-static: static ## Runs the sidecar's tests with the static binary
	$(CARGO) test --workspace --test injector -- --nocapture --test-threads 1 figures::
	$(CARGO) test --workspace --test injector -- --test-threads 8 --skip figures::

.PHONY: images
images: static ## Builds the OCI archives of webhook and injector into target/images (needs buildah); ARCH as above
	./scripts/images $(ARCH)
