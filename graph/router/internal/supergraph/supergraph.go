// Package supergraph loads an execution config, as composition writes it, into what
// operations are checked, planned and priced by.
package supergraph

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/asttransform"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/datasource/graphql_datasource"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/plan"

	"github.com/tradesage/tradesage/graph/cost"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/inputs"
	"github.com/tradesage/tradesage/graph/router/internal/rights"
)

// Graph is the loaded config. Nothing in it changes after loading.
type Graph struct {
	// Router is the schema of all subgraphs, @inaccessible parts included. Only
	// the planner sees it; whatever a client's text is checked against is Client.
	Router *ast.Document
	Client *ast.Document
	// Shapes are those of the client schema.
	Shapes *document.Shapes
	// Taking are the names of fields with arguments that others require.
	Taking map[string]bool
	// sdl is the text of the client schema, as it is served with its ETag.
	sdl, etag string
	Plan      plan.Configuration
	// Layered plans what Plan cannot, with more fetches: it has subgraphs taken apart
	// so that no two wait for each other. It is nil where nothing can be.
	Layered *plan.Configuration
	// Subgraphs are the routing URLs by name.
	Subgraphs map[string]string
	Inputs    *inputs.Types
	Costs     *cost.Model
	Rights    *rights.Rules
}

// Load reads a config. It fails on one that does not parse or lacks what the router
// needs, on a demand that cannot be read, on fields that require each other, and on a
// schema that uses document.Reserved names. ctx ends the engine's background work.
func Load(ctx context.Context, raw []byte) (*Graph, error) {
	file, err := readConfig(raw)
	if err != nil {
		return nil, err
	}
	engine := &file.Engine
	g := &Graph{sdl: engine.ClientSchema, Subgraphs: make(map[string]string, len(file.Subgraphs))}
	if g.sdl == "" { // composition leaves it out when nothing is hidden
		g.sdl = engine.RouterSchema
	}
	if g.Router, err = parseSchema(engine.RouterSchema); err != nil {
		return nil, fmt.Errorf("router schema: %w", err)
	}
	if g.Client, err = parseSchema(g.sdl); err != nil {
		return nil, fmt.Errorf("client schema: %w", err)
	}
	if prefix, found := document.Reserved(engine.RouterSchema); found {
		return nil, fmt.Errorf("the schema uses %q, which is reserved for clients' aliases", prefix)
	}
	g.sdl = strings.TrimSpace(g.sdl) + "\n"
	g.etag = fmt.Sprintf(`W/"%x"`, sha256.Sum256([]byte(g.sdl)))
	g.Shapes = document.NewShapes(g.Client)
	g.Inputs = inputs.NewTypes(g.Client)
	if g.Costs, err = cost.Load(g.sdl, engine.sdls()...); err != nil {
		return nil, fmt.Errorf("costs: %w", err)
	}
	if g.Rights, err = rights.Load(engine.demands(), engine.sdls(), g.Router, g.Client); err != nil {
		return nil, err
	}
	names := make(map[string]string, len(file.Subgraphs))
	for _, s := range file.Subgraphs {
		names[s.ID] = s.Name
		g.Subgraphs[s.Name] = s.RoutingURL
	}
	varied, taking, err := tellApart(g.Router, engine.DataSources)
	if err != nil {
		return nil, err
	}
	for at := range varied {
		g.Shapes.Vary(at.TypeName, at.FieldName)
	}
	g.Taking = taking
	layers, err := newLayers(g.Router, engine.DataSources)
	if err != nil {
		return nil, err
	}
	if g.Plan, err = g.planConfiguration(ctx, engine, engine.DataSources, names); err != nil {
		return nil, err
	}
	if split := layers.split(); split != nil {
		layered, err := g.planConfiguration(ctx, engine, split, names)
		if err != nil {
			return nil, err
		}
		g.Layered = &layered
	}
	return g, nil
}

// sdls are the subgraphs' own schemas: composition drops some of their directives.
func (e *engineConfig) sdls() []string {
	out := make([]string, 0, len(e.DataSources))
	for i := range e.DataSources {
		out = append(out, e.DataSources[i].CustomGraphQL.Federation.SDL)
	}
	return out
}

// demands are what fields take of a caller.
func (e *engineConfig) demands() (out []rights.Demand) {
	for _, f := range e.Fields {
		if f.Authorization.RequiresAuthentication {
			out = append(out, rights.Demand{TypeName: f.TypeName, Field: f.FieldName})
		}
		if len(f.Authorization.Scopes) > 0 {
			d := rights.Demand{TypeName: f.TypeName, Field: f.FieldName}
			for _, all := range f.Authorization.Scopes {
				d.Scopes = append(d.Scopes, all.Scopes)
			}
			out = append(out, d)
		}
	}
	return out
}

func parseSchema(sdl string) (*ast.Document, error) {
	doc, report := astparser.ParseGraphqlDocumentString(sdl)
	if report.HasErrors() {
		return nil, report
	}
	if err := asttransform.MergeDefinitionWithBaseSchema(&doc); err != nil {
		return nil, err
	}
	addIsOneOf(&doc)
	return &doc, nil
}

// addIsOneOf gives __Type the field that the engine's base schema lacks.
func addIsOneOf(doc *ast.Document) {
	node, ok := doc.Index.FirstNodeByNameStr("__Type")
	if !ok || node.Kind != ast.NodeKindObjectTypeDefinition || doc.ObjectTypeDefinitionHasField(node.Ref, []byte("isOneOf")) {
		return
	}
	fields := &doc.ObjectTypeDefinitions[node.Ref].FieldsDefinition
	fields.Refs = append(fields.Refs, doc.AddFieldDefinition(ast.FieldDefinition{
		Name: doc.Input.AppendInputString("isOneOf"), Type: doc.AddNamedType([]byte("Boolean")),
	}))
}

