# The commands of daily work; `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SQLC_VERSION := v1.31.1
LINT_VERSION := v2.12.2

# A tool's folder carries its version, so a new version is a missing file.
SQLC := $(CURDIR)/.tools/sqlc-$(SQLC_VERSION)/sqlc
LINT := $(CURDIR)/.tools/golangci-lint-$(LINT_VERSION)/golangci-lint

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMPOSE_MODULES := graph/compose/node_modules/.package-lock.json
WEB_MODULES := web/playground/node_modules/.package-lock.json
CLIENT_MODULES := web/clients/node_modules/.package-lock.json
WEB_BUILT := web/dist/playground/index.html
WEB_SOURCES := $(shell find web/playground -path '*/node_modules' -prune -o -path '*/e2e' -prune -o -type f -print)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install PostgreSQL 15 and Redis where they are missing
	@scripts/setup.sh postgresql redis

.PHONY: run
run: setup build ## Build and serve at 127.0.0.1:8001 (ARGS="--listen …" adds flags)
	@exec bin/tradesage dev $(ARGS)

.PHONY: db-reset
db-reset: ## As run, but remove the development data first
	@$(MAKE) --no-print-directory run ARGS="--reset $(ARGS)"

.PHONY: build
build: web-or-stub ## Build bin/tradesage, with the playground where Node is installed
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/tradesage ./cmd/tradesage

.PHONY: web
web: ## Build the playground that bin/tradesage serves (needs Node)
	@scripts/setup.sh node
	@$(MAKE) --no-print-directory $(WEB_BUILT)

# Go alone builds the program: without Node a page says that the playground is missing.
.PHONY: web-or-stub
web-or-stub:
	@if scripts/has-node.sh; then \
		$(MAKE) --no-print-directory $(WEB_BUILT); \
	else \
		echo "build: no Node 20.19 or later, so /playground will only say that it is not built"; \
	fi

.PHONY: test-web
test-web: setup ## Try the API with the clients of frontends, the playground in a real browser (SCREENSHOTS=folder keeps pictures)
	@scripts/setup.sh node chromium
	@$(MAKE) --no-print-directory build $(CLIENT_MODULES)
	cd web/clients && npm run --silent check && npm run --silent test
	cd web/playground && npm run --silent check && node --experimental-websocket --test --test-reporter=spec e2e/*.test.mjs

.PHONY: test
test: setup ## Run all tests
	@scripts/setup.sh pgbouncer
	go test ./...

.PHONY: test-race
test-race: ## Run all tests in random order under the race detector
	@scripts/setup.sh postgresql redis pgbouncer compiler
	CGO_ENABLED=1 go test -race -shuffle=on -count=1 ./...

.PHONY: fuzz
fuzz: setup ## Run every fuzz target for a while each (FUZZTIME=10s)
	@scripts/fuzz.sh $(or $(FUZZTIME),10s)

.PHONY: image
image: web-or-stub ## Build bin/image, an OCI layout (ARGS="-tarball FILE", "-platform linux/arm64")
	@cd deploy/image && go run . -version '$(VERSION)' -revision "$$(git rev-parse HEAD 2>/dev/null)" \
		-created "$$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 1970-01-01T00:00:00Z)" $(ARGS)

.PHONY: test-image
test-image: ## Build the image, unpack it, and start the program from it
	cd deploy/image && go vet . && go test -count=1 .

.PHONY: bench
bench: setup ## Measure against the budgets (ARGS="-quick", "-json FILE", "-compare FILE", names)
	@go build -o bin/bench ./cmd/bench
	@bin/bench $(ARGS)

.PHONY: generate
generate: $(SQLC) ## Write all generated code anew: queries, GraphQL, supergraph
	$(SQLC) generate
	@$(MAKE) --no-print-directory compose
	go run ./graph/codegen

.PHONY: compose
compose: $(COMPOSE_MODULES) ## Compose the subgraphs' schemas into the supergraph
	node graph/compose/compose.mjs
	node graph/compose/compose.mjs --from cmd/bench/graph --out cmd/bench/graph

.PHONY: check-generate
check-generate: generate ## Fail when generating changes a committed file
	$(SQLC) vet
	@scripts/check-generate.sh

.PHONY: fmt
fmt: $(LINT) ## Format the Go code
	$(LINT) fmt

.PHONY: lint
lint: $(LINT) ## Run the linters
	GOLANGCI_LINT_CACHE='$(CURDIR)/bin/lint-cache' $(LINT) run

.PHONY: tools
tools: $(SQLC) $(LINT) ## Build the tools that generate and lint need (minutes, once)

.PHONY: ci
ci: ## All that CI checks
	.ci/run

# Built without cgo: the binaries need no compiler and no libc of this machine.
$(SQLC):
	CGO_ENABLED=0 GOBIN=$(@D) go install github.com/sqlc-dev/sqlc/cmd/sqlc@$(SQLC_VERSION)

$(LINT):
	CGO_ENABLED=0 GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

$(WEB_BUILT): $(WEB_MODULES) $(WEB_SOURCES)
	cd web/playground && npm run --silent build
	@touch $@

$(WEB_MODULES): web/playground/package-lock.json
	cd web/playground && npm ci --ignore-scripts --no-audit --no-fund
	@mkdir -p $(@D) && touch $@

$(CLIENT_MODULES): web/clients/package-lock.json
	cd web/clients && npm ci --ignore-scripts --no-audit --no-fund
	@mkdir -p $(@D) && touch $@

$(COMPOSE_MODULES): graph/compose/package-lock.json
	cd graph/compose && npm ci --ignore-scripts --no-audit --no-fund
	@mkdir -p $(@D) && touch $@
