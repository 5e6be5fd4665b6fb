package router

import (
	"context"
	"errors"
)

// RightsCheck returns the check of an operation's rights by itself.
func RightsCheck(r *Router, query string) func(context.Context) error {
	op, err := r.current.Load().prepare(context.Background(), query, "", nil)
	if err != nil {
		return func(context.Context) error { return err }
	}
	return func(ctx context.Context) error {
		refused, err := r.refused(ctx, op, nil)
		if refused != nil {
			return errors.New("refused")
		}
		return err
	}
}
