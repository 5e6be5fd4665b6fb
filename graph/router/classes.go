package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/internal/fault"
)

// Class is what callers of one kind may ask for.
type Class struct {
	// Name is the label of its metrics, and what Options.Classify answers.
	Name string
	// Limits of 0 are those of Options.Limits.
	Limits Limits
	// Rates are Options.Rates if nil.
	Rates *Rates
}

// classes are the classes by their names, with all limits filled in. "" is
// everybody else.
type classes map[string]*class

type class struct {
	Class
	refused  func(kind string) // counts
	rates    *Rates
	policies []string // as a header tells them
}

// newClasses fills in the limits of each class, and returns the widest of all:
// what is beyond those nobody may ask for, so it need not be planned.
func newClasses(options *Options, m *metrics) (classes, Limits, error) {
	ordinary := options.Limits.withDefaults()
	widest := ordinary
	out := classes{"": newClass(Class{Name: "default", Limits: ordinary, Rates: &options.Rates}, m)}
	for _, c := range options.Classes {
		if c.Name == "" || out[c.Name] != nil {
			return nil, widest, fmt.Errorf("class %q: needs a name that no other has", c.Name)
		}
		c.Limits = c.Limits.orElse(ordinary)
		widest = widest.orWider(c.Limits)
		if c.Rates == nil {
			c.Rates = &options.Rates
		}
		out[c.Name] = newClass(c, m)
	}
	return out, widest, nil
}

func newClass(c Class, m *metrics) *class {
	return &class{
		Class: c, refused: func(kind string) { m.limited.WithLabelValues(kind, c.Name).Inc() },
		rates: c.Rates, policies: c.Rates.policyHeader(),
	}
}

// classOf is the class of the caller of ctx.
func (r *Router) classOf(ctx context.Context) *class {
	if r.options.Classify != nil {
		if c := r.classes[r.options.Classify(ctx)]; c != nil {
			return c
		}
	}
	return r.classes[""]
}

// admits refuses an operation that is beyond the limits of a class.
func (c *class) admits(op *operation) error {
	err := c.Limits.checkSize(op.size, op.kind)
	c.count(err)
	return err
}

// count counts an error that a limit made.
func (c *class) count(err error) {
	var beyond *beyondLimit
	if errors.As(err, &beyond) {
		c.refused(beyond.kind)
	}
}

// orElse fills limits of 0 in.
func (l Limits) orElse(other Limits) Limits {
	if l.MaxBodyBytes <= 0 {
		l.MaxBodyBytes = other.MaxBodyBytes
	}
	if l.MaxCost <= 0 {
		l.MaxCost = other.MaxCost
	}
	mine, others := l.counts(), other.counts()
	for i, limit := range mine {
		if *limit <= 0 {
			*limit = *others[i]
		}
	}
	if l.Guarded == nil {
		l.Guarded = other.Guarded
	}
	return l
}

// orWider takes the larger one of each limit.
func (l Limits) orWider(other Limits) Limits {
	l.MaxBodyBytes, l.MaxCost = max(l.MaxBodyBytes, other.MaxBodyBytes), max(l.MaxCost, other.MaxCost)
	mine, others := l.counts(), other.counts()
	for i, limit := range mine {
		*limit = max(*limit, *others[i])
	}
	return l
}

// counts are the limits that count something in a document.
func (l *Limits) counts() []*int {
	return []*int{
		&l.MaxTokens, &l.MaxDepth, &l.MaxFields, &l.MaxAliases, &l.MaxRootFields, &l.MaxDirectives, &l.MaxIntrospection,
	}
}

// beyondLimit is the cause of a refusal by a limit, for the metrics.
type beyondLimit struct{ kind string }

func (b *beyondLimit) Error() string { return "beyond the limit of " + b.kind }

// tooComplex refuses what has more than limit of kind, which is a metric's label.
func tooComplex(kind, what string, limit int) *fault.Error {
	return fault.New(fault.CodeOperationTooComplex, fmt.Sprintf("the operation has more than %d %s", limit, what)).
		Because(&beyondLimit{kind})
}

func newLimited() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tradesage_router_limited_total",
		Help: "Requests that a limit refused, by its kind (body, tokens, depth, fields, aliases, root_fields, directives, introspection, guarded, cost, batch, rate, concurrency, sockets, persisted) and the caller's class.",
	}, []string{"kind", "class"})
}
