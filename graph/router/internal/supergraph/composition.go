package supergraph

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Composition is what an execution config says of its subgraphs.
type Composition struct {
	// URLs are where they answer, by name; a value may be empty.
	URLs map[string]string
	// Streaming are those with subscriptions.
	Streaming []string
	// Sockets are those that are composed to be asked for subscriptions over
	// WebSockets, as composition says of all that it is told nothing else of.
	Sockets map[string]bool
}

// ReadComposition reads an execution config, as composition writes it (JSON), far
// enough to tell what is missing: the error names the field.
func ReadComposition(config []byte) (Composition, error) {
	file, err := readConfig(config)
	if err != nil {
		return Composition{}, err
	}
	names := make(map[string]string, len(file.Subgraphs))
	out := Composition{URLs: make(map[string]string, len(file.Subgraphs)), Sockets: map[string]bool{}}
	for _, s := range file.Subgraphs {
		names[s.ID] = s.Name
		out.URLs[s.Name] = s.RoutingURL
	}
	for _, d := range file.Engine.DataSources {
		if slices.ContainsFunc(d.RootNodes, func(n typeFields) bool { return n.TypeName == "Subscription" }) {
			out.Streaming = append(out.Streaming, names[d.ID])
			out.Sockets[names[d.ID]] = d.CustomGraphQL.Subscription.Protocol == "GRAPHQL_SUBSCRIPTION_PROTOCOL_WS"
		}
	}
	slices.Sort(out.Streaming)
	return out, nil
}

// readConfig parses a config and checks that what the router needs is there.
func readConfig(raw []byte) (*configFile, error) {
	var file configFile
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("not an execution config in JSON: %w", err)
	}
	engine := &file.Engine
	switch {
	case engine.RouterSchema == "":
		return nil, errors.New("engineConfig.graphqlSchema is missing: is this what wgc router compose writes?")
	case len(engine.DataSources) == 0:
		return nil, errors.New("engineConfig.datasourceConfigurations is missing or empty")
	case len(file.Subgraphs) == 0:
		return nil, errors.New("subgraphs is missing or empty")
	}
	ids, names := map[string]bool{}, map[string]bool{}
	for i, s := range file.Subgraphs {
		switch {
		case s.ID == "":
			return nil, fmt.Errorf("subgraphs[%d].id is missing", i)
		case s.Name == "":
			return nil, fmt.Errorf("subgraphs[%d].name is missing", i)
		case ids[s.ID]:
			return nil, fmt.Errorf("subgraphs[%d].id: %q occurs twice", i, s.ID)
		case names[s.Name]:
			return nil, fmt.Errorf("subgraphs[%d].name: %q occurs twice", i, s.Name)
		}
		ids[s.ID], names[s.Name] = true, true
	}
	for i := range engine.DataSources {
		d, at := &engine.DataSources[i], fmt.Sprintf("engineConfig.datasourceConfigurations[%d]", i)
		switch {
		case d.Kind != "" && d.Kind != "GRAPHQL":
			return nil, fmt.Errorf("%s.kind: %q is not supported, only GRAPHQL", at, d.Kind)
		case !ids[d.ID]:
			return nil, fmt.Errorf("%s.id: %q is no subgraph's", at, d.ID)
		case d.CustomGraphQL.UpstreamSchema.Key == "":
			return nil, fmt.Errorf("%s.customGraphql.upstreamSchema.key is missing", at)
		case engine.Strings[d.CustomGraphQL.UpstreamSchema.Key] == "":
			return nil, fmt.Errorf("%s.customGraphql.upstreamSchema.key: engineConfig.stringStorage has no %q", at, d.CustomGraphQL.UpstreamSchema.Key)
		}
	}
	return &file, nil
}
