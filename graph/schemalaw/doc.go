// Package schemalaw holds the rules of the API's schema as ordinary tests: those
// of docs/schema-guide.md that a program can check, and that no change breaks
// clients unless the change log says so. It has no code of its own.
//
// A rule is a function from a schema to its offences. Each is run on the
// subgraphs' schemas and the composed one, and on bad examples, so that a rule
// that cannot fail is noticed.
package schemalaw
