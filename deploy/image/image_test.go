package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/x509"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const testVersion = "v1.2.3-test"

// written is the image of this machine's platform, as the command writes it.
type written struct {
	image  v1.Image
	tar    string // for docker load
	root   string // the layers' files
	report string
}

var once struct {
	sync.Once
	dir string
	written
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if once.dir != "" {
		_ = os.RemoveAll(once.dir)
	}
	os.Exit(code)
}

// built builds the image once, reads it back and unpacks it.
func built(t *testing.T) written {
	t.Helper()
	once.Do(func() { once.written, once.err = build() })
	if once.err != nil {
		t.Fatal(once.err)
	}
	return once.written
}

func build() (w written, err error) {
	if once.dir, err = os.MkdirTemp("", "tradesage-image-test-"); err != nil {
		return w, err
	}
	if err := os.Chmod(once.dir, 0o755); err != nil { // the image's account reads it
		return w, err
	}
	w.tar, w.root = filepath.Join(once.dir, "image.tar"), filepath.Join(once.dir, "root")
	var said bytes.Buffer
	if err := run(arguments(filepath.Join(once.dir, "layout"), "-tarball", w.tar), &said); err != nil {
		return w, err
	}
	w.report = said.String()
	if w.image, err = only(filepath.Join(once.dir, "layout")); err != nil {
		return w, err
	}
	return w, unpack(w.image, w.root)
}

func arguments(out string, more ...string) []string {
	return append([]string{"-out", out, "-version", testVersion, "-revision", "0123abc", "-created", "2026-01-02T03:04:05Z"}, more...)
}

// only reads the single image of a layout.
func only(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("%s has %d entries", dir, len(manifest.Manifests))
	}
	return index.Image(manifest.Manifests[0].Digest)
}

// walk calls visit for each entry of the image's layers.
func walk(image v1.Image, visit func(*tar.Header, io.Reader) error) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			return err
		}
		for r := tar.NewReader(content); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = visit(header, r)
			}
			if err != nil {
				return err
			}
		}
		if err := content.Close(); err != nil {
			return err
		}
	}
	return nil
}

// unpack writes the image's files below root, for the owners that they have.
func unpack(image v1.Image, root string) error {
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	return walk(image, func(h *tar.Header, content io.Reader) error {
		name := filepath.Join(root, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.Mkdir(name, h.FileInfo().Mode()); err != nil {
				return err
			}
		} else {
			text, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			if err := os.WriteFile(name, text, h.FileInfo().Mode()); err != nil {
				return err
			}
		}
		if os.Getuid() != 0 {
			return nil
		}
		return os.Chown(name, h.Uid, h.Gid)
	})
}

