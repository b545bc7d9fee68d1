# Everything works on a fresh clone with Go, git, make and a C compiler (for the race detector).
# The first run downloads and compiles what it needs; where that takes long, it says so.
# Developers' tools and the registry that tests run against are pinned in tools/go.mod.

FUZZTIME ?= 30s
VERSION ?= $(shell git describe --tags --always --dirty)

# As images and the cluster's programs are compiled, so that a package is compiled once for all. The race detector alone needs cgo.
export GOFLAGS := $(strip $(filter-out -race -trimpath,$(shell go env GOFLAGS)) -trimpath)
go := CGO_ENABLED=0 go
# Where much is compiled, compilers take memory rather than collect garbage: a tenth less of the processors.
test race lint e2e e2e-up: export GOGC := 400
# Lint vets all, so that tests need not, with all that they are compiled with, once more.
tests := test -vet=off
raced := GORACE=atexit_sleep_ms=0 go $(tests) -race -ldflags=-s -timeout 20m
# The packages with more than one goroutine. The first takes longest.
concurrent = test/wire $(sort $(patsubst %/,%,$(dir $(shell grep -rlE '[.]Go\b|go func|"sync' --include='*.go' cmd internal))))
# The module that builds the cluster of the end-to-end tests.
cluster := test/e2e/cluster

.PHONY: help demo new-set sets test race lint bench fuzz release e2e e2e-up e2e-down

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1	/p' $(MAKEFILE_LIST)

demo: ## mirror the image sets between two registries on this machine
	@$(go) run ./demo

new-set: ## write a new image set: NAME=payments DEST=quay.io/payments, and OWNERS=alice,bob or SOURCE=IMAGE where they differ
	@$(go) run ./cmd/imagemirror new-set -name '$(NAME)' -dest '$(DEST)' -source '$(SOURCE)' -owners '$(OWNERS)'

sets: ## write the kustomizations of the image sets, after files of sets were added, renamed or removed
	@$(go) run ./cmd/imagemirror sets

test: lint ## everything that needs no cluster: lint, a moment of fuzzing, all tests, those of concurrent code with the race detector
	@echo "compiling the registry that tests run against (minutes, where nothing is cached)"
	@$(go) -C tools build -buildvcs=false -o /dev/null ./registry
	@$(MAKE) --no-print-directory fuzz FUZZTIME=2000x
	@echo "testing concurrent code with the race detector"
	@$(raced) $(concurrent:%=./%)
	@echo "testing everything else"
	@$(go) $(tests) -timeout 20m $(filter-out $(concurrent:%=imagemirror/%),$(shell $(go) list ./...))
	@$(go) -C $(cluster) $(tests) ./...

race: ## all tests with the race detector, which those of the commands build with it, too: twice as long
	@$(raced) ./test/wire ./test/script ./...

lint: ## formatting, go.mod, vet, staticcheck, actionlint
	@echo "checking the formatting"
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted, run gofmt -w on:" >&2; echo "$$files" >&2; exit 1; }
	@echo "checking the modules"
	@$(go) mod tidy -diff
	@$(go) -C $(cluster) mod tidy -diff
	@$(go) mod verify
	@echo "running vet and staticcheck (minutes, where nothing is cached)"
	@$(go) vet -tags e2e ./...
	@$(go) -C tools vet ./...
	@$(go) -C $(cluster) vet ./...
	@$(go) tool -modfile=tools/go.mod staticcheck -tags e2e ./...
	@$(go) -C $(cluster) tool -modfile=../../../tools/go.mod staticcheck ./...
	@echo "checking the workflows"
	@$(go) tool -modfile=tools/actionlint/go.mod actionlint -shellcheck= -pyflakes= .github/workflows/*.yaml docs/how-to/presubmit.github.yaml

bench: ## run all benchmarks, then measure beside crane and regsync (BENCH='-h' lists what)
	@$(go) $(tests) -run '^$$' -bench . -benchmem ./...
	@$(go) run ./test/bench $(BENCH)

fuzz: ## run each fuzz target for FUZZTIME, which is 30s unless told otherwise
	@grep -rHo --include='*_test.go' '^func Fuzz[[:alnum:]_]*' . | sed 's,/[^/]*:func , ,' | while read -r package target; do \
		echo "fuzzing $$target in $$package for $(FUZZTIME)"; \
		$(go) $(tests) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || exit 1; \
	done

release: ## push the images to REGISTRY (HOST/PATH) as VERSION, which is git's unless given, and write release/release.yaml
	@$(go) run ./images/release -registry '$(REGISTRY)' -version '$(VERSION)'

e2e: ## the tests on a Kubernetes cluster with Tekton, which is brought up if it is not there, and left running (RUN=TestMirror: one)
	@echo "testing on a cluster (minutes; building it takes half an hour more the first time)"
	@$(go) $(tests) -tags e2e -count=1 -v -timeout 90m -run '$(RUN)' ./test/e2e

e2e-up: ## bring up that cluster, and print the variables by which a shell finds it
	@$(go) -C $(cluster) run ./cmd up

e2e-down: ## take it down; what was built for it is kept
	@$(go) -C $(cluster) run ./cmd down
