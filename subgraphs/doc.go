// Package subgraphs holds one folder a subgraph: its schema, its resolvers and
// what gqlgen makes of both. The rules that all schemas share are tested here.
package subgraphs
