package main

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/ratelimit"
)

// limitsConfig bounds what callers may ask for, and how often.
type limitsConfig struct {
	MaxBody               int64 `name:"max-body" env:"TRADESAGE_MAX_BODY" default:"1048576" help:"Most bytes of a GraphQL request, as it comes and unpacked."`
	MaxTokens             int   `name:"max-tokens" env:"TRADESAGE_MAX_TOKENS" default:"10000" help:"Most lexical tokens of a document."`
	MaxDepth              int   `name:"max-depth" env:"TRADESAGE_MAX_DEPTH" default:"25" help:"How deep fields may nest."`
	MaxFields             int   `name:"max-fields" env:"TRADESAGE_MAX_FIELDS" default:"2000" help:"Most fields of an operation, its fragments expanded."`
	MaxAliases            int   `name:"max-aliases" env:"TRADESAGE_MAX_ALIASES" default:"200" help:"Most aliases of an operation, its fragments expanded."`
	MaxRootFields         int   `name:"max-root-fields" env:"TRADESAGE_MAX_ROOT_FIELDS" default:"50" help:"Most fields of the operation itself."`
	MaxDirectives         int   `name:"max-directives" env:"TRADESAGE_MAX_DIRECTIVES" default:"50" help:"Most directives of an operation, its fragments expanded."`
	MaxIntrospection      int   `name:"max-introspection" env:"TRADESAGE_MAX_INTROSPECTION" default:"3" help:"How deep lists may nest within an introspection."`
	MaxIntrospectionBytes int   `name:"max-introspection-bytes" env:"TRADESAGE_MAX_INTROSPECTION_BYTES" default:"16777216" help:"Most bytes that an operation's __schema and __type may answer."`
	MaxCost               int64 `name:"max-cost" env:"TRADESAGE_MAX_COST" default:"40000" help:"Most that an operation may cost, by the @cost and @listSize of the schema."`
	AnonymousMaxCost      int64 `name:"anonymous-max-cost" env:"TRADESAGE_ANONYMOUS_MAX_COST" default:"1000" help:"The same for who is not signed in."`

	RateIP         rate            `name:"rate-ip" env:"TRADESAGE_RATE_IP" default:"600/1m" help:"Requests of who is not signed in, by address, as 600/1m: 600 at once, and 600 more in each minute, evenly; off for no limit."`
	RateSockets    rate            `name:"rate-sockets" env:"TRADESAGE_RATE_SOCKETS" default:"1000/1m" help:"WebSockets that an address may open."`
	RateUser       rate            `name:"rate-user" env:"TRADESAGE_RATE_USER" default:"3000/1m" help:"Requests of a user."`
	RateTenant     rate            `name:"rate-tenant" env:"TRADESAGE_RATE_TENANT" default:"60000/1m" help:"Requests of a tenant's users together."`
	RateUserCost   rate            `name:"rate-user-cost" env:"TRADESAGE_RATE_USER_COST" default:"300000/1m" help:"Costs of a user's operations."`
	RateTenantCost rate            `name:"rate-tenant-cost" env:"TRADESAGE_RATE_TENANT_COST" default:"6000000/1m" help:"Costs of the operations of a tenant's users together."`
	RateClients    map[string]rate `name:"rate-clients" env:"TRADESAGE_RATE_CLIENTS" mapsep:"," placeholder:"NAME=RATE,…" help:"Requests of programs by what they call themselves, of a tenant's users together, as console=6000/1m,*=600/1m; * is for all others together. On top of the other rates (docs/limits.md)."`
	RateSecrets    rate            `name:"rate-secrets" env:"TRADESAGE_RATE_SECRETS" default:"120/1m" help:"Operations that check a password, a code or a ticket, by address."`
	RateLogin      rate            `name:"rate-login" env:"TRADESAGE_RATE_LOGIN" default:"30/5m" help:"Tries to sign in to one account, from wherever, and of one user to change or confirm the password."`
	RateMail       rate            `name:"rate-mail" env:"TRADESAGE_RATE_MAIL" default:"10/1h" help:"Mails that registering and forgetting a password send to one e-mail address."`

	Concurrency       int           `name:"concurrency" env:"TRADESAGE_CONCURRENCY" default:"0" help:"Operations that run at once; more wait, and tenants take turns. 0 is 16 for each core where all services are in this process, else 1024."`
	LeastConcurrency  int           `name:"least-concurrency" env:"TRADESAGE_LEAST_CONCURRENCY" default:"0" help:"How many of them one tenant of several is left with while it has most of what runs and waits and operations take much longer than alone; between the two the number follows how they do. 0 is one for each two cores where all services are in this process, else a quarter. As many as TRADESAGE_CONCURRENCY for no such restraint."`
	TenantConcurrency int           `name:"tenant-concurrency" env:"TRADESAGE_TENANT_CONCURRENCY" default:"0" help:"Most of them of one tenant; 0 is three quarters."`
	UserConcurrency   int           `name:"user-concurrency" env:"TRADESAGE_USER_CONCURRENCY" default:"0" help:"Most of them of one user; 0 is half."`
	TenantWaiting     int           `name:"tenant-waiting" env:"TRADESAGE_TENANT_WAITING" default:"256" help:"Operations of one tenant that may wait; more are RATE_LIMITED."`
	Waiting           int           `name:"waiting" env:"TRADESAGE_WAITING" default:"4096" help:"Operations that may wait at all; more are UNAVAILABLE."`
	MaxWait           time.Duration `name:"max-wait" env:"TRADESAGE_MAX_WAIT" default:"5s" help:"How long an operation may wait."`

	File           string   `name:"limits-file" env:"TRADESAGE_LIMITS_FILE" type:"path" help:"JSON file with the limits of tenants' plans and of classes of callers, by a scope that they hold (docs/limits.md). A changed file is taken up within two seconds, or at once with SIGHUP; what is wrong is refused, and the former limits stay."`
	TrustedProxies []string `name:"trusted-proxy" env:"TRADESAGE_TRUSTED_PROXIES" help:"Addresses or networks (CIDR) of proxies whose Forwarded or X-Forwarded-For is believed, as 10.0.0.0/8."`
}

