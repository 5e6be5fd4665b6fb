package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRememberAsksSeldom(t *testing.T) {
	t.Parallel()
	now, asked := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 0
	var failure error
	test := remember(time.Minute, func() time.Time { return now }, func(context.Context) ([]string, error) {
		asked++
		return []string{"a lock"}, failure
	})
	for _, step := range []struct {
		after   time.Duration
		failure error
		asked   int
	}{
		{0, errors.New("away"), 1}, {0, errors.New("away"), 2}, // an error is not kept
		{0, nil, 3}, {59 * time.Second, errors.New("away"), 3}, {2 * time.Second, nil, 4},
	} {
		now, failure = now.Add(step.after), step.failure
		before := asked
		missing, err := test(t.Context())
		if asked != step.asked || asked > before && !errors.Is(err, step.failure) {
			t.Errorf("asked %d times, %v; want %d", asked, err, step.asked)
		}
		if err == nil {
			if diff := cmp.Diff([]string{"a lock"}, missing); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestABadRedisURLDoesNotShowItsPassword(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"redis://:hunter2@host:port/0", "redis://:hunter 2@@:x", "http://:hunter2@host", "redis://:hunter2@host/x"} {
		_, err := openRedis(address, slog.New(slog.DiscardHandler))
		if err == nil || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "TRADESAGE_REDIS_URL") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
