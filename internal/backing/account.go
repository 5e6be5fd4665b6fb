package backing

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that the children run as.
type account struct {
	uid, gid int
	name     string
	// drops is set when this process is root and gives its rights away.
	drops bool
}

// childAccount is this process's own user, or Debian's postgres for root:
// PostgreSQL refuses to run as root, and Redis has no need to.
func childAccount() (account, error) {
	if os.Geteuid() != 0 {
		name := strconv.Itoa(os.Geteuid())
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
		return account{uid: os.Geteuid(), gid: os.Getegid(), name: name}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return account{}, problemf(ErrMissing,
			"PostgreSQL cannot run as root and there is no user postgres: apt-get install postgresql-15, or start as a normal user")
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, problemf(ErrMissing, "user postgres has the odd id %q", u.Uid)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, problemf(ErrMissing, "group of user postgres has the odd id %q", u.Gid)
	}
	return account{uid: uid, gid: gid, name: "postgres", drops: true}, nil
}

// command prepares a program that runs as the account, in dir.
func (a account) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...) //nolint:gosec // programs found by search, never a caller's text
	cmd.Dir = dir
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if a.drops {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return cmd
}

// reaches reports whether the account may enter dir. It asks the kernel as that
// user, since mode bits alone do not tell the truth (ACLs, mounts).
func (a account) reaches(dir string) bool {
	if !a.drops {
		return true
	}
	probe := "/"
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		probe = resolved
	}
	return a.command(probe, "/bin/true").Run() == nil
}

// makeFolder makes dir for the account alone, or checks that an existing one is
// the account's.
func (a account) makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		if a.drops {
			err = os.Chown(dir, a.uid, a.gid)
		}
		if err != nil {
			return folderProblem(dir, err)
		}
		return nil
	case !errors.Is(err, fs.ErrExist):
		return folderProblem(dir, err)
	}
	return a.owns(dir)
}

// owns checks that dir is a real folder of the account.
func (a account) owns(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return folderProblem(dir, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok {
		return problemf(ErrFolder, "%s is not a folder: choose another data folder", dir)
	}
	if int(stat.Uid) != a.uid {
		owner := strconv.Itoa(int(stat.Uid))
		if u, err := user.LookupId(owner); err == nil {
			owner = u.Username
		}
		return problemf(ErrFolder, "%s belongs to user %s and the service would run as %s: start as before or choose another data folder",
			dir, owner, a.name)
	}
	return nil
}
