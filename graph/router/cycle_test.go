package router_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
)

// Fields that require each other are nobody's to begin with: the supergraph is
// refused, by the names of the fields.
func TestFieldsThatRequireThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	_, err := router.New(ctx, router.Options{Config: readConfig(t, "loop")})
	want := "fields require each other: Thing.left requires Thing.right requires Thing.left"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
