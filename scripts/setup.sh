#!/usr/bin/env bash
# Installs what is missing of the things named: postgresql, redis, pgbouncer, compiler, node,
# chromium.
# Needs root or sudo only where something is missing. The system's own services
# are not started: tradesage runs private ones.
set -euo pipefail

packages=()
want_node=
for thing in "$@"; do
	case "$thing" in
	postgresql)
		if ! ls /usr/lib/postgresql/1[5-9]/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null; then
			packages+=(postgresql-15)
		fi
		;;
	redis)
		command -v redis-server >/dev/null || [ -x /usr/bin/redis-server ] || packages+=(redis-server)
		;;
	pgbouncer) # for the tests behind a pooler
		command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || packages+=(pgbouncer)
		;;
	compiler) # for the race detector
		command -v gcc >/dev/null || packages+=(gcc libc6-dev)
		;;
	node)
		if ! "${0%/*}/has-node.sh"; then
			packages+=(nodejs npm)
			want_node=1
		fi
		;;
	chromium)
		[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || packages+=(chromium)
		;;
	*)
		echo "setup: unknown thing: $thing" >&2
		exit 2
		;;
	esac
done
if [ ${#packages[@]} -eq 0 ]; then
	exit 0
fi

give_up() {
	echo "setup: $1; install by hand: ${packages[*]}" >&2
	exit 1
}

command -v apt-get >/dev/null || give_up "this system has no apt-get"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || give_up "not root, and there is no sudo"
	as_root=(sudo)
fi

# Debian's packages ask this file whether to start their services.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null || give_up "cannot write $policy"
	trap '"${as_root[@]}" rm -f "$policy"' EXIT
	"${as_root[@]}" chmod 755 "$policy"
fi

echo "setup: installing ${packages[*]}"
log=$(mktemp)
install_packages() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
		apt-get install -y --no-install-recommends "${packages[@]}" >"$log" 2>&1
}
# The lists of a fresh machine are empty; of an old one, perhaps out of date.
if ! "${as_root[@]}" apt-get update >"$log" 2>&1 || ! install_packages; then
	tail -n 5 "$log" >&2
	rm -f "$log"
	give_up "apt-get could not install them"
fi
rm -f "$log"
