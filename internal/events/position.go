package events

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/tradesage/tradesage/internal/fault"
)

// position is the place of an entry in a tenant's stream, as Redis numbers them.
type position struct{ ms, sequence uint64 }

// cursorVersion begins every cursor, so that another kind can come later.
const cursorVersion = 1

func (p position) String() string {
	return strconv.FormatUint(p.ms, 10) + "-" + strconv.FormatUint(p.sequence, 10)
}

func (p position) after(other position) bool {
	return p.ms > other.ms || p.ms == other.ms && p.sequence > other.sequence
}

func parsePosition(text string) (position, bool) {
	head, tail, ok := strings.Cut(text, "-")
	ms, err := strconv.ParseUint(head, 10, 64)
	if !ok || err != nil {
		return position{}, false
	}
	sequence, err := strconv.ParseUint(tail, 10, 64)
	return position{ms, sequence}, err == nil
}

// cursor is the position as clients keep it.
func (p position) cursor() string {
	raw := make([]byte, 1, 1+2*binary.MaxVarintLen64)
	raw[0] = cursorVersion
	raw = binary.AppendUvarint(raw, p.ms)
	raw = binary.AppendUvarint(raw, p.sequence)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// parseCursor accepts what cursor has made. INVALID_INPUT of after otherwise.
func parseCursor(text string) (position, error) {
	refused := fault.InvalidInput("after", "after must be the cursor of an event of this subscription")
	if len(text) > 32 {
		return position{}, refused
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < 3 || raw[0] != cursorVersion {
		return position{}, refused
	}
	ms, n := binary.Uvarint(raw[1:])
	if n <= 0 {
		return position{}, refused
	}
	sequence, m := binary.Uvarint(raw[1+n:])
	p := position{ms, sequence}
	if m <= 0 || p.cursor() != text { // one position has one spelling
		return position{}, refused
	}
	return p, nil
}
