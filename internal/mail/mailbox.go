package mail

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"
)

// mailboxSize is how many messages a Mailbox keeps.
const mailboxSize = 200

// Received is a message with the time of its arrival.
type Received struct {
	Message
	ReceivedAt time.Time `json:"receivedAt"`
}

// Mailbox keeps the last 200 messages in memory instead of sending them, for
// development only: whoever reaches its handlers reads everybody's mail. A
// message that is delivered again is kept once.
type Mailbox struct {
	now func() time.Time

	mu       sync.Mutex
	messages []Received // oldest first
}

// NewMailbox returns an empty mailbox.
func NewMailbox(now func() time.Time) *Mailbox { return &Mailbox{now: now} }

// Send keeps the message.
func (b *Mailbox) Send(_ context.Context, m Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(b.messages, func(kept Received) bool { return kept.ID == m.ID }) {
		return nil
	}
	if len(b.messages) == mailboxSize {
		b.messages = slices.Delete(b.messages, 0, 1)
	}
	b.messages = append(b.messages, Received{m, b.now().UTC()})
	return nil
}

// Messages returns what is kept, the newest first.
func (b *Mailbox) Messages() []Received {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages := slices.Clone(b.messages)
	slices.Reverse(messages)
	return messages
}

// ServeJSON answers {"messages": […]}, the newest first; for /dev/mail.json.
func (b *Mailbox) ServeJSON(w http.ResponseWriter, _ *http.Request) {
	messages := b.Messages()
	if messages == nil {
		messages = []Received{}
	}
	secure(w.Header())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"messages": messages}) // the client has gone
}

// ServeHTML answers a page with all messages as plain text; for /dev/mail.
func (b *Mailbox) ServeHTML(w http.ResponseWriter, _ *http.Request) {
	secure(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = mailboxPage.Execute(w, b.Messages()) // the client has gone
}

// secure forbids the page everything but its own text and look: mails are written
// by whoever causes them.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+mailboxStyleHash+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

const mailboxStyle = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
article { border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: 8px; padding: 1rem 1.25rem; margin: 1rem 0; }
h2 { font-size: 1.1rem; margin: 0; }
.about, footer { opacity: .75; font-size: .9rem; margin: .25rem 0 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .75rem 0 0; font: inherit; }
`

var mailboxStyleHash = func() string {
	sum := sha256.Sum256([]byte(mailboxStyle))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}()

// piece is a stretch of a mail's text, with an address if it is a link.
type piece struct{ Text, Link string }

var address = regexp.MustCompile(`https?://[^\s<>"]+[^\s<>".,;:!?)]`)

// pieces cuts a text at the links in it.
func pieces(text string) []piece {
	var all []piece
	rest := 0
	for _, at := range address.FindAllStringIndex(text, -1) {
		all = append(all, piece{Text: text[rest:at[0]]}, piece{text[at[0]:at[1]], text[at[0]:at[1]]})
		rest = at[1]
	}
	return append(all, piece{Text: text[rest:]})
}

// The page asks for itself again every ten seconds, which takes no script.
var mailboxPage = template.Must(template.New("mailbox").Funcs(template.FuncMap{
	"pieces": pieces, "style": func() template.CSS { return mailboxStyle },
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="10">
<title>Development mailbox ({{len .}})</title><style>{{style}}</style></head>
<body>
<h1>Development mailbox</h1>
<p class="about">Nothing is sent. The last 200 mails are kept here, the newest first, until the process ends; also as <a href="mail.json">JSON</a>. This page renews itself.</p>
{{range .}}<article>
<h2>{{.Subject}}</h2>
<p class="about">To {{.To}} · <time datetime="{{.ReceivedAt.Format "2006-01-02T15:04:05Z07:00"}}">{{.ReceivedAt.Format "2006-01-02 15:04:05 MST"}}</time></p>
<pre>{{range pieces .Text}}{{if .Link}}<a href="{{.Link}}" target="_blank" rel="noopener noreferrer">{{.Text}}</a>{{else}}{{.Text}}{{end}}{{end}}</pre>
</article>
{{else}}<p>No mail yet.</p>
{{end}}</body>
</html>
`))
