package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router/internal/document"
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
func newClasses(options *Options, of []Class, m *metrics) (classes, Limits, error) {
	ordinary := options.Limits.WithDefaults()
	widest := ordinary
	out := classes{"": newClass(Class{Name: "default", Limits: ordinary, Rates: &options.Rates}, m)}
	for _, c := range of {
		if c.Name == "" || out[c.Name] != nil {
			return nil, widest, fmt.Errorf("class %q: needs a name that no other has", c.Name)
		}
		c.Limits = c.Limits.OrElse(ordinary)
		widest = widest.OrWider(c.Limits)
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
	p := r.policy.Load()
	if p.classify != nil {
		if c := p.classes[p.classify(ctx)]; c != nil {
			return c
		}
	}
	return p.classes[""]
}

// admits refuses an operation that is beyond the limits of a class.
func (c *class) admits(op *operation) error {
	err := c.Limits.Check(op.size, op.kind)
	c.count(err)
	return err
}

// count counts an error that a limit made.
func (c *class) count(err error) {
	var beyond *document.BeyondLimit
	if errors.As(err, &beyond) {
		c.refused(beyond.Kind)
	}
}

func newLimited() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tradesage_router_limited_total",
		Help: "Requests that a limit refused, by its kind (body, tokens, depth, fields, aliases, root_fields, directives, introspection, guarded, cost, batch, rate, concurrency, sockets, persisted) and the caller's class.",
	}, []string{"kind", "class"})
}
