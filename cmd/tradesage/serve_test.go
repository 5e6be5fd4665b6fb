package main_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestServeRefusesBadConfiguration(t *testing.T) {
	t.Parallel()
	key := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	good := map[string]string{
		"TRADESAGE_DATABASE_URL": "postgres://127.0.0.1:1/none", "TRADESAGE_DATABASE_SECRET": key,
		"TRADESAGE_MASTER_KEY": key, "TRADESAGE_REDIS_URL": "redis://127.0.0.1:1/0", "TRADESAGE_START_WAIT": "0s",
	}
	for name, bad := range map[string]string{
		"TRADESAGE_DATABASE_URL": "", "TRADESAGE_DATABASE_SECRET": "c2hvcnQ=", "TRADESAGE_MASTER_KEY": "not base64!",
		"TRADESAGE_REDIS_URL": "", "TRADESAGE_PUBLIC_URL": "ftp://x", "TRADESAGE_BLANKS": "-1", "TRADESAGE_ACCESS_TOKEN_TTL": "1s",
		"TRADESAGE_DRAIN_DELAY": "1h",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary(t), "serve", "--listen", freePort(t), "--metrics-listen", freePort(t))
			for k, v := range good {
				if k != name {
					cmd.Env = append(cmd.Env, k+"="+v)
				}
			}
			if bad != "" {
				cmd.Env = append(cmd.Env, name+"="+bad)
			}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), name) {
				t.Errorf("got %v, want %s named in:\n%s", err, name, out)
			}
		})
	}
}
