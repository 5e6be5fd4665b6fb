package db

import (
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// A prepared statement keeps one plan, which holds for one role and search path:
// PostgreSQL analyses and plans it anew whenever it runs for another tenant than
// the time before, which costs twice what running it does. So a connection prepares
// a statement of tenants under several texts, which differ in a comment at their
// end, and the tenants that it served last have a text each.

// variants bounds how many texts a statement has on a connection: each takes some
// 26 kB of a backend's memory, once it was used. A connection keeps 512 statements
// in all.
const variants = 16

// variant is the number of a text among them, from 1; 0 leaves a text as it is.
type variant uint8

// variantMark separates a statement from the number of its variant.
const variantMark = "\n-- variant "

// constant is a statement of the program. Each is a constant, so they are few.
type constant struct {
	texts [variants + 1]string // by variant
	// travels is whether it may share a pipeline with other tenants' reads: it is
	// sqlc's for one row and begins as one that only reads.
	travels bool
}

var constants sync.Map // string → *constant

func constantOf(sql string) *constant {
	if known, ok := constants.Load(sql); ok {
		return known.(*constant)
	}
	made := &constant{}
	made.texts[0] = sql
	for v := 1; v <= variants; v++ {
		made.texts[v] = sql + variantMark + strconv.Itoa(v)
	}
	first, rest, _ := strings.Cut(sql, "\n")
	made.travels = strings.HasSuffix(strings.TrimSpace(first), " :one") && strings.HasPrefix(rest, "SELECT ") && !strings.Contains(rest, "FOR UPDATE") && !strings.Contains(rest, "FOR SHARE")
	known, _ := constants.LoadOrStore(sql, made)
	return known.(*constant)
}

// text is sql as the variant sends it.
func (v variant) text(sql string) string {
	if v == 0 {
		return sql
	}
	return constantOf(sql).texts[v]
}

// withoutVariant is the statement that text returned a variant of.
func withoutVariant(text string) string {
	sql, _, _ := strings.Cut(text, variantMark)
	return sql
}

// served are the tenants' schemas that a connection served last, by variant. Who
// holds the connection uses it.
type served struct {
	schemas [variants]string
	at      [variants]uint64
	clock   uint64
	// prepared are the reads that travelled over the connection, names the names
	// that they have had.
	prepared map[preparedKey]*prepared
	names    int
}

// servedKey is where a connection keeps it.
const servedKey = "tradesage served"

// keepServed gives a new connection variants.
func keepServed(c *pgx.Conn) {
	c.PgConn().CustomData()[servedKey] = &served{prepared: map[preparedKey]*prepared{}}
}

// variantOn is the schema's variant on a connection: the one that it had, or that of
// who was not served for longest. A login's own statements have none, nor has a
// connection through a pooler, where nothing stays prepared.
func variantOn(c *pgx.Conn, schema string) variant {
	s, ok := c.PgConn().CustomData()[servedKey].(*served)
	if !ok {
		return 0
	}
	return s.variant(schema)
}

func (s *served) variant(schema string) variant {
	if schema == "" || schema == scopedRole {
		return 0
	}
	s.clock++
	oldest := 0
	for i, of := range &s.schemas {
		if of == schema {
			s.at[i] = s.clock
			return variant(i + 1)
		}
		if s.at[i] < s.at[oldest] {
			oldest = i
		}
	}
	s.schemas[oldest], s.at[oldest] = schema, s.clock
	return variant(oldest + 1)
}
