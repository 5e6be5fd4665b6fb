package db

import (
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// A prepared statement keeps one plan, which holds for one role and search path:
// PostgreSQL analyses and plans it anew whenever it runs for another tenant than
// the time before, which costs twice what running it does. So a connection prepares
// a statement of tenants under several texts, which differ in a comment at their
// end, and each tenant always uses the same one of them.

// variants bounds how many texts a statement has: each takes some 26 kB of a
// backend's memory, once it was used. A connection keeps 512 statements in all.
const variants = 16

// variant is a tenant's number among them, from 1; 0 leaves a text as it is.
type variant uint8

func variantOf(tenant uuid.UUID) variant { return variant(tenant[15]%variants) + 1 }

// variantMark separates a statement from the number of its variant.
const variantMark = "\n-- variant "

// variantTexts are the texts of each statement by variant: string →
// *[variants]string. Statements are constants of the program, so they are few.
var variantTexts sync.Map

// text is sql as the variant sends it.
func (v variant) text(sql string) string {
	if v == 0 {
		return sql
	}
	texts, ok := variantTexts.Load(sql)
	if !ok {
		var made [variants]string
		for i := range made {
			made[i] = sql + variantMark + strconv.Itoa(i+1)
		}
		texts, _ = variantTexts.LoadOrStore(sql, &made)
	}
	return texts.(*[variants]string)[v-1]
}

// withoutVariant is the statement that text returned a variant of.
func withoutVariant(text string) string {
	sql, _, _ := strings.Cut(text, variantMark)
	return sql
}
