package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/tools/imports"
)

// rewriteFiles changes the Go files of a folder that gqlgen has written, and mends
// the imports of those that are not as they were.
func rewriteFiles(dir string, change func(text []byte) ([]byte, error)) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		changed, err := change(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if bytes.Equal(changed, text) {
			continue
		}
		if changed, err = imports.Process(name, changed, nil); err != nil {
			return err
		}
		if err := os.WriteFile(name, changed, 0o644); err != nil { //nolint:gosec // source code
			return err
		}
	}
	return nil
}
