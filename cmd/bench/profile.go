package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// profile writes the server's live heap and its goroutines into a folder, for go
// tool pprof.
func (s *server) profile(ctx context.Context, folder string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	return errors.Join(
		s.save(ctx, "/debug/pprof/heap?gc=1", filepath.Join(folder, "heap.pprof")),
		s.save(ctx, "/debug/pprof/goroutine", filepath.Join(folder, "goroutine.pprof")),
		s.save(ctx, "/metrics", filepath.Join(folder, "metrics.txt")),
	)
}

func (s *server) save(ctx context.Context, path, to string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.operations+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, response.Body)
	return err
}
