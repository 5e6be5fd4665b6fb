package tenant

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
)

// StandardPlan is the plan of who has ordered nothing else.
const StandardPlan = "standard"

var planName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// ValidPlan reports whether a plan can have this name: 1 to 32 of a-z, 0-9, _ and -,
// a letter first.
func ValidPlan(name string) bool { return planName.MatchString(name) }

// SetPlan gives the tenant with this slug a plan, records tenant.plan, and returns
// the former one. Processes know of it within 10 seconds.
//
// It asks nobody for a permission: it is for operators, who hold the installation's
// secrets, and not for requests. INVALID_INPUT of plan; NOT_FOUND for a slug that no
// tenant has.
func SetPlan(ctx context.Context, store *db.PlatformStore, slug, plan string) (former string, err error) {
	if !ValidPlan(plan) {
		return "", fault.InvalidInput("plan", "a plan's name has 1 to 32 characters of a-z, 0-9, _ and -, a letter first")
	}
	err = store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		changed, err := q.SetTenantPlan(ctx, plan, &slug)
		if errors.Is(err, db.ErrNotFound) {
			return fault.NotFound("no such tenant")
		}
		if err != nil {
			return err
		}
		former = changed.Former
		return audit.RecordPlatform(ctx, q, &changed.ID, audit.Event{
			Action: "tenant.plan", Target: changed.ID.String(),
			Details: map[string]any{"plan": plan, "former": former, "by": "operator"},
		})
	})
	if err != nil {
		return "", fmt.Errorf("plan of tenant %s: %w", slug, err)
	}
	return former, nil
}
