#!/usr/bin/env bash
# The whole system on one machine, without containers: PostgreSQL, PgBouncer, Redis
# and five processes of tradesage, each with its own credentials and certificate.
#
#   deploy/run.sh                  brings it up, and stops it in order on Ctrl-C
#   deploy/run.sh admin invite …   runs a command of tradesage as its operator
#
# DATA         folder of everything (/var/tmp/tradesage); secrets are made at the first start
# PORT_OFFSET  is added to each port (0): 8001 and 8000-8004, 9090-9094, 15432, 16432, 16379
# TRADESAGE    the program (bin/tradesage)
#
# Further TRADESAGE_… variables reach the services, as TRADESAGE_SMTP_HOST.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${DATA:-/var/tmp/tradesage}
program=$(realpath "${TRADESAGE:-$here/../bin/tradesage}")
offset=${PORT_OFFSET:-0}
postgres_port=$((15432 + offset)) pooler_port=$((16432 + offset)) redis_port=$((16379 + offset))
PATH=$PATH:/usr/sbin
postgres_bin=$(find /usr/lib/postgresql/1[5-9]/bin -maxdepth 0 2>/dev/null | sort | head -n 1 || true)
if [ -z "$postgres_bin" ]; then
	postgres_bin=$(dirname "$(command -v initdb)")
fi
for needed in "$program" "$postgres_bin/postgres" "$(command -v redis-server)" "$(command -v pgbouncer)"; do
	[ -x "$needed" ] || { echo "run.sh: something is missing; make build, and scripts/setup.sh postgresql redis pgbouncer" >&2; exit 1; }
done

export TRADESAGE_SHARDS=4
export TRADESAGE_PUBLIC_URL=${TRADESAGE_PUBLIC_URL:-http://127.0.0.1:$((8001 + offset))}

# PostgreSQL and PgBouncer refuse to run as root.
lowered() {
	if [ "$(id -u)" -eq 0 ]; then
		exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"
	fi
	exec "$@"
}

own() {
	if [ "$(id -u)" -eq 0 ]; then chown -R postgres:postgres "$@"; fi
}

# operator runs a command with the secrets that everything derives from. It goes to
# PostgreSQL itself: the pooler does not know the owner.
operator() (
	set -a
	. "$data/secrets/operator.env"
	TRADESAGE_DATABASE_URL="postgres://127.0.0.1:$postgres_port/tradesage?sslmode=disable"
	exec "$program" "$@"
)

# service runs one service with what it needs and nothing more.
service() {
	local name=$1
	set -a
	. "$data/secrets/redis.env"
	TRADESAGE_SERVICES=$name
	TRADESAGE_LISTEN=127.0.0.1:$((8001 + offset))
	TRADESAGE_AUTH_LISTEN=127.0.0.1:$((8000 + offset))
	TRADESAGE_SESSION_LISTEN=127.0.0.1:$((8002 + offset))
	TRADESAGE_TENANT_LISTEN=127.0.0.1:$((8003 + offset))
	TRADESAGE_USER_LISTEN=127.0.0.1:$((8004 + offset))
	case $name in
	router) TRADESAGE_METRICS_LISTEN=127.0.0.1:$((9090 + offset)) ;;
	auth) TRADESAGE_METRICS_LISTEN=127.0.0.1:$((9091 + offset)) ;;
	session) TRADESAGE_METRICS_LISTEN=127.0.0.1:$((9092 + offset)) ;;
	tenant) TRADESAGE_METRICS_LISTEN=127.0.0.1:$((9093 + offset)) ;;
	user) TRADESAGE_METRICS_LISTEN=127.0.0.1:$((9094 + offset)) ;;
	esac
	TRADESAGE_SERVICE_CERTS=$data/services/$name
	TRADESAGE_DATABASE_CREDENTIALS_FILE=$data/services/$name/credentials.json
	TRADESAGE_DATABASE_URL="postgres://127.0.0.1:$pooler_port/tradesage?sslmode=disable"
	TRADESAGE_DATABASE_POOLER=transaction
	exec "$program" serve
}

