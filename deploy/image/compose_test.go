package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// composed is what the tests read of deploy/compose.yaml.
type composed struct {
	Services map[string]struct {
		Image       string
		User        string
		Command     []string
		Environment map[string]string
		EnvFile     []string `yaml:"env_file"`
		Volumes     []string
		Ports       []string
		Networks    []string
		NetworkMode string `yaml:"network_mode"`
		Secrets     []string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		CapAdd      []string `yaml:"cap_add"`
		Security    []string `yaml:"security_opt"`
		Healthcheck struct{ Test []string }
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Deploy      struct {
			Resources struct{ Limits struct{ CPUs, Memory string } }
		}
	}
	Networks, Volumes map[string]any
	Secrets           map[string]struct{ File string }
}

// listens are the ports of the design: of the service and of its metrics.
var listens = map[string]struct{ service, metrics string }{
	"router": {"8001", "9090"}, "auth": {"8000", "9091"}, "session": {"8002", "9092"}, "tenant": {"8003", "9093"}, "user": {"8004", "9094"},
}

func readCompose(t *testing.T) composed {
	t.Helper()
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c composed
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComposeServicesHaveTheirOwn(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, port := range listens {
		s := c.Services[name]
		if diff := cmp.Diff([]string{"certs-" + name + ":/certs:ro", "credentials-" + name + ":/credentials:ro"}, s.Volumes); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{"secrets/redis.env"}, s.EnvFile); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		listen := "TRADESAGE_" + strings.ToUpper(name) + "_LISTEN"
		if name == "router" {
			listen = "TRADESAGE_LISTEN"
		}
		for setting, want := range map[string]string{
			listen: "0.0.0.0:" + port.service, "TRADESAGE_METRICS_LISTEN": "0.0.0.0:" + port.metrics, "TRADESAGE_SERVICES": name,
			"TRADESAGE_SERVICE_CERTS": "/certs", "TRADESAGE_DATABASE_CREDENTIALS_FILE": "/credentials/credentials.json",
			"TRADESAGE_DATABASE_POOLER": "transaction", "TRADESAGE_DATABASE_URL": "postgres://pgbouncer:6432/tradesage?sslmode=disable",
		} {
			if got := s.Environment[setting]; got != want {
				t.Errorf("%s: %s is %q, want %q", name, setting, got, want)
			}
		}
		if name != "router" {
			url := fmt.Sprintf("https://%s:%s/graphql", name, port.service)
			if got := c.Services["router"].Environment["TRADESAGE_"+strings.ToUpper(name)+"_URL"]; got != url {
				t.Errorf("the router looks for %s at %q", name, got)
			}
		}
		if diff := cmp.Diff([]string{"CMD", "/tradesage", "health"}, s.Healthcheck.Test); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		// The jobs write exactly what the service reads.
		certs, credentials := c.Services["certs-"+name], c.Services["credentials-"+name]
		if got := strings.Join(certs.Command, " "); got != "certs --dir /authority --service "+name+" --life 8760h --deliver /certs" {
			t.Errorf("certs-%s: %s", name, got)
		}
		if diff := cmp.Diff([]string{"authority:/authority", "certs-" + name + ":/certs"}, certs.Volumes); diff != "" {
			t.Errorf("certs-%s: %s", name, diff)
		}
		if got := strings.Join(credentials.Command, " "); got != "credentials --service "+name+" --out /credentials/credentials.json" {
			t.Errorf("credentials-%s: %s", name, got)
		}
		if diff := cmp.Diff([]string{"credentials-" + name + ":/credentials"}, credentials.Volumes); diff != "" {
			t.Errorf("credentials-%s: %s", name, diff)
		}
		for _, job := range []string{"certs-" + name, "credentials-" + name, "migrate"} {
			if s.DependsOn[job].Condition != "service_completed_successfully" {
				t.Errorf("%s does not wait for %s", name, job)
			}
		}
	}
}