// rate is how much in which time; zero is no limit.
type rate struct {
	quota  int64
	period time.Duration
}

// UnmarshalText reads "600/1m" or "off".
func (r *rate) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*r = rate{}
		return nil
	}
	count, period, ok := strings.Cut(string(text), "/")
	quota, err := strconv.ParseInt(count, 10, 64)
	if !ok || err != nil {
		return fmt.Errorf("%q is not a rate as 600/1m, nor off", text)
	}
	d, err := time.ParseDuration(period)
	if err != nil {
		return fmt.Errorf("%q is not a rate as 600/1m, nor off", text)
	}
	p := ratelimit.Policy{Name: "rate", Quota: quota, Period: d}
	if err := p.Validate(); err != nil {
		return err
	}
	*r = rate{quota, d}
	return nil
}

func (r rate) policy(name string) *ratelimit.Policy {
	if r.quota == 0 {
		return nil
	}
	return &ratelimit.Policy{Name: name, Quota: r.quota, Period: r.period}
}

// exact is a policy for what is rare.
func (r rate) exact(name string) *ratelimit.Policy {
	p := r.policy(name)
	if p != nil {
		p.Exact = true
	}
	return p
}

func (c *limitsConfig) validate() error {
	for name, value := range map[string]int64{
		"BODY": c.MaxBody, "TOKENS": int64(c.MaxTokens), "DEPTH": int64(c.MaxDepth), "FIELDS": int64(c.MaxFields),
		"ALIASES": int64(c.MaxAliases), "ROOT_FIELDS": int64(c.MaxRootFields), "DIRECTIVES": int64(c.MaxDirectives),
		"INTROSPECTION": int64(c.MaxIntrospection), "INTROSPECTION_BYTES": int64(c.MaxIntrospectionBytes), "COST": c.MaxCost,
	} {
		if value < 0 { // 0 is the default
			return fmt.Errorf("TRADESAGE_MAX_%s: %d is negative", name, value)
		}
	}
	for name, value := range map[string]int{
		"CONCURRENCY": c.Concurrency, "TENANT_CONCURRENCY": c.TenantConcurrency, "USER_CONCURRENCY": c.UserConcurrency,
		"LEAST_CONCURRENCY": c.LeastConcurrency,
		"TENANT_WAITING":    c.TenantWaiting, "WAITING": c.Waiting,
	} {
		if value < 0 {
			return fmt.Errorf("TRADESAGE_%s: %d is negative", name, value)
		}
	}
	if c.MaxWait < 0 {
		return fmt.Errorf("TRADESAGE_MAX_WAIT: %s is negative", c.MaxWait)
	}
	if c.AnonymousMaxCost < 0 {
		return fmt.Errorf("TRADESAGE_ANONYMOUS_MAX_COST: %d is negative", c.AnonymousMaxCost)
	}
	if _, err := identity.ParseProxies(c.TrustedProxies); err != nil {
		return fmt.Errorf("TRADESAGE_TRUSTED_PROXIES: %w", err)
	}
	_, _, classErr := c.read()
	return errors.Join(c.checkClients(), classErr)
}

