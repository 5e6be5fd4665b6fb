package db

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

func TestIDsTravelAsBytes(t *testing.T) {
	t.Parallel()
	types := pgtype.NewMap()
	registerUUID(types)
	id, other := uuid.New(), uuid.New()
	sent, err := types.Encode(pgtype.UUIDOID, pgtype.BinaryFormatCode, id, nil)
	if err != nil || cmp.Diff(id[:], sent) != "" {
		t.Fatalf("sent %x, %v; want %x", sent, err, id)
	}
	var read uuid.UUID
	if err := types.Scan(pgtype.UUIDOID, pgtype.BinaryFormatCode, sent, &read); err != nil || read != id {
		t.Errorf("read %s, %v; want %s", read, err, id)
	}
	var text uuid.UUID
	if err := types.Scan(pgtype.UUIDOID, pgtype.TextFormatCode, []byte(id.String()), &text); err != nil || text != id {
		t.Errorf("read %s from text, %v; want %s", text, err, id)
	}
	list := []uuid.UUID{id, other}
	if sent, err = types.Encode(pgtype.UUIDArrayOID, pgtype.BinaryFormatCode, list, nil); err != nil {
		t.Fatal(err)
	}
	var reads []uuid.UUID
	if err := types.Scan(pgtype.UUIDArrayOID, pgtype.BinaryFormatCode, sent, &reads); err != nil || cmp.Diff(list, reads) != "" {
		t.Errorf("read %v, %v; want %v", reads, err, list)
	}
}

func TestNoIDIsNotTheZeroID(t *testing.T) {
	t.Parallel()
	types := pgtype.NewMap()
	registerUUID(types)
	var none *uuid.UUID
	if sent, err := types.Encode(pgtype.UUIDOID, pgtype.BinaryFormatCode, none, nil); err != nil || sent != nil {
		t.Errorf("nil was sent as %x, %v; want NULL", sent, err)
	}
	id := uuid.New()
	read := &id
	if err := types.Scan(pgtype.UUIDOID, pgtype.BinaryFormatCode, nil, &read); err != nil || read != nil {
		t.Errorf("NULL was read as %v, %v; want nil", read, err)
	}
	for _, malformed := range [][]byte{nil, {}, id[:15], append(id[:], 0)} {
		if err := types.Scan(pgtype.UUIDOID, pgtype.BinaryFormatCode, malformed, &id); err == nil {
			t.Errorf("%x was read as an id", malformed)
		}
	}
}