func TestComposeKeepsThingsClosed(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, s := range c.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.Security, []string{"no-new-privileges:true"}) {
			t.Errorf("%s: read-only %v, without %v, %v", name, s.ReadOnly, s.CapDrop, s.Security)
		}
		if len(s.CapAdd) > 0 && name != "postgres" {
			t.Errorf("%s has %v", name, s.CapAdd)
		}
		if s.Deploy.Resources.Limits.CPUs == "" || s.Deploy.Resources.Limits.Memory == "" {
			t.Errorf("%s may take all of the machine", name)
		}
		if name == "router" {
			if diff := cmp.Diff([]string{"127.0.0.1:8001:8001"}, s.Ports); diff != "" {
				t.Error(diff)
			}
		} else if len(s.Ports) > 0 {
			t.Errorf("%s is published at %v", name, s.Ports)
		}
		operates := name == "migrate" || name == "operator" || strings.HasPrefix(name, "credentials-")
		if slices.Contains(s.EnvFile, "secrets/operator.env") != operates {
			t.Errorf("%s: %v", name, s.EnvFile)
		}
		if (len(s.Networks) == 0) != (s.NetworkMode == "none") {
			t.Errorf("%s: networks %v, mode %q", name, s.Networks, s.NetworkMode)
		}
		// What is named exists.
		for _, of := range s.Networks {
			if _, ok := c.Networks[of]; !ok {
				t.Errorf("%s: no network %s", name, of)
			}
		}
		for _, volume := range s.Volumes {
			of, _, _ := strings.Cut(volume, ":")
			if _, ok := c.Volumes[of]; !ok && !strings.HasPrefix(of, "./") {
				t.Errorf("%s: no volume %s", name, of)
			}
		}
		for _, of := range s.Secrets {
			if _, ok := c.Secrets[of]; !ok {
				t.Errorf("%s: no secret %s", name, of)
			}
		}
		for of := range s.DependsOn {
			if _, ok := c.Services[of]; !ok {
				t.Errorf("%s waits for %s, which is not there", name, of)
			}
		}
	}
}

// Every setting and flag in the files is one that the program has.
func TestComposeSettingsExist(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := string(text)
	settings := map[string]bool{}
	for name, s := range c.Services {
		for setting := range s.Environment {
			settings[setting] = strings.HasPrefix(setting, "TRADESAGE_")
		}
		if !strings.Contains(s.Image, "tradesage") {
			continue
		}
		for _, word := range s.Command {
			if strings.HasPrefix(word, "--") && !strings.Contains(documented, "| `"+word+"` |") {
				t.Errorf("%s: the program has no flag %s", name, word)
			}
		}
	}
	for _, line := range secretLines(t, "operator.env", "redis.env") {
		setting, _, _ := strings.Cut(line, "=")
		settings[setting] = true
	}
	for setting, ours := range settings {
		if ours && !strings.Contains(documented, "`"+setting+"`") {
			t.Errorf("the program has no setting %s", setting)
		}
	}
	if len(settings) < 20 {
		t.Errorf("only %d settings were found", len(settings))
	}
}

// secretLines runs secrets.sh twice and returns the lines of some of its files.
func secretLines(t *testing.T, files ...string) []string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	read := func() map[string]string {
		if out, err := exec.CommandContext(t.Context(), "../secrets.sh", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		found := map[string]string{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found[entry.Name()] = string(text)
		}
		return found
	}
	made := read()
	if diff := cmp.Diff([]string{"operator.env", "postgres_password", "redis.conf", "redis.env"}, slices.Sorted(maps.Keys(made))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(made, read()); diff != "" {
		t.Error("secrets that were there changed:\n" + diff)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is open: %v %v", info.Mode(), err)
	}
	_, password, _ := strings.Cut(strings.TrimSpace(made["redis.env"]), "redis://:")
	password, _, _ = strings.Cut(password, "@")
	if password == "" || !strings.Contains(made["redis.conf"], "requirepass "+password+"\n") {
		t.Error("Redis and its clients do not share a password")
	}
	var lines []string
	for _, file := range files {
		lines = append(lines, strings.Split(strings.TrimSpace(made[file]), "\n")...)
	}
	return lines
}
