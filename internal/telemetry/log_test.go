package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"testing"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func TestHandlerNamesTheCaller(t *testing.T) {
	t.Parallel()
	caller := &identity.Caller{Subject: uuid.New(), Tenant: dbtest.New(t).Tenant(t)}
	var log bytes.Buffer
	logger := slog.New(telemetry.NewHandler(slog.NewJSONHandler(&log, nil))).With("service", "user")
	ctx := identity.NewContext(telemetry.WithRequestID(t.Context(), "r1"), caller)
	logger.InfoContext(ctx, "hello")
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"service": "user", "request_id": "r1",
		"tenant_id": caller.Tenant.ID().String(), "user_id": caller.Subject.String(),
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %s", key, line[key], want)
		}
	}
}
