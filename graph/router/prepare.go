package router

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astnormalization"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astvalidation"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/plan"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/postprocess"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/operationreport"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/variablesvalidation"

	"github.com/tradesage/tradesage/graph/cost"
	"github.com/tradesage/tradesage/graph/pace"
	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/entities"
	"github.com/tradesage/tradesage/graph/router/internal/inputs"
	"github.com/tradesage/tradesage/graph/router/internal/introspect"
	"github.com/tradesage/tradesage/graph/router/internal/rights"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// planKey finds a prepared operation. Variables other than those of @skip and
// @include are no part of it: they change per request, the plan does not.
//
// refused names the requirements that the caller does not fulfil: the operation is
// then planned without what takes them.
type planKey struct{ text, name, conditions, refused string }

// entry is what the cache holds for a key: an operation, or, for a text with
// conditions and a key without, the conditions that complete the key.
type entry struct {
	conditions []document.Condition
	operation  *operation
	weight     uint32
}

// operation is ready to run. It is shared by all requests and, but for task,
// never changes.
type operation struct {
	kind ast.OperationType
	// response is nil where nothing is to be fetched.
	response  *resolve.GraphQLResponse
	variables inputs.Variables
	// trigger is set for a subscription.
	trigger *trigger
	// direct is set where the engine is not needed.
	direct *direct
	hash   uint64
	// name is the client's name for it, as it is shown, id its hash in digits.
	name, id string
	took     prometheus.Observer
	// size and cost are what the operation asks for.
	size document.Size
	cost *cost.Expression
	key  planKey
	// from is the generation that it was planned for.
	from *generation
	// introspects says that it selects __schema or __type, and introspection is what it
	// asks there, which is no part of the plan.
	introspects   bool
	introspection *introspect.Part
	// rights are what a caller must fulfil for all of it, as indexes of the rules.
	rights []int
	// voids are what fields of whole take beside rights: that variables are not null
	// which must not be. They are numbered after the rules.
	voids rights.Voids
	// whole is set where the plan leaves something out or holds type markers: the
	// answer is completed by it.
	whole *ast.Document
	// boxes is whether the plan boxes lists.
	boxes bool
	// entities is nil where errors of entities say by themselves where they are.
	entities *entities.Fetches
	// limited are the fields with rates of their own.
	limited []limitedField
	// task learns how long it takes.
	task pace.Task
}

// toolkit holds the engine's stateful, reusable parts; one goroutine at a time.
type toolkit struct {
	normalize *astnormalization.OperationNormalizer
	extract   *astnormalization.VariablesNormalizer
	remap     *astnormalization.VariablesMapper
	validate  *astvalidation.OperationValidator
	check     *variablesvalidation.VariablesValidator
}

func newToolkit() *toolkit {
	return &toolkit{
		normalize: astnormalization.NewWithOpts(
			astnormalization.WithRemoveNotMatchingOperationDefinitions(),
			astnormalization.WithInlineFragmentSpreads(),
			astnormalization.WithRemoveFragmentDefinitions(),
			astnormalization.WithRemoveUnusedVariables(),
		),
		extract:  astnormalization.NewVariablesNormalizer(),
		remap:    astnormalization.NewVariablesMapper(),
		validate: newValidator(),
		check: variablesvalidation.NewVariablesValidator(variablesvalidation.VariablesValidatorOptions{
			DisableExposingVariablesContent: true, // variables hold passwords, messages are logged
		}),
	}
}

// newValidator has the engine's rules but FieldSelectionMerging, for which there is
// document.CheckMerging.
func newValidator() *astvalidation.OperationValidator {
	return astvalidation.NewOperationValidator([]astvalidation.Rule{
		astvalidation.AllVariablesUsed(), astvalidation.AllVariableUsesDefined(), astvalidation.DocumentContainsExecutableOperation(),
		astvalidation.OperationNameUniqueness(), astvalidation.LoneAnonymousOperation(), astvalidation.SubscriptionSingleRootField(),
		astvalidation.FieldSelections(), astvalidation.KnownArguments(), astvalidation.Values(false),
		astvalidation.ArgumentUniqueness(), astvalidation.RequiredArguments(), astvalidation.Fragments(),
		astvalidation.DirectivesAreDefined(), astvalidation.DirectivesAreInValidLocations(), astvalidation.VariableUniqueness(),
		astvalidation.DirectivesAreUniquePerLocation(), astvalidation.VariablesAreInputTypes(),
	})
}

