#!/usr/bin/env bash
# Fails when generated files differ from the committed ones, and prints how.
set -euo pipefail
cd "$(dirname "$0")/.."

# The resolvers are written by hand inside a frame that gqlgen keeps up to date.
paths=('subgraphs/*/generated' 'subgraphs/*/model' 'subgraphs/*/*.resolvers.go'
	db/platformdb db/tenantdb 'graph/supergraph*'
	'cmd/bench/graph/*/generated' 'cmd/bench/graph/*/model' 'cmd/bench/graph/*/*.resolvers.go' 'cmd/bench/graph/supergraph*'
	'graph/graphtest/monolith/*/**')

changed=$(git status --porcelain --untracked-files=all -- "${paths[@]}")
if [ -n "$changed" ]; then
	git --no-pager diff HEAD --stat -- "${paths[@]}"
	git --no-pager diff HEAD -- "${paths[@]}" | head -n 200 || true # head may leave early
	echo
	echo "Generated files differ from the committed ones; run make generate and commit:"
	echo "$changed"
	exit 1
fi
