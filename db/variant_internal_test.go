package db

import (
	"strconv"
	"testing"
)

func TestVariantsOfAStatement(t *testing.T) {
	t.Parallel()
	const sql = "-- name: GetUser :one\nSELECT id FROM users WHERE id = $1\n"
	texts := map[string]bool{}
	for v := variant(1); v <= variants; v++ {
		text := v.text(sql)
		if again := v.text(sql); again != text {
			t.Errorf("variant %d is %q, then %q", v, text, again)
		}
		if got := withoutVariant(text); got != sql {
			t.Errorf("variant %d without its mark is %q, want %q", v, got, sql)
		}
		if got := statementName(text); got != "GetUser" {
			t.Errorf("variant %d is named %q", v, got)
		}
		texts[text] = true
	}
	if len(texts) != variants || texts[sql] {
		t.Errorf("%d texts, the plain one among them: %v; want %d others", len(texts), texts[sql], variants)
	}
	if got := variant(0).text(sql); got != sql {
		t.Errorf("without a variant the text is %q, want it as it is", got)
	}
}

func TestTenantsKeepTheirVariants(t *testing.T) {
	t.Parallel()
	var s served
	tenant := func(n int) string { return "tenant_" + strconv.Itoa(n) }
	held := map[variant]int{}
	for n := range variants {
		held[s.variant(tenant(n))] = n
	}
	if len(held) != variants {
		t.Fatalf("%d tenants have the variants %v, want one each", variants, held)
	}
	for v, n := range held {
		if n == 0 {
			continue // is the one who was not served for longest
		}
		if got := s.variant(tenant(n)); got != v {
			t.Errorf("tenant %d has variant %d, then %d", n, v, got)
		}
	}
	first := s.variant(tenant(variants)) // one more
	if held[first] != 0 {
		t.Errorf("a new tenant took the variant of tenant %d, want that of tenant 0", held[first])
	}
	if got := s.variant(tenant(0)); got == first {
		t.Errorf("tenant 0 came back to variant %d, which another has now", got)
	}
}
