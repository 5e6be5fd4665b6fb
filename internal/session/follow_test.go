package session

import "testing"

func TestNextCursor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ last, next, want string }{
		{"0", "750", "750"}, {"750", "750", "750"}, {"9", "10", "10"}, {"10", "9", firstCursor},
	} {
		if got, err := nextCursor(test.last, test.next); err != nil || got != test.want {
			t.Errorf("%s, %s: got %s, %v", test.last, test.next, got, err)
		}
	}
	if _, err := nextCursor("0", "x"); err == nil {
		t.Error("rubbish is accepted")
	}
}

func TestBefore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"1-0", "1-1", true}, {"1-1", "1-1", false}, {"9-0", "10-0", true}, {"10-0", "9-9", false}, {"0-0", "1-0", true}, {"", "1-0", true},
	} {
		if got := before(test.a, test.b); got != test.want {
			t.Errorf("before(%s, %s) = %v", test.a, test.b, got)
		}
	}
}
