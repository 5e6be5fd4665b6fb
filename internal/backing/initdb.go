package backing

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const passwordName = "postgres-password"

// initOptions make every cluster the same, whatever the machine's locale is.
func initOptions() []string {
	return []string{
		"--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8",
		"--locale=C.UTF-8", "--locale-provider=libc", "--no-instructions",
	}
}

// initCluster runs initdb for the folder and returns the superuser's new
// password, which it keeps in a file. A cluster appears whole or not at all.
func initCluster(ctx context.Context, f *folder, pg postgresql, sync bool) (string, error) {
	building := filepath.Join(f.path, postgresDir+".new")
	if err := os.RemoveAll(building); err != nil {
		return "", folderProblem(building, err)
	}
	if err := f.account.makeFolder(building); err != nil {
		return "", err
	}
	password := rand.Text()
	passwordFile := filepath.Join(f.path, passwordName)
	if err := os.WriteFile(passwordFile, []byte(password+"\n"), 0o600); err != nil {
		return "", folderProblem(passwordFile, err)
	}
	// initdb reads the password as the account, from a copy that does not stay.
	handed := filepath.Join(building, passwordName)
	if err := os.WriteFile(handed, []byte(password+"\n"), 0o600); err != nil {
		return "", folderProblem(handed, err)
	}
	if f.account.drops {
		if err := os.Chown(handed, f.account.uid, f.account.gid); err != nil {
			return "", folderProblem(handed, err)
		}
	}
	cluster := filepath.Join(building, "data")
	args := append([]string{"--pgdata=" + cluster, "--pwfile=" + handed}, initOptions()...)
	if !sync {
		args = append(args, "--no-sync")
	}
	cmd := f.account.command(building, filepath.Join(pg.bin, "initdb"), args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	child, err := startProcess("initdb", cmd, syscall.SIGTERM)
	if err != nil {
		return "", problemf(ErrFailed, "cannot start %s: %v", cmd.Path, err)
	}
	select {
	case <-child.done:
	case <-ctx.Done():
		_ = child.stop(stopPatience, syscall.SIGTERM)
		return "", ctx.Err()
	}
	if child.err != nil {
		return "", explainLines("initdb", f.path, strings.Split(output.String(), "\n"), child.err)
	}
	if err := os.Rename(cluster, filepath.Join(f.path, postgresDir)); err != nil {
		return "", folderProblem(f.path, err)
	}
	if err := os.RemoveAll(building); err != nil {
		return "", folderProblem(building, err)
	}
	return password, nil
}
