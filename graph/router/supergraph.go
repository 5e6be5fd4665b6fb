package router

import (
	"bytes"
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
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/datasource/introspection_datasource"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/plan"

	"github.com/tradesage/tradesage/graph/cost"
)

// supergraph is the loaded config. Nothing in it changes after loading.
type supergraph struct {
	// router is the schema of all subgraphs, @inaccessible parts included. Only
	// the planner sees it; whatever a client's text is checked against is client.
	router *ast.Document
	client *ast.Document
	// shapes are those of the client schema.
	shapes *shapes
	// sdl is the text of the client schema, as it is served with its ETag.
	sdl, etag string
	plan      plan.Configuration
	subgraphs map[string]string // name → routing URL
	inputs    *inputTypes
	costs     *cost.Model
	rules     *rules
}

func loadSupergraph(ctx context.Context, raw []byte) (*supergraph, error) {
	file, err := readConfig(raw)
	if err != nil {
		return nil, err
	}
	engine := &file.Engine
	g := &supergraph{sdl: engine.ClientSchema, subgraphs: make(map[string]string, len(file.Subgraphs))}
	if g.sdl == "" { // composition leaves it out when nothing is hidden
		g.sdl = engine.RouterSchema
	}
	if g.router, err = parseSchema(engine.RouterSchema); err != nil {
		return nil, fmt.Errorf("router schema: %w", err)
	}
	if g.client, err = parseSchema(g.sdl); err != nil {
		return nil, fmt.Errorf("client schema: %w", err)
	}
	if bytes.Contains([]byte(engine.RouterSchema), []byte(aliasPrefix)) {
		return nil, fmt.Errorf("the schema uses %q, which is reserved for clients' aliases", aliasPrefix)
	}
	g.sdl = strings.TrimSpace(g.sdl) + "\n"
	g.etag = fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(g.sdl)))
	g.shapes = newShapes(g.client)
	g.inputs = newInputTypes(g.client)
	if g.costs, err = cost.Load(g.sdl, engine.sdls()...); err != nil {
		return nil, fmt.Errorf("costs: %w", err)
	}
	if g.rules, err = loadRules(engine.demands(), engine.sdls(), g.router, g.client); err != nil {
		return nil, err
	}
	names := make(map[string]string, len(file.Subgraphs))
	for _, s := range file.Subgraphs {
		names[s.ID] = s.Name
		g.subgraphs[s.Name] = s.RoutingURL
	}
	if g.plan, err = planConfiguration(ctx, engine, names); err != nil {
		return nil, err
	}
	introspection, err := introspection_datasource.NewIntrospectionConfigFactory(g.client)
	if err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
	}
	g.plan.DataSources = append(g.plan.DataSources, introspection.BuildDataSourceConfigurations()...)
	g.plan.Fields = append(g.plan.Fields, introspection.BuildFieldConfigurations()...)
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
func (e *engineConfig) demands() (out []demand) {
	for _, f := range e.Fields {
		if f.Authorization.RequiresAuthentication {
			out = append(out, demand{typeName: f.TypeName, field: f.FieldName})
		}
		if len(f.Authorization.Scopes) > 0 {
			d := demand{typeName: f.TypeName, field: f.FieldName}
			for _, all := range f.Authorization.Scopes {
				d.scopes = append(d.scopes, all.Scopes)
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
	return &doc, nil
}

func planConfiguration(ctx context.Context, engine *engineConfig, names map[string]string) (plan.Configuration, error) {
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
	for i := range engine.DataSources {
		source, err := dataSource(factory, &engine.DataSources[i], names, engine.Strings)
		if err != nil {
			return config, fmt.Errorf("subgraph %s: %w", names[engine.DataSources[i].ID], err)
		}
		config.DataSources = append(config.DataSources, source)
	}
	return config, nil
}

func dataSource(
	factory plan.PlannerFactory[graphql_datasource.Configuration], c *dataSourceConfig, names, strings map[string]string,
) (plan.DataSource, error) {
	name, ok := names[c.ID]
	if !ok {
		return nil, fmt.Errorf("data source %s has no name", c.ID)
	}
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

// published is the text of the client schema as it is served, and its ETag.
func (g *supergraph) published() (sdl, etag string) { return g.sdl, g.etag }
