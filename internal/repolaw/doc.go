// Package repolaw holds the rules of this repository as ordinary tests: who may
// import whom, what a migration may say, that no SQL is built at run time, and
// the habits of files and tests. It has no code of its own.
//
// A rule is a function from a tree of files to its offences. Each is run on the
// repository and on a bad example, so that a rule that cannot fail is noticed.
package repolaw
