// Command image builds TradeSage's container image without a container engine: a
// static program, the certificates of public authorities, the time zones, one account
// that is not root, and nothing else. The same sources, Go, certificates and -created give the
// same digest.
//
// It is a module of its own, so that the product does not depend on what reads and
// writes images.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// request is what the command line asks for.
type request struct {
	source   source
	layout   string
	tarball  string
	platform []v1.Platform
}

// run builds an image for each platform, writes them and tells their digests and
// sizes.
func run(args []string, out io.Writer) error {
	r, err := parse(args)
	if err != nil {
		return err
	}
	images := make([]v1.Image, len(r.platform))
	for i, platform := range r.platform {
		if images[i], err = r.source.build(platform); err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		if err := report(out, platform, images[i]); err != nil {
			return err
		}
	}
	if err := writeLayout(r.layout, r.source.version, r.platform, images); err != nil {
		return fmt.Errorf("%s: %w", r.layout, err)
	}
	fmt.Fprintf(out, "OCI layout in %s\n", r.layout)
	if r.tarball == "" {
		return nil
	}
	name, err := writeTarball(r.tarball, r.source.version, images[0])
	if err != nil {
		return fmt.Errorf("%s: %w", r.tarball, err)
	}
	fmt.Fprintf(out, "%s for docker load in %s\n", name, r.tarball)
	return nil
}

func parse(args []string) (request, error) {
	var r request
	var platforms, created string
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&r.source.root, "root", "../..", "folder of the product's module")
	flags.StringVar(&r.layout, "out", "../../bin/image", "folder to write as an OCI layout; what is in it is replaced")
	flags.StringVar(&r.tarball, "tarball", "", "also write a file for docker load; one platform only")
	flags.StringVar(&platforms, "platform", "linux/"+runtime.GOARCH, "linux/amd64, linux/arm64 or both, with a comma")
	flags.StringVar(&r.source.version, "version", "unknown", "version of the program")
	flags.StringVar(&r.source.revision, "revision", "", "commit that is built")
	flags.StringVar(&created, "created", "1970-01-01T00:00:00Z", "time of all files and of the image, RFC 3339")
	flags.StringVar(&r.source.authorities, "ca-certificates", "/etc/ssl/certs/ca-certificates.crt", "PEM file of the authorities that the program trusts")
	if err := flags.Parse(args); err != nil {
		return r, err
	}
	if flags.NArg() > 0 {
		return r, fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	var err error
	if r.source.created, err = time.Parse(time.RFC3339, created); err != nil {
		return r, fmt.Errorf("-created: %w", err)
	}
	r.source.created = r.source.created.UTC()
	for text := range strings.SplitSeq(platforms, ",") {
		if text != "linux/amd64" && text != "linux/arm64" {
			return r, fmt.Errorf("-platform: %q is neither linux/amd64 nor linux/arm64", text)
		}
		r.platform = append(r.platform, v1.Platform{OS: "linux", Architecture: strings.TrimPrefix(text, "linux/")})
	}
	if r.tarball != "" && len(r.platform) > 1 {
		return r, errors.New("-tarball: docker load takes one platform; name one with -platform")
	}
	if r.source.root, err = filepath.Abs(r.source.root); err != nil {
		return r, err
	}
	return r, nil
}
