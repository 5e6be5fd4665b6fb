// Package backing runs a private PostgreSQL and a private Redis as child
// processes: the backing services of `tradesage dev` and of the tests.
//
// Both listen on unix sockets only, keep their files in one folder that a lock
// guards, and end with the process that started them, even when that is killed.
// Nothing here knows what the databases hold; see db for that.
package backing
