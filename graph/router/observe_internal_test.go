package router

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
)

// Names are the clients' choice, so there is an end to them.
func TestOperationsHaveSoManySeries(t *testing.T) {
	t.Parallel()
	s := newOperationSeries(3)
	s.of(strings.Repeat("Long", 100), ast.OperationTypeQuery).Observe(1) // as other
	for i := range 100 {
		s.of("Name"+strconv.Itoa(i), ast.OperationTypeQuery).Observe(1)
	}
	s.of("Name1", ast.OperationTypeQuery).Observe(1)
	s.of("", ast.OperationTypeMutation).Observe(1)
	if n := testutil.CollectAndCount(s.vec); n != 3+2 { // and other, and those without a name
		t.Errorf("%d series", n)
	}
}

func TestTenantsHaveSoManySeries(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newTenantSeries(2, func() time.Time { return now })
	first, second, third := uuid.New(), uuid.New(), uuid.New()
	ask := func(tenant uuid.UUID) { s.of(tenant).observe(outcomeOK, time.Second) }
	count := func(label string) float64 { return testutil.ToFloat64(s.requests.WithLabelValues(label, outcomeOK)) }
	ask(first)
	ask(second)
	ask(third)
	ask(first)
	if count(first.String()) != 2 || count(second.String()) != 1 || count(other) != 1 {
		t.Errorf("%v, %v, %v", count(first.String()), count(second.String()), count(other))
	}
	now = now.Add(30 * time.Minute)
	ask(first)
	now = now.Add(quiet - time.Minute)
	ask(third) // the second has been quiet for long
	ask(third)
	if count(third.String()) != 2 || count(first.String()) != 3 || count(other) != 1 {
		t.Errorf("%v, %v, %v", count(third.String()), count(first.String()), count(other))
	}
	if s.seconds.Delete(prometheus.Labels{"tenant": second.String()}) {
		t.Error("the second's seconds are kept")
	}
}
