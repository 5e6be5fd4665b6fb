package main

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// strangerVariables are the names of variables that look like settings of the program
// and are none: most often a slip of the pen, by which a limit is not what it seems.
type strangerVariables []string

// ofTheCluster are variables that Kubernetes sets for a service that is called
// tradesage, or tradesage-something.
var ofTheCluster = regexp.MustCompile(`_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// strangers finds them in an environment.
func strangers(program *kong.Application, environ []string) strangerVariables {
	known := map[string]bool{}
	var learn func(*kong.Node)
	learn = func(node *kong.Node) {
		for _, flag := range node.Flags {
			for _, name := range flag.Envs {
				known[name] = true
			}
		}
		for _, child := range node.Children {
			learn(child)
		}
	}
	learn(program.Node)
	var found strangerVariables
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "TRADESAGE_") && !known[name] && !ofTheCluster.MatchString(name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// tell logs them: their names, since values may be secrets that are misspelt.
func (s strangerVariables) tell(ctx context.Context, logger *slog.Logger) {
	if len(s) > 0 {
		logger.WarnContext(ctx, "variables that are no settings are ignored", "names", strings.Join(s, ", "))
	}
}
