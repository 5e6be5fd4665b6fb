package session

import "github.com/google/uuid"

// DefaultPrefix begins every key in Redis unless another is configured.
const DefaultPrefix = "tradesage:"

// keys names everything this package keeps in Redis. No key and no value holds
// a token. What several commands of one pipeline touch shares a {hash tag}, so
// that it lies on one node of a cluster.
type keys struct{ prefix string }

// session is when a session was last seen, in milliseconds since 1970. Its
// existence says that the session was used lately.
func (k keys) session(id uuid.UUID) string { return k.prefix + "session:" + id.String() }

// stream carries every revocation to every process, the fast path beside the
// rows in PostgreSQL.
func (k keys) stream() string { return k.prefix + "{revocations}:stream" }

// processes is the set of the ids of processes that follow the stream.
func (k keys) processes() string { return k.prefix + "{revocations}:processes" }

// process is the position in the stream up to which one process has applied
// revocations. It expires when the process stops renewing it.
func (k keys) process(id string) string { return k.prefix + "{revocations}:process:" + id }
