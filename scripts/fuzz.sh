#!/usr/bin/env bash
# Runs every fuzz target for a time each, by default 10 s.
set -euo pipefail
cd "$(dirname "$0")/.."
for_each=${1:-10s}
grep -rl --include='*_test.go' '^func Fuzz' cmd db graph internal subgraphs | while read -r file; do
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$for_each" -timeout 10m "./$(dirname "$file")" </dev/null
	done
done
