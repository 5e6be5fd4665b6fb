package events

import (
	"math"
	"testing"

	"github.com/tradesage/tradesage/internal/fault"
)

func TestCursors(t *testing.T) {
	t.Parallel()
	for _, p := range []position{{}, {1, 0}, {1_795_312_800_123, 17}, {math.MaxUint64, math.MaxUint64}} {
		got, err := parseCursor(p.cursor())
		if err != nil || got != p {
			t.Errorf("%s: got %s, %v", p, got, err)
		}
		if again, ok := parsePosition(p.String()); !ok || again != p {
			t.Errorf("%s: read as %s", p, again)
		}
	}
	for _, text := range []string{"", "-", "1", "1-", "-1", "1-x", "18446744073709551616-0", "+1-0"} {
		if p, ok := parsePosition(text); ok {
			t.Errorf("%q is read as %s", text, p)
		}
	}
}

// A cursor has one spelling: whatever is accepted is written again the same way.
func FuzzCursor(f *testing.F) {
	f.Add(position{1_795_312_800_123, 17}.cursor())
	f.Add("AQAA")
	f.Add("AQCAAA")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseCursor(text)
		if err != nil {
			if !fault.Is(err, fault.CodeInvalidInput) {
				t.Fatal(err)
			}
			return
		}
		if got := p.cursor(); got != text {
			t.Fatalf("%q is written %q", text, got)
		}
	})
}
