package schemalaw

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rule is one that docs/schema-guide.md quotes by its id.
type rule struct {
	id    string
	check func(s *schema, o *offences)
	// bad are schemas that break the rule, by a part of the offence's text. Each is
	// one subgraph's; a second one's follows after "---".
	bad map[string]string
}

func rules() []rule {
	return slices.Concat(namingRules, textRules, valueRules, mutationRules, listRules, accessRules, federationRules)
}

func (r rule) run(all []*schema) []string {
	var found []string
	for _, s := range all {
		o := &offences{schema: s}
		r.check(s, o)
		found = append(found, o.found...)
	}
	return found
}

func TestTheSchemaObeysTheGuide(t *testing.T) {
	t.Parallel()
	all := ours(t)
	for _, r := range rules() {
		for _, offence := range r.run(all) {
			t.Errorf("%s [%s]", offence, r.id)
		}
	}
}

func TestEachRuleCatches(t *testing.T) {
	t.Parallel()
	for _, r := range rules() {
		if len(r.bad) == 0 {
			t.Errorf("%s has no bad example", r.id)
		}
		for _, want := range slices.Sorted(maps.Keys(r.bad)) {
			texts := map[string]string{}
			for i, text := range strings.Split(r.bad[want], "---") {
				texts[string(rune('a'+i))] = text
			}
			all, err := parse(texts)
			if err != nil {
				t.Fatalf("%s: %v", r.id, err)
			}
			if found := r.run(all); len(found) != 1 || !strings.Contains(found[0], want) {
				t.Errorf("%s: %q, want one offence that says %q", r.id, found, want)
			}
		}
	}
}

// The guide quotes each rule as `[id]`, and none that is not checked.
func TestTheGuideQuotesEachRule(t *testing.T) {
	t.Parallel()
	guide := read(t, "../../docs/schema-guide.md")
	quoted := map[string]int{}
	for _, match := range regexp.MustCompile("`\\[([a-z-]+)\\]`").FindAllStringSubmatch(guide, -1) {
		quoted[match[1]]++
	}
	for _, r := range rules() {
		if quoted[r.id] != 1 {
			t.Errorf("the guide quotes `[%s]` %d times, want once", r.id, quoted[r.id])
		}
		delete(quoted, r.id)
	}
	for id := range quoted {
		t.Errorf("the guide quotes `[%s]`, which no test checks", id)
	}
}

// The table of joins names fields that exist, and of each type's fields that lead
// to another in the table, all.
func TestTheGuideListsTheJoins(t *testing.T) {
	t.Parallel()
	all := ours(t)
	s := all[slices.IndexFunc(all, (*schema).isComposed)]
	_, table, _ := strings.Cut(read(t, "../../docs/schema-guide.md"), "\n## Joins\n")
	table, _, _ = strings.Cut(table, "\n## ")
	listed := map[string]bool{}
	for _, match := range regexp.MustCompile("`([A-Z]\\w+)\\.(\\w+)`").FindAllStringSubmatch(table, -1) {
		if d := s.types[match[1]]; d == nil || d.Fields.ForName(match[2]) == nil {
			t.Errorf("the guide names %s.%s, which does not exist", match[1], match[2])
		}
		listed[match[1]+"."+match[2]] = true
	}
	var from []string
	for _, match := range regexp.MustCompile(`(?m)^\| \*\*(\w+)\*\*`).FindAllStringSubmatch(table, -1) {
		from = append(from, match[1])
	}
	if len(from) < 10 {
		t.Fatalf("rows of %v only", from)
	}
	for _, name := range from {
		for _, f := range s.types[name].Fields {
			to := strings.TrimSuffix(f.Type.Name(), "Connection")
			if slices.Contains(from, to) && !listed[name+"."+f.Name] {
				t.Errorf("the guide's table of joins lacks %s.%s", name, f.Name)
			}
		}
	}
	// What has an id and can be read is in the table.
	for _, d := range s.sorted() {
		if d.Fields.ForName("id") != nil && !slices.Contains(from, d.Name) && !slices.Contains(notJoined, d.Name) {
			t.Errorf("%s is not in the guide's table of joins", d.Name)
		}
	}
}

// notJoined have an id and stand alone on purpose.
var notJoined = []string{
	"TenantChoice", // for who has no token yet
}
