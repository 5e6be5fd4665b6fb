package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonroot is the account that the program runs as, user and group.
const nonroot = 65532

// ports are those on which the services listen: the public one first, then those
// that only other services and operators reach.
var ports = []string{"8001", "8000", "8002", "8003", "8004", "9090", "9091", "9092", "9093", "9094"}

// Where the image has what the program needs of a system.
const (
	authoritiesName = "etc/ssl/certs/ca-certificates.crt"
	zonesName       = "usr/share/zoneinfo.zip"
)

// source is what images are built from.
type source struct {
	root              string
	version, revision string
	created           time.Time
	authorities       string
}

// file is one entry of a layer; a name that ends in / is a folder.
type file struct {
	name    string
	mode    int64
	owner   int
	content []byte
}

// build makes the image of one platform.
func (s source) build(platform v1.Platform) (v1.Image, error) {
	program, err := s.compile(platform)
	if err != nil {
		return nil, err
	}
	system, err := s.system()
	if err != nil {
		return nil, err
	}
	base, err := s.layer(system)
	if err != nil {
		return nil, err
	}
	top, err := s.layer([]file{{"tradesage", 0o755, 0, program}})
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	at := v1.Time{Time: s.created}
	image, err = mutate.Append(image,
		mutate.Addendum{Layer: base, History: v1.History{Created: at, CreatedBy: "accounts, certificates of authorities, time zones, /tmp"}},
		mutate.Addendum{Layer: top, History: v1.History{Created: at, CreatedBy: "the program"}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = platform.OS, platform.Architecture, at
	config.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", nonroot, nonroot),
		WorkingDir:   "/",
		Entrypoint:   []string{"/tradesage"},
		Cmd:          []string{"serve"},
		Env:          []string{"SSL_CERT_FILE=/" + authoritiesName, "ZONEINFO=/" + zonesName},
		ExposedPorts: map[string]struct{}{},
		Labels:       s.labels(),
		StopSignal:   "SIGTERM",
	}
	for _, port := range ports {
		config.Config.ExposedPorts[port+"/tcp"] = struct{}{}
	}
	return mutate.ConfigFile(image, config)
}

// labels are those that the OCI image specification names.
func (s source) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	labels := map[string]string{
		prefix + "title":       "tradesage",
		prefix + "description": "The backend of a multi-tenant trading platform: one federated GraphQL API.",
		prefix + "licenses":    "Apache-2.0",
		prefix + "source":      "https://github.com/tradesage/tradesage",
		prefix + "version":     s.version,
		prefix + "created":     s.created.Format(time.RFC3339),
	}
	if s.revision != "" {
		labels[prefix+"revision"] = s.revision
	}
	return labels
}

// compile builds the program without libc and with nothing of this machine's folders.
// It compiles as make build does, so that the two share Go's cache.
func (s source) compile(platform v1.Platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "tradesage-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "tradesage")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", //nolint:gosec // arguments of this program's own
		"-ldflags=-s -w -buildid= -X main.version="+s.version, "-o", out, "./cmd/tradesage")
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}

// system is everything but the program.
func (s source) system() ([]file, error) {
	authorities, err := os.ReadFile(s.authorities)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: install ca-certificates, or name another file with -ca-certificates", err)
	}
	if err != nil {
		return nil, err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s holds no certificate", s.authorities)
	}
	zones, err := timeZones()
	if err != nil {
		return nil, err
	}
	account := func(format string) []byte { return []byte(strings.ReplaceAll(format, "%", fmt.Sprint(nonroot))) }
	return []file{
		{"etc/", 0o755, 0, nil},
		{"etc/passwd", 0o644, 0, account("root:x:0:0:root:/:/none\nnonroot:x:%:%:tradesage:/:/none\n")},
		{"etc/group", 0o644, 0, account("root:x:0:\nnonroot:x:%:\n")},
		{"etc/ssl/", 0o755, 0, nil},
		{"etc/ssl/certs/", 0o755, 0, nil},
		{authoritiesName, 0o644, 0, authorities},
		{"usr/", 0o755, 0, nil},
		{"usr/share/", 0o755, 0, nil},
		{zonesName, 0o644, 0, zones},
		// Mount points: a new volume takes over the owner of what it covers.
		{"authority/", 0o700, nonroot, nil},
		{"certs/", 0o700, nonroot, nil},
		{"credentials/", 0o700, nonroot, nil},
		{"tmp/", 0o1777, 0, nil},
	}, nil
}

// timeZones are those that come with Go, which reads them from a zip file.
func timeZones() ([]byte, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	return os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
}

// layer packs files in their order, each of the same time.
func (s source) layer(files []file) (v1.Layer, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner,
			Size: int64(len(f.content)), ModTime: s.created, Format: tar.FormatPAX,
		}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
