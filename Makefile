# Everything that is done with this repository. "make" alone says what there is.

SHELL   := /bin/sh
BIN     := bin
PROGRAM := $(BIN)/consul-redis-sentinel
MAIN    := ./cmd/consul-redis-sentinel
SETUP   := tools/setup.sh

# What is stamped into the binary. A tag such as v0.2.0 becomes its version; the date is that of the commit, so that
# the same commit gives the same binary.
GIT     := git -C $(CURDIR) --no-optional-locks
VERSION := $(shell $(GIT) describe --tags --match 'v*' --dirty 2>/dev/null | sed 's/^v//')
COMMIT  := $(shell $(GIT) rev-parse --short=12 HEAD 2>/dev/null || true)
DATE    := $(shell $(GIT) log -1 --format=%cI 2>/dev/null || true)
STAMP   := -X main.commit=$(COMMIT) -X main.date=$(DATE) $(if $(VERSION),-X main.version=$(VERSION))

# Tests under test/ start whole installations and measure time, one package after another; the others may share the
# machine. ARGS is handed to "go test": make test ARGS='-run Kill -v'.
UNIT        = $$(go list ./... | grep -v /test/)
INTEGRATION = $$(go list ./... | grep /test/)
ARGS        ?=

# What "make bench-compare" compares with, and how often each side runs.
BASE  ?= HEAD
COUNT ?= 6

.DEFAULT_GOAL := help

##@ Use

.PHONY: help
help: ## show this
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo

.PHONY: build
build: ## build bin/consul-redis-sentinel, with version, commit and date
	@mkdir -p $(BIN)
	go build -trimpath -ldflags '$(STAMP)' -o $(PROGRAM) $(MAIN)

.PHONY: demo
demo: setup-demo build ## see a failover: a small installation, its master killed, DNS following; ends by itself
	@$(PROGRAM) dev -demo

.PHONY: dev
dev: setup-demo build ## run 3 Consul servers, 3 Redis and 3 agents on this machine until Ctrl-C
	@$(PROGRAM) dev

##@ Work on it

.PHONY: test
test: setup-test build ## run every test, on real Consul and Redis servers
	go test -race $(ARGS) $(UNIT)
	@packages="$(INTEGRATION)"; [ -z "$$packages" ] || { set -x; \
		CRS_BINARY=$(CURDIR)/$(PROGRAM) go test -p 1 -timeout 40m $(ARGS) $$packages; }

.PHONY: chaos
chaos: setup-test build ## inject faults into real servers on hosts of their own: make chaos MINUTES=30 SEED=1
	CRS_BINARY=$(CURDIR)/$(PROGRAM) go test ./test/chaos -run TestChaos -v -timeout 24h -minutes $(or $(MINUTES),30) $(if $(SEED),-seed $(SEED)) $(ARGS)

.PHONY: soak
soak: ## play many random histories in virtual time: make soak HISTORIES=1000000
	go test ./test/simulation -run TestHistories -v -timeout 0 -histories $(or $(HISTORIES),1000000) $(ARGS)

.PHONY: rules
rules: ## take each rule of the protocol away in turn: the tests must notice
	go test -tags rulesout ./failover -run TestEveryRuleIsNeeded -v -timeout 0 $(ARGS)
	go test -tags rulesout ./test/simulation -run TestAgentRuleIsNeeded -v -timeout 0 -histories 20000 $(ARGS)

.PHONY: check
check: setup-test $(BIN)/staticcheck $(BIN)/govulncheck ## gofmt, go vet, staticcheck, govulncheck, and all tests with the race detector
	@files=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)); [ -z "$$files" ] || { echo "not as gofmt writes it:"; echo "$$files"; exit 1; }
	go vet ./...
	$(BIN)/staticcheck ./...
	@tools/govulncheck.sh $(BIN)/govulncheck ./...
	go build -race -o $(BIN)/race/consul-redis-sentinel $(MAIN)
	go test -race $(ARGS) $(UNIT)
	@packages="$(INTEGRATION)"; [ -z "$$packages" ] || { set -x; \
		CRS_BINARY=$(CURDIR)/$(BIN)/race/consul-redis-sentinel go test -race -p 1 -timeout 60m $(ARGS) $$packages; }

.PHONY: bench
bench: setup-demo build ## measure failovers and costs side by side with redis-sentinel: two hours on a quiet machine (ARGS='-n 3' for less)
	@mkdir -p test-output
	go run ./test/bench -binary $(CURDIR)/$(PROGRAM) -case all -cost -fence-after 800ms -json test-output/bench.json -svg test-output/bench.svg $(ARGS)
	@echo "To put it into the README: go run ./test/bench -from test-output/bench.json -readme README.md"

.PHONY: bench-compare
bench-compare: setup-demo $(BIN)/benchstat ## compare the Go benchmarks with those of another commit (BASE=v0.1.0 COUNT=10)
	@tools/bench-compare.sh $(CURDIR)/$(BIN)/benchstat $(BASE) $(COUNT) $(ARGS)

.PHONY: generate
generate: ## write again what is generated: the driver protocol's code, docs/cli.md and docs/doctor.md
	@$(SETUP) protoc
	@mkdir -p $(BIN)
	go build -o $(BIN)/ tool
	protoc -I . --plugin=$(BIN)/protoc-gen-go --plugin=$(BIN)/protoc-gen-go-grpc \
		--go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative \
		plugin/proto/driver.proto
	go test $(MAIN)/cli -run 'TestReference|TestDoctorPage' -update

.PHONY: clean
clean: ## remove what was built here (the servers in the cache stay: make clean-cache removes them)
	rm -rf $(BIN) test-output

##@ Servers

.PHONY: setup
setup: setup-demo setup-test ## get all servers and programs that the demo and the tests run

.PHONY: setup-demo
setup-demo:
	@$(SETUP) redis consul

.PHONY: setup-test
setup-test:
	@$(SETUP) cc redis haproxy chromium consul consul-template

.PHONY: print-consul
print-consul: ## print the path of the Consul in use (make -s print-consul)
	@$(SETUP) print-consul

.PHONY: clean-cache
clean-cache: ## remove the servers that were built
	@$(SETUP) clean-cache

$(BIN)/staticcheck: tools/check/go.mod
	@mkdir -p $(BIN)
	go -C tools/check build -o $(CURDIR)/$(BIN)/staticcheck honnef.co/go/tools/cmd/staticcheck

$(BIN)/govulncheck: tools/check/go.mod
	@mkdir -p $(BIN)
	go -C tools/check build -o $(CURDIR)/$(BIN)/govulncheck golang.org/x/vuln/cmd/govulncheck

$(BIN)/benchstat: tools/check/go.mod
	@mkdir -p $(BIN)
	go -C tools/check build -o $(CURDIR)/$(BIN)/benchstat golang.org/x/perf/cmd/benchstat
