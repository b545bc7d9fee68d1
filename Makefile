# Everything works on a fresh clone with Go, git, make and a C compiler (for the race detector).
# The first run downloads and compiles what it needs, and says so if that takes long.
# tools/go.mod pins the developers' tools and the registry that tests run against.

FUZZTIME ?= 30s
VERSION ?= $(shell git describe --tags --always --dirty)

# Compile as images and the cluster's programs are compiled, so that a package is compiled once.
# Only the race detector needs cgo.
export GOFLAGS := $(strip $(filter-out -race -trimpath,$(shell go env GOFLAGS)) -trimpath)
go := CGO_ENABLED=0 go
# Let compilers use memory instead of collecting garbage: that saves a tenth of the CPU.
test race-wire race lint interop e2e e2e-up: export GOGC := 400
# lint vets everything, so that tests need not do it again.
tests := test -vet=off
raced := CGO_ENABLED=1 GORACE=atexit_sleep_ms=0 go $(tests) -race -ldflags=-s -timeout 20m
# The packages with more than one goroutine.
concurrent = $(sort $(patsubst %/,%,$(dir $(shell grep -rlE '[.]Go\b|go func|"sync' --include='*.go' cmd internal))))
# The module that builds the cluster of the end-to-end tests.
cluster := test/e2e/cluster

.PHONY: help demo new-set sets test browser race-wire race lint vuln interop bench torture fuzz release e2e e2e-up e2e-down

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1	/p' $(MAKEFILE_LIST)

demo: ## mirror the image sets between two registries on this machine; KEEP=1 keeps the status pages up
	@$(go) run ./demo $(if $(KEEP),-keep)

new-set: ## write a new image set: NAME=payments DEST=quay.io/payments [OWNERS=alice,bob] [SOURCE=IMAGE]
	@$(go) run ./cmd/imagemirror new-set -name '$(NAME)' -dest '$(DEST)' -source '$(SOURCE)' -owners '$(OWNERS)'

sets: ## write the kustomizations of the image sets, after you have added, renamed or removed files
	@$(go) run ./cmd/imagemirror sets

test: lint browser ## everything that needs no cluster: lint, a moment of fuzzing, all tests (concurrent code with the race detector)
	@echo "compiling the registry that tests run against, and cosign (minutes without caches)"
	@$(go) -C tools build -buildvcs=false -o /dev/null ./registry
	@$(go) -C tools/cosign build -buildvcs=false -o /dev/null .
	@$(MAKE) --no-print-directory fuzz FUZZTIME=2000x
	@echo "testing concurrent code with the race detector"
	@$(raced) $(concurrent:%=./%)
	@echo "testing everything else"
	@$(go) $(tests) -parallel 4 -timeout 20m $(filter-out $(concurrent:%=imagemirror/%),$(shell $(go) list ./...))
	@$(go) -C $(cluster) $(tests) -count=1 ./... # it reads files that go test does not know of

browser: ## install Chromium for the tests of the status pages, in CI; elsewhere they are skipped without it
	@[ -z "$(CI)" ] || command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
		echo "installing Chromium" && apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qqy -o DPkg::Lock::Timeout=300 install --no-install-recommends chromium >/dev/null; }

race-wire: ## the tests of requests with the race detector, which CI runs too
	@$(raced) -parallel 4 ./test/wire

race: ## all tests with the race detector, and with it the commands that they start: twice as long
	@$(raced) ./test/wire ./test/script ./...

lint: ## formatting, go.mod, vet, staticcheck, actionlint
	@echo "checking the formatting"
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted, run gofmt -w on:" >&2; echo "$$files" >&2; exit 1; }
	@echo "checking the modules"
	@$(go) mod tidy -diff
	@$(go) -C $(cluster) mod tidy -diff
	@$(go) mod verify
	@echo "running vet and staticcheck (minutes without caches)"
	@$(go) vet -tags e2e ./...
	@$(go) -C tools vet ./...
	@$(go) -C tools/cosign vet ./...
	@$(go) -C $(cluster) vet ./...
	@$(go) tool -modfile=tools/go.mod staticcheck -tags e2e ./...
	@$(go) -C $(cluster) tool -modfile=../../../tools/go.mod staticcheck ./...
	@echo "checking the workflows"
	@$(go) tool -modfile=tools/actionlint/go.mod actionlint -shellcheck= -pyflakes= .github/workflows/*.yaml docs/how-to/presubmit.github.yaml

vuln: ## known vulnerabilities in what the commands call (asks vuln.go.dev)
	@$(go) tool -modfile=tools/govulncheck/go.mod govulncheck ./...

interop: ## copy a corpus of images between real registries, in all pairs, and print what arrived
	@$(go) -C test/interop $(tests) -count=1 -args -matrix

torture: ## hostile registries, kills and full disks: prints what the commands take and what arrives (minutes)
	@$(go) run ./test/torture

bench: ## run all benchmarks, then compare with crane and regsync (BENCH='-h' lists what)
	@$(go) $(tests) -run '^$$' -bench . -benchmem ./...
	@$(go) run ./test/bench $(BENCH)

fuzz: ## run each fuzz target for FUZZTIME (default 30s)
	@grep -rHo --include='*_test.go' '^func Fuzz[[:alnum:]_]*' . | sed 's,/[^/]*:func , ,' | while read -r package target; do \
		echo "fuzzing $$target in $$package for $(FUZZTIME)"; \
		$(go) $(tests) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null || exit 1; \
	done

release: ## push the images to REGISTRY (HOST/PATH) as VERSION (default: git's), and write release/release.yaml
	@$(go) run ./images/release -registry '$(REGISTRY)' -version '$(VERSION)'

e2e: ## the tests on a Kubernetes cluster with Tekton, which is brought up if needed and left running (RUN=TestMirror: one test)
	@echo "testing on a cluster (minutes; 28 minutes more to build it the first time)"
	@$(go) $(tests) -tags e2e -count=1 -v -timeout 90m -run '$(RUN)' ./test/e2e

e2e-up: ## bring up that cluster, and print the variables by which a shell finds it
	@$(go) -C $(cluster) run ./cmd up

e2e-down: ## take it down, but keep what was built for it
	@$(go) -C $(cluster) run ./cmd down