if [ $# -gt 0 ]; then
	operator "$@"
	exit
fi

declare -A pids names
start() {
	local command
	command=$(sed -n "s/^$1: //p" "$here/Procfile")
	(eval "$command") >>"$data/log/$1.log" 2>&1 &
	pids[$1]=$! names[$!]=$1
}

# stop ends the services together, then what they stood on, the last first.
stop() {
	local code=$? name
	trap - EXIT INT TERM
	for name in router user tenant session auth; do signal TERM "$name"; done
	for name in router user tenant session auth; do wait "${pids[$name]:-}" 2>/dev/null || true; done
	for name in pgbouncer redis postgres; do
		# PostgreSQL's SIGTERM waits for its clients to leave, its SIGINT does not.
		signal "$([ "$name" = redis ] && echo TERM || echo INT)" "$name"
		wait "${pids[$name]:-}" 2>/dev/null || true
	done
	echo "stopped"
	exit "$code"
}

signal() {
	if [ -n "${pids[$2]:-}" ]; then kill -s "$1" "${pids[$2]}" 2>/dev/null || true; fi
}

# await waits half a minute at most for an address of this machine.
await() {
	for _ in {1..300}; do
		if (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; then return; fi
		kill -0 "${pids[$1]}" 2>/dev/null || break
		sleep 0.1
	done
	echo "run.sh: $1 does not answer; see $data/log/$1.log" >&2
	exit 1
}

prepare() {
	mkdir -p "$data/log" "$data/services" "$data/pgbouncer"
	chmod 755 "$data"
	"$here/secrets.sh" "$data/secrets" "127.0.0.1:$redis_port" "127.0.0.1:$postgres_port"
	if [ ! -e "$data/postgres/PG_VERSION" ]; then
		rm -rf "$data/postgres" && mkdir "$data/postgres"
		cp "$data/secrets/postgres_password" "$data/postgres.password"
		own "$data/postgres" "$data/postgres.password"
		(lowered "$postgres_bin/initdb" -D "$data/postgres" -U postgres --pwfile="$data/postgres.password" \
			--auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8) >"$data/log/initdb.log"
		rm "$data/postgres.password"
	fi
	(
		umask 077
		mkdir -p "$data/redis"
		{
			cat "$data/secrets/redis.conf"
			printf 'bind 127.0.0.1\nport %d\ndir %s\n' "$redis_port" "$data/redis"
		} >"$data/redis/redis.conf"
	)
}

# equip gives PgBouncer and each service what they need to know.
equip() {
	"$program" certs --dir "$data/authority" >/dev/null
	operator credentials --service all --out "$data/authority/all.json" --userlist "$data/pgbouncer/users.txt" >/dev/null
	rm "$data/authority/all.json"
	sed -e "s/^\* = .*/tradesage = host=127.0.0.1 port=$postgres_port dbname=tradesage/" \
		-e "s/^listen_addr = .*/listen_addr = 127.0.0.1/" -e "s/^listen_port = .*/listen_port = $pooler_port/" \
		-e "s|^auth_file = .*|auth_file = $data/pgbouncer/users.txt|" "$here/pgbouncer.ini" >"$data/pgbouncer/pgbouncer.ini"
	own "$data/pgbouncer"
	local name
	for name in router auth session tenant user; do
		(umask 077 && mkdir -p "$data/services/$name")
		cp -p "$data/authority/ca.crt" "$data/authority/$name.crt" "$data/authority/$name.key" "$data/services/$name/"
		operator credentials --service "$name" --out "$data/services/$name/credentials.json" >/dev/null
	done
}

set -m # a group for each process: Ctrl-C reaches only this script
trap stop EXIT
trap 'exit 0' INT TERM
prepare
start postgres
start redis
await postgres "$postgres_port"
until "$postgres_bin/pg_isready" -q -h 127.0.0.1 -p "$postgres_port"; do # it listens before it is up
	kill -0 "${pids[postgres]}" 2>/dev/null || { echo "run.sh: postgres ended; see $data/log/postgres.log" >&2; exit 1; }
	sleep 0.1
done
await redis "$redis_port"
operator migrate
equip
start pgbouncer
await pgbouncer "$pooler_port"
for name in auth session tenant user router; do start "$name"; done
until "$program" health --url "http://127.0.0.1:$((9090 + offset))/readyz" >/dev/null 2>&1; do
	kill -0 "${pids[router]}" 2>/dev/null || { echo "run.sh: router ended; see $data/log/router.log" >&2; exit 1; }
	sleep 0.2
done
echo "ready at $TRADESAGE_PUBLIC_URL, logs in $data/log"
wait -n -p ended || true
echo "run.sh: ${names[${ended:-0}]:-something} ended; see $data/log" >&2
exit 1
