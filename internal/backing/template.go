package backing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fromTemplate gives a temporary folder its cluster by copying one that initdb
// made earlier on this machine for this user: some 50 ms instead of a second.
// The copies share the template's password.
func fromTemplate(ctx context.Context, f *folder, pg postgresql, log *slog.Logger) (string, error) {
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	key := fmt.Sprintf("postgresql-%d-%s", pg.major,
		shortHash(strings.Join(append(initOptions(), pg.version, pg.bin), "\n")))
	template := filepath.Join(cache, key)
	if err := ensureTemplate(ctx, template, f, pg, log); err != nil {
		return "", err
	}
	password, err := os.ReadFile(filepath.Join(template, passwordName))
	if err != nil {
		return "", folderProblem(template, err)
	}
	if err := os.WriteFile(filepath.Join(f.path, passwordName), password, 0o600); err != nil {
		return "", folderProblem(f.path, err)
	}
	data := filepath.Join(f.path, postgresDir)
	if err := copyTree(ctx, filepath.Join(template, postgresDir), data, f.account); err != nil {
		return "", folderProblem(data, err)
	}
	return strings.TrimSpace(string(password)), nil
}

// ensureTemplate makes the template once; other processes wait for it.
func ensureTemplate(ctx context.Context, template string, f *folder, pg postgresql, log *slog.Logger) error {
	if _, err := os.Stat(template); err == nil {
		return nil
	}
	lock, err := lockWait(ctx, template+".lock", template)
	if err != nil {
		return err
	}
	defer lock.unlock()
	if _, err := os.Stat(template); err == nil {
		return nil
	}
	log.Info("making the template of test clusters in " + template)
	// initdb works where the account can reach; the cache may be out of its way.
	workshop, err := openTemporary(f.account)
	if err != nil {
		return err
	}
	defer workshop.close()
	password, err := initCluster(ctx, workshop, pg, false)
	if err != nil {
		return err
	}
	building := template + ".new"
	if err := os.RemoveAll(building); err != nil {
		return folderProblem(building, err)
	}
	if err := os.Mkdir(building, 0o700); err != nil {
		return folderProblem(building, err)
	}
	self := account{uid: os.Geteuid(), gid: os.Getegid()}
	if err := copyTree(ctx, filepath.Join(workshop.path, postgresDir), filepath.Join(building, postgresDir), self); err != nil {
		return folderProblem(building, err)
	}
	if err := os.WriteFile(filepath.Join(building, passwordName), []byte(password+"\n"), 0o600); err != nil {
		return folderProblem(building, err)
	}
	if err := os.Rename(building, template); err != nil {
		return folderProblem(template, err)
	}
	return nil
}

// cacheFolder is the user's cache, or a private folder under /var/tmp for a
// user without a home.
func cacheFolder() (string, error) {
	self := account{uid: os.Geteuid(), gid: os.Getegid(), name: "uid " + strconv.Itoa(os.Geteuid())}
	if base, err := os.UserCacheDir(); err == nil {
		dir := filepath.Join(base, "tradesage")
		if os.MkdirAll(dir, 0o700) == nil && self.owns(dir) == nil && unix.Access(dir, unix.W_OK) == nil {
			return dir, nil
		}
	}
	dir := filepath.Join("/var/tmp", "tradesage-"+strconv.Itoa(self.uid))
	if err := self.makeFolder(dir); err != nil {
		return "", err
	}
	return dir, nil
}

// copyTree copies plain files and folders and gives the copy to the account.
func copyTree(ctx context.Context, from, to string, who account) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case entry.IsDir():
			err = os.Mkdir(target, 0o700)
		case entry.Type().IsRegular():
			err = copyFile(path, target)
		default:
			return fmt.Errorf("%s is neither a file nor a folder", path)
		}
		if err == nil && who.uid != os.Geteuid() {
			err = os.Lchown(target, who.uid, who.gid)
		}
		return err
	})
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}
