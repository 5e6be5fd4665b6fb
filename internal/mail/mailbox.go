package mail

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
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

// secure forbids the page everything but its own text: mails are written by
// whoever causes them.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

var mailboxPage = template.Must(template.New("mailbox").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Development mailbox</title></head>
<body>
<h1>Development mailbox</h1>
<p>Nothing is sent. The last messages are kept here until the process ends; the same as <a href="mail.json">JSON</a>.</p>
{{range .}}<article>
<h2>{{.Subject}}</h2>
<p>To {{.To}} at <time>{{.ReceivedAt.Format "2006-01-02 15:04:05Z07:00"}}</time></p>
<pre>{{.Text}}</pre>
</article>
{{else}}<p>No mail yet.</p>
{{end}}</body>
</html>
`))