// planConfiguration is what the planner knows of the subgraphs.
func (g *Graph) planConfiguration(
	ctx context.Context, engine *engineConfig, sources []dataSourceConfig, names map[string]string,
) (plan.Configuration, error) {
	var config plan.Configuration
	config.DefaultFlushIntervalMillis, _ = engine.FlushInterval.Int64()
	for _, t := range engine.Types {
		config.Types = append(config.Types, plan.TypeConfiguration(t))
	}
	for _, f := range engine.Fields {
		field := plan.FieldConfiguration{TypeName: f.TypeName, FieldName: f.FieldName}
		for _, a := range f.Arguments {
			source := plan.FieldArgumentSource
			if a.Source == "OBJECT_FIELD" {
				source = plan.ObjectFieldSource
			}
			field.Arguments = append(field.Arguments, plan.ArgumentConfiguration{Name: a.Name, SourceType: source})
		}
		config.Fields = append(config.Fields, field)
	}
	// The factory wants clients, but no fetch of ours goes through them: each is
	// replaced by a source of source.go when its plan is finished.
	factory, err := graphql_datasource.NewFactory(ctx, http.DefaultClient,
		graphql_datasource.NewGraphQLSubscriptionClient(ctx))
	if err != nil {
		return config, err
	}
	for i := range sources {
		name := names[sources[i].subgraph()]
		source, err := dataSource(factory, &sources[i], name, engine.Strings)
		if err != nil {
			return config, fmt.Errorf("subgraph %s: %w", name, err)
		}
		config.DataSources = append(config.DataSources, source)
	}
	return config, nil
}

func dataSource(
	factory plan.PlannerFactory[graphql_datasource.Configuration], c *dataSourceConfig, name string, strings map[string]string,
) (plan.DataSource, error) {
	upstream, ok := strings[c.CustomGraphQL.UpstreamSchema.Key]
	if !ok {
		return nil, errors.New("its schema is missing")
	}
	schema, err := graphql_datasource.NewSchemaConfiguration(upstream, &graphql_datasource.FederationConfiguration{
		Enabled:    c.CustomGraphQL.Federation.Enabled,
		ServiceSDL: c.CustomGraphQL.Federation.SDL,
	})
	if err != nil {
		return nil, err
	}
	input := graphql_datasource.ConfigurationInput{
		Fetch:               &graphql_datasource.FetchConfiguration{URL: c.CustomGraphQL.Fetch.URL.Value, Method: http.MethodPost},
		SchemaConfiguration: schema,
		// The engine plans a subscription only where one is configured; it is not what
		// follows it.
		Subscription: &graphql_datasource.SubscriptionConfiguration{URL: c.CustomGraphQL.Fetch.URL.Value},
	}
	for _, f := range c.CustomGraphQL.ScalarFields {
		input.CustomScalarTypeFields = append(input.CustomScalarTypeFields, graphql_datasource.SingleTypeField(f))
	}
	custom, err := graphql_datasource.NewConfiguration(input)
	if err != nil {
		return nil, err
	}
	directives := make(plan.DirectiveConfigurations, 0, len(c.Directives))
	for _, d := range c.Directives {
		renameTo := d.RenameTo
		if renameTo == "" {
			renameTo = d.Name
		}
		directives = append(directives, plan.DirectiveConfiguration{DirectiveName: d.Name, RenameTo: renameTo})
	}
	return plan.NewDataSourceConfigurationWithName(c.ID, name, factory, &plan.DataSourceMetadata{
		RootNodes:  planFields(c.RootNodes),
		ChildNodes: planFields(c.ChildNodes),
		Directives: &directives,
		FederationMetaData: plan.FederationMetaData{
			Keys:             planFederated(c.Keys),
			Requires:         planFederated(c.Requires),
			Provides:         planFederated(c.Provides),
			EntityInterfaces: planInterfaces(c.Interfaces),
			InterfaceObjects: planInterfaces(c.Objects),
		},
	}, custom)
}

func planFields(in []typeFields) plan.TypeFields {
	out := make(plan.TypeFields, 0, len(in))
	for _, f := range in {
		out = append(out, plan.TypeField{
			TypeName: f.TypeName, FieldNames: f.FieldNames,
			ExternalFieldNames: f.ExternalFields, FetchReasonFields: f.ReasonFields,
		})
	}
	return out
}

func planFederated(in []federatedField) plan.FederationFieldConfigurations {
	out := make(plan.FederationFieldConfigurations, 0, len(in))
	for _, f := range in {
		field := plan.FederationFieldConfiguration{
			TypeName: f.TypeName, FieldName: f.FieldName, SelectionSet: f.SelectionSet,
			DisableEntityResolver: f.DisableEntityResolver,
		}
		for _, c := range f.Conditions {
			condition := plan.KeyCondition{FieldPath: c.Path}
			for _, x := range c.Coordinates {
				condition.Coordinates = append(condition.Coordinates, plan.FieldCoordinate(x))
			}
			field.Conditions = append(field.Conditions, condition)
		}
		out = append(out, field)
	}
	return out
}

func planInterfaces(in []interfaceConfig) []plan.EntityInterfaceConfiguration {
	out := make([]plan.EntityInterfaceConfiguration, 0, len(in))
	for _, c := range in {
		out = append(out, plan.EntityInterfaceConfiguration{InterfaceTypeName: c.Interface, ConcreteTypeNames: c.Concrete})
	}
	return out
}

// Published is the text of the client schema as it is served, and its ETag, a weak one:
// the text may be packed on its way.
func (g *Graph) Published() (sdl, etag string) { return g.sdl, g.etag }
