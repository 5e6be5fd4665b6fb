package db

import (
	"testing"

	"github.com/google/uuid"
)

func TestVariantsOfAStatement(t *testing.T) {
	t.Parallel()
	const sql = "-- name: GetUser :one\nSELECT id FROM users WHERE id = $1\n"
	texts := map[string]bool{}
	for last := range 256 {
		id := uuid.UUID{15: byte(last)}
		v := variantOf(id)
		text := v.text(sql)
		if again := variantOf(id).text(sql); again != text {
			t.Fatalf("tenant %s used %q, then %q", id, text, again)
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
		t.Errorf("%d texts for all tenants, the plain one among them: %v; want %d others", len(texts), texts[sql], variants)
	}
	if got := variant(0).text(sql); got != sql {
		t.Errorf("without a variant the text is %q, want it as it is", got)
	}
}
