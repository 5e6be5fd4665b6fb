package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/ratelimit"
	"github.com/tradesage/tradesage/internal/tenant"
)

// limitsFile is what TRADESAGE_LIMITS_FILE holds.
type limitsFile struct {
	Plans   []planLimits  `json:"plans"`
	Classes []callerClass `json:"classes"`
}

// planLimits are for the tenants of a plan. What is left out is as everybody's.
type planLimits struct {
	bounds

	TenantConcurrency int `json:"tenantConcurrency"`
	UserConcurrency   int `json:"userConcurrency"`
}

// callerClass is what holders of a scope may ask for. What is left out is as the
// plan of their tenant says.
type callerClass struct {
	bounds

	Scope string `json:"scope"`
	// Plans are those whose tenants have the class; all if empty. A tenant's own
	// administrators say who holds a scope.
	Plans []string `json:"plans"`
}

// bounds are limits with a name.
type bounds struct {
	Name string `json:"name"`

	MaxBody               int64 `json:"maxBody"`
	MaxTokens             int   `json:"maxTokens"`
	MaxDepth              int   `json:"maxDepth"`
	MaxFields             int   `json:"maxFields"`
	MaxAliases            int   `json:"maxAliases"`
	MaxRootFields         int   `json:"maxRootFields"`
	MaxDirectives         int   `json:"maxDirectives"`
	MaxIntrospection      int   `json:"maxIntrospection"`
	MaxIntrospectionBytes int   `json:"maxIntrospectionBytes"`
	MaxCost               int64 `json:"maxCost"`

	RateUser       *rate `json:"rateUser"`
	RateTenant     *rate `json:"rateTenant"`
	RateUserCost   *rate `json:"rateUserCost"`
	RateTenantCost *rate `json:"rateTenantCost"`
}

const (
	classAnonymous = "anonymous"
	// maxNamed bounds the plans, and the classes: each pair has metrics of its own.
	maxNamed = 32
)

var className = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// parseLimits reads a limits file, which must be one whole.
func parseLimits(text []byte) (limitsFile, error) {
	var file limitsFile
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var other *json.UnmarshalTypeError
	if err := decoder.Decode(&file); errors.As(err, &other) {
		// The structs are ours, the field is the file's.
		return file, fmt.Errorf("%s: a JSON %s is not what belongs there", strings.ReplaceAll(other.Field, "bounds.", ""), other.Value)
	} else if err != nil {
		return file, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return file, errors.New("there is more than one JSON value")
	}
	return file, file.validate()
}

func (f *limitsFile) validate() error {
	if len(f.Plans) > maxNamed || len(f.Classes) > maxNamed {
		return fmt.Errorf("there are at most %d plans and %d classes", maxNamed, maxNamed)
	}
	seen := map[string]bool{classAnonymous: true, "default": true}
	plans := map[string]bool{tenant.StandardPlan: true}
	for i := range f.Plans {
		p := &f.Plans[i]
		if !tenant.ValidPlan(p.Name) || seen[p.Name] {
			return fmt.Errorf("plan %q: needs a name of its own of a-z, 0-9, _ and -", p.Name)
		}
		seen[p.Name], plans[p.Name] = true, true
		if err := p.check(int64(p.TenantConcurrency), int64(p.UserConcurrency)); err != nil {
			return fmt.Errorf("plan %s: %w", p.Name, err)
		}
	}
	for i := range f.Classes {
		c := &f.Classes[i]
		switch {
		case !className.MatchString(c.Name) || seen[c.Name]:
			return fmt.Errorf("class %q: needs a name of its own of a-z, 0-9 and _", c.Name)
		case c.Scope == "":
			return fmt.Errorf("class %s: needs the scope of its callers", c.Name)
		}
		seen[c.Name] = true
		for _, plan := range c.Plans {
			if !plans[plan] {
				return fmt.Errorf("class %s: there is no plan %q", c.Name, plan)
			}
		}
		if err := c.check(); err != nil {
			return fmt.Errorf("class %s: %w", c.Name, err)
		}
	}
	return nil
}

// check names a limit that cannot be.
func (b *bounds) check(others ...int64) error {
	for _, n := range append(others,
		b.MaxBody, int64(b.MaxTokens), int64(b.MaxDepth), int64(b.MaxFields), int64(b.MaxAliases),
		int64(b.MaxRootFields), int64(b.MaxDirectives), int64(b.MaxIntrospection), int64(b.MaxIntrospectionBytes), b.MaxCost,
	) {
		if n < 0 {
			return fmt.Errorf("a limit is negative: %d", n)
		}
	}
	return nil
}

