// Package jobs runs work that must happen once its cause is committed, on River:
// retried with growing delays, bounded in time and number, in queues that do not
// wait for each other, and taken over from a process that was killed.
//
// Jobs come from the outbox, which alone a tenant's transaction can write; the
// relay of package db hands them over. The tables are River's own, in the schema
// "river"; only the relay's login may see them, since jobs carry mails and mails
// carry codes.
package jobs