// What the image holds is known to the last file: no shell, no package manager, no
// program but the one, nothing that raises rights.
func TestTheImageHoldsNothingElse(t *testing.T) {
	t.Parallel()
	w := built(t)
	var got []string
	err := walk(w.image, func(h *tar.Header, _ io.Reader) error {
		got = append(got, fmt.Sprintf("%c %04o %d:%d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name))
		if at := h.ModTime.UTC().Format("2006-01-02T15:04:05Z"); at != "2026-01-02T03:04:05Z" {
			t.Errorf("%s is of %s", h.Name, at)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"5 0755 0:0 etc/", "0 0644 0:0 etc/passwd", "0 0644 0:0 etc/group",
		"5 0755 0:0 etc/ssl/", "5 0755 0:0 etc/ssl/certs/", "0 0644 0:0 etc/ssl/certs/ca-certificates.crt",
		"5 0755 0:0 usr/", "5 0755 0:0 usr/share/", "0 0644 0:0 usr/share/zoneinfo.zip",
		"5 0700 65532:65532 authority/", "5 0700 65532:65532 certs/", "5 0700 65532:65532 credentials/", "5 1777 0:0 tmp/",
		"0 0755 0:0 tradesage",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(filepath.Join(w.root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(text) {
		t.Errorf("no certificates of authorities: %v", err)
	}
	zone, err := time.LoadLocationFromTZData("Asia/Tokyo", zoneOf(t, filepath.Join(w.root, "usr/share/zoneinfo.zip"), "Asia/Tokyo"))
	if err != nil || time.Unix(0, 0).In(zone).Hour() != 9 {
		t.Errorf("no time zones: %v", err)
	}
	accounts, err := os.ReadFile(filepath.Join(w.root, "etc/passwd"))
	if err != nil || !strings.Contains(string(accounts), "\nnonroot:x:65532:65532:") {
		t.Errorf("%v\n%s", err, accounts)
	}
}

func zoneOf(t *testing.T, file, zone string) []byte {
	t.Helper()
	zones, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer zones.Close()
	text, err := fs.ReadFile(zones, zone)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheImageSaysHowItRuns(t *testing.T) {
	t.Parallel()
	w := built(t)
	config, err := w.image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.OS + "/" + config.Architecture; got != "linux/"+runtime.GOARCH {
		t.Error(got)
	}
	c := config.Config
	if c.User != "65532:65532" || c.StopSignal != "SIGTERM" {
		t.Errorf("user %q, stop signal %q", c.User, c.StopSignal)
	}
	if diff := cmp.Diff([]string{"/tradesage", "serve"}, append(c.Entrypoint, c.Cmd...)); diff != "" {
		t.Error(diff)
	}
	wantPorts := []string{"8000/tcp", "8001/tcp", "8002/tcp", "8003/tcp", "8004/tcp", "9090/tcp", "9091/tcp", "9092/tcp", "9093/tcp", "9094/tcp"}
	if diff := cmp.Diff(wantPorts, slices.Sorted(maps.Keys(c.ExposedPorts))); diff != "" {
		t.Error(diff)
	}
	wantLabels := map[string]string{
		"org.opencontainers.image.title":       "tradesage",
		"org.opencontainers.image.description": "The backend of a multi-tenant trading platform: one federated GraphQL API.",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.source":      "https://github.com/tradesage/tradesage",
		"org.opencontainers.image.version":     testVersion,
		"org.opencontainers.image.revision":    "0123abc",
		"org.opencontainers.image.created":     "2026-01-02T03:04:05Z",
	}
	if diff := cmp.Diff(wantLabels, c.Labels); diff != "" {
		t.Error(diff)
	}
	digest, err := w.image.Digest()
	if err != nil || !strings.Contains(w.report, digest.String()) {
		t.Errorf("%v: the report does not tell the digest:\n%s", err, w.report)
	}
	t.Log("\n" + w.report)
}

func TestTheProgramIsStatic(t *testing.T) {
	t.Parallel()
	name := filepath.Join(built(t).root, "tradesage")
	program, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("the program wants %s", part.Type)
		}
	}
	info, err := buildinfo.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	for key, want := range map[string]string{"CGO_ENABLED": "0", "-trimpath": "true"} {
		if settings[key] != want {
			t.Errorf("%s=%s, want %s", key, settings[key], want)
		}
	}
}

// Whoever builds the same sources gets the same image, under the same digest.
func TestASecondBuildIsTheSame(t *testing.T) {
	t.Parallel()
	first := built(t)
	dir := filepath.Join(t.TempDir(), "layout")
	for _, args := range [][]string{arguments(dir, "-root", "testdata/small"), arguments(dir)} { // the second in place of the first
		if err := run(args, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	second, err := only(dir)
	if err != nil {
		t.Fatal(err)
	}
	want, wantErr := first.image.Digest()
	got, gotErr := second.Digest()
	if wantErr != nil || gotErr != nil || want != got {
		t.Errorf("%v %v, %v %v", want, wantErr, got, gotErr)
	}
}

func TestTheTarballIsTheSameImage(t *testing.T) {
	t.Parallel()
	w := built(t)
	loaded, err := tarball.ImageFromPath(w.tar, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, wantErr := w.image.ConfigName()
	got, gotErr := loaded.ConfigName()
	if wantErr != nil || gotErr != nil || want != got {
		t.Errorf("%v %v, %v %v", want, wantErr, got, gotErr)
	}
	if !strings.Contains(w.report, "tradesage:"+testVersion) {
		t.Errorf("its name is not told:\n%s", w.report)
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	occupied := t.TempDir()
	if err := os.WriteFile(filepath.Join(occupied, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	for want, args := range map[string][]string{
		"-platform":              {"-platform", "windows/amd64"},
		"-created":               {"-created", "yesterday"},
		"one platform":           {"-platform", "linux/amd64,linux/arm64", "-tarball", none},
		"is no flag":             {"now"},
		"-ca-certificates":       {"-ca-certificates", none, "-root", "testdata/small"},
		"no part of an OCI":      {"-out", occupied, "-root", "testdata/small"},
		"directory not found":    {"-root", "testdata/empty"},
		"holds no certificate":   {"-ca-certificates", "go.mod", "-root", "testdata/small"},
		"tradesage-not-a-module": {"-root", filepath.Join(none, "tradesage-not-a-module")},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			if err := run(append([]string{"-out", none}, args...), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(occupied, "thesis.txt")); err != nil {
		t.Error(err)
	}
}

// A layout for two platforms has one entry, an index of both. The example's program
// stands for the product's, which takes minutes to build for a second platform.
func TestTwoPlatforms(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "layout")
	if err := run(arguments(dir, "-platform", "linux/amd64,linux/arm64", "-root", "testdata/small"), io.Discard); err != nil {
		t.Fatal(err)
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := top.IndexManifest()
	if err != nil || len(entries.Manifests) != 1 {
		t.Fatalf("%v %+v", err, entries)
	}
	if got := entries.Manifests[0].Annotations["org.opencontainers.image.ref.name"]; got != testVersion {
		t.Errorf("named %q", got)
	}
	index, err := top.ImageIndex(entries.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	machines := map[string]elf.Machine{}
	for _, m := range manifest.Manifests {
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		err = walk(image, func(h *tar.Header, r io.Reader) error {
			if h.Name != "tradesage" {
				return nil
			}
			text, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			program, err := elf.NewFile(bytes.NewReader(text))
			if err == nil {
				machines[m.Platform.String()] = program.Machine
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64}, machines); diff != "" {
		t.Error(diff)
	}
}