// concurrency is how many operations run at once, of all and of one.
func (c *limitsConfig) concurrency(remote bool) (all int, of router.Concurrency) {
	all = c.Concurrency
	switch {
	case all == 0 && remote: // what waits for others needs no core
		all = 1024
	case all == 0:
		all = 16 * runtime.GOMAXPROCS(0)
	}
	least := c.LeastConcurrency
	switch {
	case least == 0 && remote:
		least = max(all/4, 1)
	case least == 0:
		least = max(runtime.GOMAXPROCS(0)/2, 1)
	}
	of = router.Concurrency{
		Least: min(least, all), Tenant: c.TenantConcurrency, User: c.UserConcurrency, TenantWaiting: c.TenantWaiting, Waiting: c.Waiting, MaxWait: c.MaxWait,
	}
	if of.Tenant == 0 {
		of.Tenant = max(3*all/4, 1)
	}
	if of.User == 0 {
		of.User = max(all/2, 1)
	}
	return all, of
}

// limits are everybody's.
func (c *limitsConfig) limits() router.Limits {
	return router.Limits{
		MaxBodyBytes: c.MaxBody, MaxTokens: c.MaxTokens, MaxDepth: c.MaxDepth, MaxFields: c.MaxFields, MaxAliases: c.MaxAliases,
		MaxRootFields: c.MaxRootFields, MaxDirectives: c.MaxDirectives, MaxIntrospection: c.MaxIntrospection,
		MaxIntrospectionBytes: c.MaxIntrospectionBytes,
		MaxCost:               c.MaxCost, Guarded: guarded,
	}
}

func (c *limitsConfig) rates() router.Rates {
	return router.Rates{
		IP: c.RateIP.policy("ip"), Sockets: c.RateSockets.policy("sockets"),
		User: c.RateUser.policy("user"), Tenant: c.RateTenant.policy("tenant"),
		UserCost: c.RateUserCost.policy("user-cost"), TenantCost: c.RateTenantCost.policy("tenant-cost"),
	}
}

// otherClients stands for the programs that have no rate of their own.
const otherClients = "*"

func (c *limitsConfig) checkClients() error {
	if len(c.RateClients) > 100 {
		return fmt.Errorf("TRADESAGE_RATE_CLIENTS: %d programs are more than 100", len(c.RateClients))
	}
	for _, name := range sortedKeys(c.RateClients) {
		if name != otherClients && !clientName.MatchString(name) {
			return fmt.Errorf("TRADESAGE_RATE_CLIENTS: %q: a name has 1 to 64 letters, digits or any of ._@/-", name)
		}
	}
	return nil
}

var clientName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@/-]{0,63}$`)

func (c *limitsConfig) clientRates() router.ClientRates {
	out := router.ClientRates{Named: map[string]*ratelimit.Policy{}}
	for name, rate := range c.RateClients {
		if name == otherClients {
			out.Other = rate.policy("clients")
			continue
		}
		out.Named[name] = rate.policy("client-" + name) // off frees it of the others' rate
	}
	return out
}

// fieldRates are those of what guesses could be sent to, or mails be sent by.
func (c *limitsConfig) fieldRates() map[string]router.FieldRate {
	secrets, login, mail := c.RateSecrets.exact("secrets"), c.RateLogin.exact("login"), c.RateMail.exact("mail")
	rates := map[string]router.FieldRate{}
	for _, name := range guarded {
		if name != "refreshSession" { // whose tokens nobody guesses, and whole offices renew
			rates[name] = router.FieldRate{IP: secrets, User: login}
		}
	}
	rates["login"] = router.FieldRate{IP: secrets, Value: login, Argument: "input.email"}
	for _, name := range []string{"register", "requestPasswordReset"} {
		rates[name] = router.FieldRate{IP: secrets, Value: mail, Argument: "input.email"}
	}
	return rates
}

// limit gives the router its limits, and returns what follows those of the file, if
// there is one. plan tells the plan of a caller's tenant, without waiting.
func (a *app) limit(options *router.Options, plan func(*identity.Caller) string) (_ *followed[limitsFile], err error) {
	c := &a.config.Limits
	options.Limits, options.Rates, options.FieldRates = c.limits(), c.rates(), c.fieldRates()
	options.ClientRates = c.clientRates()
	options.Trusted = a.config.Operations.trusted()
	if options.Automatic, err = a.automatic(); err != nil {
		return nil, err
	}
	options.MaxConcurrent, options.Concurrency = c.concurrency(len(a.config.Parts.remote()) > 0 || a.config.Supergraph.given())
	counting := ratelimit.Options{Logger: a.logger, Metrics: a.registry}
	if a.redis != nil {
		counting.Redis = a.redis
	}
	if options.Limiter, err = ratelimit.New(counting); err != nil {
		return nil, fmt.Errorf("rate limits: %w", err)
	}
	return a.followLimits(options, plan)
}
