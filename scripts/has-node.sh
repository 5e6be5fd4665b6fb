#!/usr/bin/env bash
# Succeeds where the Node that the web build needs is installed: 20.19 or later,
# with npm.
set -euo pipefail
command -v npm >/dev/null && command -v node >/dev/null &&
	node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'
