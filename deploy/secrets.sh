#!/usr/bin/env bash
# Makes the secrets of an installation, once; what is there stays. The folder is
# deploy/secrets unless another is named.
#
#   operator.env       for the one-shot jobs: what all logins and keys derive from
#   redis.env          for the services: where Redis is, with its password
#   postgres_password  the superuser's, for PostgreSQL and the operator
#   redis.conf         Redis's own configuration
set -euo pipefail
umask 077
dir=${1:-$(dirname "$0")/secrets}
redis_at=${2:-redis:6379}
postgres_at=${3:-postgres:5432}
mkdir -p "$dir"
chmod 700 "$dir"

key() { head -c 32 /dev/urandom | base64; }
word() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; } # needs no quoting anywhere

# Each file appears whole or not at all.
make_file() {
	if [ ! -e "$dir/$1" ]; then
		cat >"$dir/.$1.new"
		mv "$dir/.$1.new" "$dir/$1"
		echo "made $dir/$1"
	else
		cat >/dev/null
	fi
}

word | make_file postgres_password
if [ ! -e "$dir/redis.conf" ]; then
	rm -f "$dir/redis.env" # both tell the same password
fi
password=$(word)
if [ -e "$dir/redis.conf" ]; then
	password=$(sed -n 's/^requirepass //p' "$dir/redis.conf")
fi
make_file redis.conf <<EOF
requirepass $password
appendonly yes
save ""
maxmemory-policy noeviction
EOF
# Redis's account in its container is another one; on this machine the folder is closed.
chmod 644 "$dir/redis.conf"
make_file redis.env <<EOF
TRADESAGE_REDIS_URL=redis://:$password@$redis_at/0
EOF
make_file operator.env <<EOF
TRADESAGE_DATABASE_SECRET=$(key)
TRADESAGE_DATABASE_OWNER_SECRET=$(key)
TRADESAGE_MASTER_KEY=$(key)
TRADESAGE_DATABASE_ADMIN_URL=postgres://postgres:$(cat "$dir/postgres_password")@$postgres_at/tradesage?sslmode=disable
EOF
