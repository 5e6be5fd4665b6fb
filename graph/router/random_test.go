package router_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/internal/fault"
)

// shopper writes random operations over the shop's entities, with aliases that
// are names of fields as often as not.
type shopper struct{ *rand.Rand }

var shopNames = []string{"id", "name", "greeting", "orders", "reviewCount", "__typename", "friend", "buyer", "reviews", "author", "total"}

func (s shopper) field(name string) string {
	if s.IntN(2) == 0 {
		return shopNames[s.IntN(len(shopNames))] + ": " + name
	}
	return name
}

func (s shopper) user(depth int) string {
	fields := []string{"id", "name", "greeting", "reviewCount", "email"}
	var out []string
	for range 1 + s.IntN(4) {
		switch n := s.IntN(7); {
		case n < len(fields):
			out = append(out, s.field(fields[n]))
		case depth > 0 && n == 5:
			out = append(out, s.field("orders")+" { "+s.order(depth-1)+" }")
		case depth > 0:
			out = append(out, s.field("friend")+" { "+s.user(depth-1)+" }")
		default:
			out = append(out, s.field("email"))
		}
	}
	return strings.Join(out, " ")
}

func (s shopper) order(depth int) string {
	var out []string
	for range 1 + s.IntN(3) {
		switch n := s.IntN(4); {
		case depth > 0 && n == 0:
			out = append(out, s.field("buyer")+" { "+s.user(depth-1)+" }")
		case depth > 0 && n == 1:
			out = append(out, s.field("reviews")+" { "+s.field("stars")+" "+s.field("author")+" { "+s.user(depth-1)+" } }")
		case n == 2:
			out = append(out, s.field("id"))
		default:
			out = append(out, s.field("total"))
		}
	}
	return strings.Join(out, " ")
}

// An operation is either refused as invalid or answered in full, whatever its
// aliases are called.
func TestRandomAliases(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) { s.options.Limits.MaxCost = 1 << 40 })
	random := shopper{rand.New(rand.NewPCG(1, 2))}
	answered := 0
	for i := range 1500 {
		text := "{ me { " + random.user(3) + " } }"
		if i%2 == 0 {
			text = "{ orders { " + random.order(3) + " } }"
		}
		got := query(s.router, text, "")
		var body struct {
			Data   json.RawMessage
			Errors []struct{ Extensions struct{ Code fault.Code } }
		}
		if err := json.Unmarshal([]byte(got.body), &body); err != nil {
			t.Fatalf("%s: %v in %s", text, err, got.body)
		}
		switch {
		case len(body.Errors) == 0 && len(body.Data) > 0:
			answered++
		case len(body.Errors) == 0 || body.Errors[0].Extensions.Code != fault.CodeInvalidInput:
			t.Errorf("%s\n%s", text, got.body)
		}
	}
	if answered < 300 {
		t.Errorf("only %d operations were valid: the test says little", answered)
	}
}
