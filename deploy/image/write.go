package main

import (
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeLayout replaces a folder by an OCI layout with one entry: the image, or
// where there are several platforms an index of their images.
func writeLayout(dir, version string, platforms []v1.Platform, images []v1.Image) error {
	if err := removeLayout(dir); err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag(version)})
	if len(images) == 1 {
		return path.AppendImage(images[0], named, layout.WithPlatform(platforms[0]))
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, image := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &platforms[i]},
		})
	}
	return path.AppendIndex(index, named)
}

// removeLayout removes an earlier layout, and refuses a folder of anything else.
func removeLayout(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		switch entry.Name() {
		case "blobs", "index.json", "oci-layout":
		default:
			return fmt.Errorf("holds %s, which is no part of an OCI layout", entry.Name())
		}
	}
	return os.RemoveAll(dir)
}

// writeTarball writes what docker load reads, and returns the image's name there.
func writeTarball(file, version string, image v1.Image) (string, error) {
	called, err := name.NewTag("tradesage:" + tag(version))
	if err != nil {
		return "", err
	}
	if err := tarball.WriteToFile(file, called, image); err != nil {
		return "", err
	}
	return "tradesage:" + called.TagStr(), nil
}

var notInTags = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

// tag is a version as tags may spell it.
func tag(version string) string { return notInTags.ReplaceAllString(version, "-") }

// report tells what a registry will call the image and how large it is.
func report(out io.Writer, platform v1.Platform, image v1.Image) error {
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	var packed int64
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			return err
		}
		packed += size
	}
	_, err = fmt.Fprintf(out, "%s %s, %.1f MB to download\n", platform, digest, float64(packed)/1e6)
	return err
}
