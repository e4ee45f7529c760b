# Everyday commands. The whole check is .ci/run.

.PHONY: test ci lint bench golden demo package infra

test:
	go test ./...

ci:
	.ci/run

lint:
	gofmt -l .
	go vet ./...
	go fix -diff ./...
	go tool staticcheck ./...
	go mod tidy -diff

# One table: what each benchmark does per second, and how much memory it takes.
bench:
	@go test -run '^$$' -bench . -benchmem -timeout 60m ./... | awk '/^pkg:/ { pkg = $$2 } \
		/^Benchmark/ { printf "%-22s %-40s", pkg, $$1; for (i = 3; i < NF; i += 2) printf " %13s %-14s", $$i, $$(i+1); print "" }'

# Rewrites the golden files; read the difference before it is committed.
golden:
	go test ./... -update

demo:
	go run . demo

# The Lambda functions: dist/<name>.zip, the same bytes on every machine.
package:
	go run ./infra/pack -o dist

# Checks the Terraform: format, types, its own tests, permissions.
infra:
	go test ./infra/...
