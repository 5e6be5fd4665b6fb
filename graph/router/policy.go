package router

import (
	"context"
	"fmt"

	"github.com/tradesage/tradesage/internal/identity"
)

// Classification says what callers may ask for, by their class. It is what of a
// router's limits can change while it runs.
type Classification struct {
	// Classes are as Options.Classes, and Classify as Options.Classify.
	Classes  []Class
	Classify func(context.Context) string
	// Caps is as Concurrency.Of.
	Caps func(*identity.Caller) (tenant, user int)
}

// policy is a Classification in force, with all limits filled in. It does not change.
type policy struct {
	classes  classes
	classify func(context.Context) string
	caps     func(*identity.Caller) (tenant, user int)
	// limits are the widest of all classes.
	limits Limits
	// widest is a class with those limits.
	widest *class
}

func (r *Router) newPolicy(c Classification) (*policy, error) {
	all, limits, err := newClasses(&r.options, c.Classes, r.metrics)
	if err != nil {
		return nil, err
	}
	return &policy{
		classes: all, classify: c.Classify, caps: c.Caps, limits: limits,
		widest: newClass(Class{Name: "default", Limits: limits, Rates: &Rates{}}, r.metrics),
	}, nil
}

// SetClasses puts other classes in the place of those in force, or fails and changes
// nothing. A request keeps the class with which it began, and so does a subscription;
// the next operation on an open socket has the new one, and the next message may be
// as long as that says.
func (r *Router) SetClasses(c Classification) error {
	next, err := r.newPolicy(c)
	if err != nil {
		return fmt.Errorf("classes: %w", err)
	}
	r.policy.Store(next)
	for _, one := range r.clients.list(func(*identity.Caller) bool { return true }) {
		if s, ok := one.(*socket); ok && s.acknowledged() {
			s.bound()
		}
	}
	return nil
}

// bound lets the socket's messages be as long as its caller's class says.
func (s *socket) bound() {
	for {
		before := s.router.policy.Load()
		s.conn.SetReadLimit(s.router.classOf(s.asking(s.running)).Limits.MaxBodyBytes)
		if s.router.policy.Load() == before {
			return
		}
	}
}
