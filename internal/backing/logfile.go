package backing

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A log is set aside once when a start finds it larger than this.
const maxLog = 16 << 20

// logFile is a child's log from this start on.
type logFile struct {
	file *os.File
	path string
	from int64
}

func openLog(path string) (*logFile, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, folderProblem(path, err)
		}
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, folderProblem(path, err)
	}
	from, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		_ = file.Close()
		return nil, folderProblem(path, err)
	}
	return &logFile{file: file, path: path, from: from}, nil
}

// lines are what the child has written since this start.
func (l *logFile) lines() []string {
	file, err := os.Open(l.path)
	if err != nil {
		return nil
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, l.from, 1<<20))
	if err != nil {
		return nil
	}
	return strings.Split(string(text), "\n")
}

func (l *logFile) lastLine() string { return relevant(l.lines()) }

func (l *logFile) mentions(texts ...string) bool {
	all := strings.Join(l.lines(), "\n")
	for _, text := range texts {
		if strings.Contains(all, text) {
			return true
		}
	}
	return false
}

// explain is the one-line error of a service that ended.
func (l *logFile) explain(name string, cause error) error {
	err := explainLines(name, filepath.Dir(l.path), l.lines(), cause)
	if p, ok := err.(*problem); ok && p.kind == ErrFailed { //nolint:errorlint // made one line above
		p.text += " (log: " + l.path + ")"
	}
	return err
}

const noSpace = "No space left on device"

func explainLines(name, dir string, lines []string, cause error) error {
	line := relevant(lines)
	if strings.Contains(line, noSpace) {
		return &problem{ErrDiskFull, fmt.Sprintf("the disk of %s is full: %s: %s", dir, name, line), cause}
	}
	if line == "" {
		line = "it wrote no log"
	}
	how := "ended"
	if cause != nil {
		how = "ended (" + cause.Error() + ")"
	}
	return &problem{ErrFailed, fmt.Sprintf("%s %s: %s", name, how, line), cause}
}

// What stands before the message in a line of PostgreSQL's or Redis's log.
var logPrefix = regexp.MustCompile(`^(\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] (\S+@\S+ )?|\d+:\w \d\d \w+ \d{4} [\d:.]+ [*#.-] )`)

// relevant picks the line that tells most about a failure: one about a full
// disk, else the last that reports an error, else the last of all.
func relevant(lines []string) string {
	var last, failure string
	for _, line := range lines {
		line = strings.TrimSpace(logPrefix.ReplaceAllString(line, ""))
		if line == "" {
			continue
		}
		if strings.Contains(line, noSpace) {
			return line
		}
		last = line
		for _, word := range []string{"FATAL", "PANIC", "ERROR:", "error:", "Fatal", "Can't", "Bad file format"} {
			if strings.Contains(line, word) {
				failure = line
				break
			}
		}
	}
	if failure != "" {
		return failure
	}
	return last
}
