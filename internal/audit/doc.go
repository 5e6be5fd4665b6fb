// Package audit writes down who did what: in the platform's record, or in a
// tenant's, always inside the transaction of the change itself, so that there is
// no change without its event and no event without its change.
//
// It does not decide what is worth an event, and holds no secrets: details are
// what an auditor may read.
package audit
