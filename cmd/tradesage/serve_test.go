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
		"TRADESAGE_DRAIN_DELAY": "1h", "TRADESAGE_TRACES_ENDPOINT": "collector:4318", "TRADESAGE_TRACES_RATIO": "NaN", "TRADESAGE_MAX_WAIT": "-1s",
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

// What is wrong costs nobody a start of databases.
func TestDevRefusesBadConfiguration(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{
		"TRADESAGE_ORIGINS": "a b", "TRADESAGE_STREAM_QUEUE": "0", "TRADESAGE_MEMORY_GARBAGE": "1",
		"TRADESAGE_MAX_DEPTH": "-1", "TRADESAGE_OPERATIONS": "trusted", "TRADESAGE_SLOW_OPERATION": "-1s",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary(t), "dev", "--listen", freePort(t), "--metrics-listen", freePort(t), "--data", t.TempDir())
		cmd.Env = []string{name + "=" + bad}
		out, err := cmd.CombinedOutput()
		if text := string(out); err == nil || !strings.Contains(text, name) || strings.Contains(text, "PostgreSQL") {
			t.Errorf("%s: got %v in:\n%s", name, err, out)
		}
	}
}

// A variable with a slip of the pen is told, by its name alone.
func TestVariablesThatAreNoSettings(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	key := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	cmd := exec.CommandContext(ctx, binary(t), "serve", "--listen", freePort(t), "--metrics-listen", freePort(t))
	cmd.Env = []string{
		"TRADESAGE_DATABASE_URL=postgres://127.0.0.1:1/none", "TRADESAGE_DATABASE_SECRET=" + key,
		"TRADESAGE_MASTER_KEY=" + key, "TRADESAGE_REDIS_URL=redis://127.0.0.1:1/0", "TRADESAGE_START_WAIT=0s",
		"TRADESAGE_RATE_USERS=10/1m", "TRADESAGE_SMTP_PASSWRD=hunter2", "DATABASE_URL=x",
		// As Kubernetes has it for a service of this name.
		"TRADESAGE_SERVICE_HOST=10.0.0.1", "TRADESAGE_SERVICE_PORT_HTTP=8001", "TRADESAGE_PORT=tcp://10.0.0.1:8001", "TRADESAGE_ROUTER_PORT_8001_TCP_ADDR=10.0.0.1",
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("it serves without a database")
	}
	if text := string(out); !strings.Contains(text, `"names":"TRADESAGE_RATE_USERS, TRADESAGE_SMTP_PASSWRD"`) || strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}