// ordinaryWeight is the weight of a small operation in the cache.
const ordinaryWeight = 16

func newPlanCache(size int) (*otter.Cache[planKey, *entry], error) {
	return otter.New(&otter.Options[planKey, *entry]{
		MaximumWeight: uint64(size) * ordinaryWeight,
		Weigher:       func(_ planKey, e *entry) uint32 { return e.weight },
	})
}

// prepare returns the operation for a text, from the cache or by planning it.
// text and name may point into a request's buffer: they are copied before they
// are kept. Errors are for the client.
func (r *generation) prepare(ctx context.Context, text, name string, vars *astjson.Value) (*operation, error) {
	key := planKey{text: text, name: name}
	found, ok := r.cache.GetIfPresent(key)
	if ok && found.operation != nil {
		r.metrics.hits.Inc()
		return found.operation, nil
	}
	key.text, key.name = strings.Clone(text), strings.Clone(name)
	if !ok {
		var err error
		if found, err = r.load(ctx, key); err != nil {
			return nil, err
		}
		if found.operation != nil {
			r.metrics.misses.Inc()
			return found.operation, nil
		}
	}
	var err error
	if key.conditions, err = document.Evaluate(found.conditions, vars); err != nil {
		return nil, err
	}
	if found, ok = r.cache.GetIfPresent(key); ok {
		r.metrics.hits.Inc()
		return found.operation, nil
	}
	r.metrics.misses.Inc()
	if found, err = r.load(ctx, key); err != nil {
		return nil, err
	}
	return found.operation, nil
}

// load makes an entry once, also when many requests miss it at the same time.
func (r *generation) load(ctx context.Context, key planKey) (*entry, error) {
	return r.cache.Get(ctx, key, otter.LoaderFunc[planKey, *entry](
		func(ctx context.Context, key planKey) (e *entry, err error) {
			_, span := telemetry.Span(ctx, "plan")
			defer span.End()
			defer func() {
				if p := recover(); p != nil {
					e, err = nil, fault.Internal(fmt.Errorf("panic while planning: %v\n%s", p, debug.Stack()))
				}
			}()
			doc, err := document.Parse(key.text, key.name, &r.policy.Load().limits)
			if err != nil {
				return nil, err
			}
			if doc.Introspects && !r.options.Introspection && r.options.IntrospectionScope == "" {
				return nil, errIntrospectionOff
			}
			if len(doc.Conditions) > 0 && key.conditions == "" {
				return &entry{conditions: doc.Conditions, weight: 1 + uint32(len(key.text)/1024)}, nil
			}
			op, err := r.plan(doc, key)
			if err != nil {
				return nil, err
			}
			return &entry{operation: op, weight: ordinaryWeight + uint32(doc.Size.Fields+len(key.text)/1024)}, nil
		}))
}

