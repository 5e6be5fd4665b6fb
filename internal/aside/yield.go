package aside

import "context"

type yieldKey struct{}

// Yielding returns a context in which Yield calls what is given here.
func Yielding(ctx context.Context, yield func()) context.Context {
	return context.WithValue(ctx, yieldKey{}, yield)
}

// Yield says that who calls it will now wait, perhaps long: a goroutine that others
// count on lets another one take its place.
func Yield(ctx context.Context) {
	if yield, ok := ctx.Value(yieldKey{}).(func()); ok {
		yield()
	}
}
