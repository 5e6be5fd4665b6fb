// Package session knows which sign-ins are alive: the durable row of each in
// PostgreSQL, when each was last seen in Redis, and, in every process's memory,
// which ones have been revoked.
//
// PostgreSQL is the truth. Redis makes things fast; losing it signs nobody out
// and forgets no revocation. Passwords and tokens are none of this package's
// business: auth makes sessions and asks here whether they still count.
package session