func (b *bounds) limits() router.Limits {
	return router.Limits{
		MaxBodyBytes: b.MaxBody, MaxTokens: b.MaxTokens, MaxDepth: b.MaxDepth, MaxFields: b.MaxFields, MaxAliases: b.MaxAliases,
		MaxRootFields: b.MaxRootFields, MaxDirectives: b.MaxDirectives, MaxIntrospection: b.MaxIntrospection,
		MaxIntrospectionBytes: b.MaxIntrospectionBytes, MaxCost: b.MaxCost,
	}
}

// rates are those of others with its own in their places.
func (b *bounds) rates(others router.Rates) router.Rates {
	for _, r := range []struct {
		own  *rate
		name string
		into **ratelimit.Policy
	}{
		{b.RateUser, "user", &others.User},
		{b.RateTenant, "tenant", &others.Tenant},
		{b.RateUserCost, "user-cost", &others.UserCost},
		{b.RateTenantCost, "tenant-cost", &others.TenantCost},
	} {
		if r.own != nil { // counts of its own: another quota fills at another speed
			*r.into = r.own.policy(r.name + "-" + b.Name)
		}
	}
	return others
}

// over are the limits of b, and below those what it leaves out.
func (b *bounds) over(below router.Limits) router.Limits {
	return b.limits().OrElse(below)
}

// chosen finds the class of a caller, by the plan of their tenant and by their scopes.
type chosen struct {
	plans map[string]*chosenPlan
	// standard is for plans that are not in the file.
	standard *chosenPlan
	// plan tells the plan of a caller's tenant; nil where nobody signs in.
	plan    func(*identity.Caller) string
	missing func(context.Context, [][]string) (string, error)
}

type chosenPlan struct {
	name         string // of the router's class
	classes      []chosenClass
	tenant, user int
}

type chosenClass struct {
	name string
	asks [][]string
}

// build adds the classes of a file to the router's: one for each plan, and one for
// each class of callers within it.
func (f *limitsFile) build(options *router.Options) *chosen {
	plans := f.Plans
	if !slices.ContainsFunc(plans, func(p planLimits) bool { return p.Name == tenant.StandardPlan }) {
		plans = append([]planLimits{{}}, plans...) // everybody's limits
	}
	out := &chosen{plans: map[string]*chosenPlan{}}
	for i := range plans {
		p := &plans[i]
		limits, rates := p.over(options.Limits), p.rates(options.Rates)
		of := &chosenPlan{name: p.Name, tenant: p.TenantConcurrency, user: p.UserConcurrency}
		if p.Name != "" {
			options.Classes = append(options.Classes, router.Class{Name: p.Name, Limits: limits, Rates: &rates})
		}
		for j := range f.Classes {
			c := &f.Classes[j]
			if len(c.Plans) > 0 && !slices.Contains(c.Plans, cmp.Or(p.Name, tenant.StandardPlan)) {
				continue
			}
			name := c.Name
			if p.Name != "" {
				name += "@" + p.Name
			}
			rates := c.rates(rates)
			options.Classes = append(options.Classes, router.Class{Name: name, Limits: c.over(limits), Rates: &rates})
			of.classes = append(of.classes, chosenClass{name, [][]string{{c.Scope}}})
		}
		out.plans[cmp.Or(p.Name, tenant.StandardPlan)] = of
	}
	out.standard = out.plans[tenant.StandardPlan]
	return out
}

// planOf is the plan of a caller's tenant, or else the standard one.
func (c *chosen) planOf(caller *identity.Caller) *chosenPlan {
	if c.plan != nil {
		if p := c.plans[c.plan(caller)]; p != nil {
			return p
		}
	}
	return c.standard
}

// name is router.Options.Classify: in the plan, the first class whose scope the
// caller holds. Whose scopes cannot be told has none.
func (c *chosen) name(ctx context.Context) string {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return classAnonymous
	}
	plan := c.planOf(caller)
	for i := range plan.classes {
		if c.missing == nil {
			break
		}
		if lacks, err := c.missing(ctx, plan.classes[i].asks); err == nil && lacks == "" {
			return plan.classes[i].name
		}
	}
	return plan.name
}

// caps is router.Concurrency.Of.
func (c *chosen) caps(caller *identity.Caller) (tenant, user int) {
	plan := c.planOf(caller)
	return plan.tenant, plan.user
}
