package auth

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/tradesage/tradesage/internal/fault"
)

const (
	// MaxPassword bounds a password in bytes, before anything is done with it.
	MaxPassword = 512
	// MinPassword is the shortest password that may be chosen, in characters.
	MinPassword = 12

	defaultHashQueue = 64
	// hashTime is roughly what one hash takes, to say when to come back.
	hashTime = 75 * time.Millisecond
)

// OWASP's minimum for argon2id: 19 MiB, two passes, one lane.
var defaultParams = argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// Passwords hashes and compares passwords, a few at a time: one hash takes most
// of a tenth of a second of a core, and a storm of sign-ins must not take the
// cores from everybody else.
type Passwords struct {
	params argon2id.Params
	dummy  string
	slots  chan struct{}
	queue  int64
	queued atomic.Int64
}

// PasswordOptions are what NewPasswords needs; the zero value is good.
type PasswordOptions struct {
	// Slots is how many hashes may run at once: GOMAXPROCS-1, at least 1, if zero.
	Slots int
	// Queue is how many may wait for a slot; 64 if zero.
	Queue int
	// Params are the costs of new hashes: 19 MiB, 2 passes, 1 lane if nil.
	Params *argon2id.Params
}

// NewPasswords returns a hasher.
func NewPasswords(o PasswordOptions) (*Passwords, error) {
	if o.Slots <= 0 {
		o.Slots = max(runtime.GOMAXPROCS(0)-1, 1)
	}
	if o.Queue <= 0 {
		o.Queue = defaultHashQueue
	}
	if o.Params == nil {
		o.Params = &defaultParams
	}
	dummy, err := argon2id.CreateHash("no account has this password", o.Params)
	if err != nil {
		return nil, fmt.Errorf("password hash: %w", err)
	}
	return &Passwords{params: *o.Params, dummy: dummy, slots: make(chan struct{}, o.Slots), queue: int64(o.Queue)}, nil
}

// Hash returns the password's hash in PHC string format. It fails with
// RATE_LIMITED when too many wait already, and with ctx's error.
func (p *Passwords) Hash(ctx context.Context, password string) (hash string, err error) {
	queueErr := p.run(ctx, func() { hash, err = argon2id.CreateHash(password, &p.params) })
	if queueErr != nil {
		return "", queueErr
	}
	if err != nil {
		return "", fmt.Errorf("password hash: %w", err)
	}
	return hash, nil
}

// Verify reports whether the password is the one of hash. An empty hash, of
// somebody unknown, costs the same and is never right. It fails like Hash.
func (p *Passwords) Verify(ctx context.Context, password, hash string) (ok bool, err error) {
	known := hash != ""
	if !known {
		hash = p.dummy
	}
	queueErr := p.run(ctx, func() { ok, err = argon2id.ComparePasswordAndHash(password, hash) })
	if queueErr != nil {
		return false, queueErr
	}
	if err != nil {
		return false, fmt.Errorf("password hash: %w", err)
	}
	return ok && known, nil
}

// run calls work in a slot.
func (p *Passwords) run(ctx context.Context, work func()) error {
	select {
	case p.slots <- struct{}{}:
	default:
		waiting := p.queued.Add(1)
		defer p.queued.Add(-1)
		if waiting > p.queue {
			wait := hashTime * time.Duration(p.queue) / time.Duration(cap(p.slots))
			return fault.RateLimited("too many people are signing in at the moment; try again", max(wait.Round(time.Second), time.Second))
		}
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-p.slots }()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	work()
	return nil
}

// checkNewPassword says what is wrong with a password that somebody chooses.
func checkNewPassword(field, password string) error {
	if n := len([]rune(password)); n < MinPassword || len(password) > MaxPassword {
		return fault.InvalidInput(field, fmt.Sprintf("must have between %d and %d characters", MinPassword, MaxPassword))
	}
	return nil
}

// checkPassword bounds a password that is to be compared.
func checkPassword(field, password string) error {
	if password == "" || len(password) > MaxPassword {
		return fault.InvalidInput(field, fmt.Sprintf("must have between 1 and %d characters", MaxPassword))
	}
	return nil
}