// plan turns a parsed document into an operation.
func (r *generation) plan(d *document.Document, key planKey) (*operation, error) {
	tools := r.tools.Get().(*toolkit)
	defer r.tools.Put(tools)
	var report operationreport.Report
	doc := &d.AST
	if key.refused == "" {
		if err := r.valid.Check(d.Text); err != nil {
			return nil, err
		}
	}
	if err := document.CheckMerging(r.graph.Client, doc, d.Operation); err != nil {
		return nil, err
	}
	d.InlineFragments(r.graph.Client, r.graph.Shapes)
	order := d.Order(r.graph.Client, r.graph.Shapes, key.conditions)
	doc.Input.Variables = document.ConditionVariables(d.Conditions, key.conditions)
	// Always the named variant, and all of it against the client schema: a pooled
	// normalizer keeps the name of its last operation, and the router schema would
	// show @inaccessible fields.
	tools.normalize.NormalizeNamedOperation(doc, r.graph.Client, []byte(d.Name), &report)
	var nulls *inputs.Nulls
	if !report.HasErrors() {
		document.DropPlaceholders(doc)
		nulls = inputs.FindNulls(r.graph.Client, doc)
		nulls.WhileLoose(func() { tools.validate.Validate(doc, r.graph.Client, &report) })
	}
	if report.HasErrors() {
		document.Locate(&report, key.text, d.Name)
		return nil, clienterr.FromReport(report)
	}
	op := &operation{
		kind: d.Kind, size: d.Size, introspects: d.Introspects, key: key, from: r,
		hash: xxhash.Sum64String(key.text + key.name + key.conditions + "\x00" + key.refused),
		name: shown(d.Name), took: r.metrics.operations.of(d.Name, d.Kind),
	}
	op.id = strconv.FormatUint(op.hash, 16)
	var err error
	if op.cost, err = r.compileCost(doc); err != nil {
		return nil, err
	}
	op.limited = r.limitedFields(doc)
	declared, err := inputs.ReadDeclared(r.graph.Inputs, doc)
	if err != nil {
		return nil, err
	}
	op.voids = nulls.Fields(len(r.graph.Rights.List))
	doc.Input.Variables = nulls.Part(declared.Holes())
	tools.extract.NormalizeOperation(doc, r.graph.Client, &report)
	if report.HasErrors() {
		return nil, clienterr.FromReport(report)
	}
	nulls.Extracted()
	remap := tools.remap.NormalizeOperation(doc, r.graph.Client, &report)
	if report.HasErrors() {
		return nil, clienterr.FromReport(report)
	}
	// The planner writes key and @requires fields into its document.
	planned, err := r.plannedDocument(op, doc)
	if err != nil {
		return nil, fault.Internal(fmt.Errorf("copying the operation: %w", err))
	}
	if op.variables, err = inputs.NewVariables(doc, declared, nulls, remap); err != nil {
		return nil, err
	}
	if planned == nil { // nothing of it may run
		return op, nil
	}
	if d.Introspects {
		if err := r.takeIntrospection(op, planned); err != nil {
			return nil, err
		}
		if op.introspection != nil && op.introspection.Alone {
			return op, nil
		}
	}
	document.PrefixAliases(planned, r.graph.Taking)
	if planned, err = document.SetApart(planned, r.graph.Client, r.graph.Shapes, d.Size.Fields); err != nil {
		return nil, err
	}
	if op.response, op.trigger, err = r.planAnyhow(planned, d.Name); err != nil {
		return nil, err
	}
	order.Arrange(op.response.Data)
	if op.trigger != nil {
		_, op.trigger.rights = r.graph.Rights.Of(doc)
	}
	op.boxes = hasBoxes(op.response.Data)
	op.entities = entities.Of(op.response.Fetches)
	r.attachSources(op.response.Fetches, op)
	if op.trigger == nil {
		op.direct = newDirect(op.response)
	}
	return op, nil
}

func (r *generation) planResponse(config plan.Configuration, doc *ast.Document, name string) (*resolve.GraphQLResponse, *trigger, error) {
	planner, err := plan.NewPlanner(config)
	if err != nil {
		return nil, nil, fault.Internal(err)
	}
	var report operationreport.Report
	planned := planner.Plan(doc, r.graph.Router, name, &report)
	if report.HasErrors() {
		r.log.Warn("operation cannot be planned", "error", report)
		return nil, nil, errUnplannable
	}
	var response *resolve.GraphQLResponse
	var subscription *resolve.GraphQLSubscription
	switch p := planned.(type) {
	case *plan.SynchronousResponsePlan:
		response = p.Response
	case *plan.SubscriptionResponsePlan:
		subscription, response = p.Response, p.Response.Response
	default:
		return nil, nil, fault.InvalidInput("query", "incremental delivery is not supported")
	}
	if cyclic(response.RawFetches) {
		return nil, nil, errCyclic
	}
	shareDependencies(response.RawFetches)
	boxLists(response)
	postprocess.NewProcessor().Process(planned)
	var found *trigger
	if subscription != nil {
		if found, err = r.newTrigger(subscription); err != nil {
			return nil, nil, err
		}
	}
	document.RestoreAliases(response.Data)
	return response, found, nil
}

// newTrigger finds the subgraph of a planned subscription, which has one field.
func (r *generation) newTrigger(s *resolve.GraphQLSubscription) (*trigger, error) {
	source, ok := r.sources[s.Trigger.SourceName]
	if !ok || len(s.Response.Data.Fields) != 1 || s.Response.Data.Fields[0].Info == nil {
		return nil, fault.InvalidInput("query", "a subscription selects one field of a subgraph")
	}
	found := &trigger{
		subgraph: s.Trigger.SourceName, follower: source, template: s.Trigger.InputTemplate,
	}
	found.sharing = r.newSharing(found)
	return found, nil
}

// errUnplannable answers a valid operation for which there is no order of fetches.
var errUnplannable = fault.New(fault.CodeOperationTooComplex,
	"the operation cannot be planned: fields wait for each other; ask for them in separate operations")
