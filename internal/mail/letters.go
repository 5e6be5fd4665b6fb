package mail

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"strings"
	"text/template"
	"time"
	"unicode"

	"github.com/google/uuid"
)

//go:embed templates
var templateFiles embed.FS

var (
	textTemplates = template.Must(template.ParseFS(templateFiles, "templates/*.txt"))
	htmlTemplates = htmltemplate.Must(htmltemplate.ParseFS(templateFiles, "templates/*.html"))
)

// maxWords bounds what people chose themselves, as names, inside a mail.
const maxWords = 120

// Invitation asks somebody to join a tenant.
type Invitation struct {
	// Tenant is the tenant's name, Role what the invited person will be there, as
	// "owner".
	Tenant, Role string
	// InvitedBy is the name of who invites; empty if nobody is to be named.
	InvitedBy string
	// Link accepts the invitation; it carries the code.
	Link      string
	ExpiresAt time.Time
}

// Message returns the mail to one address. The id must be the same in every run
// of the step that sends it. It fails if the link is not http or https.
func (i Invitation) Message(id uuid.UUID, to string) (Message, error) {
	i.Tenant, i.Role, i.InvitedBy = oneLine(i.Tenant), oneLine(i.Role), oneLine(i.InvitedBy)
	return compose(letter{
		id: id, to: to, subject: "Your invitation to " + i.Tenant + " on TradeSage",
		template: "invitation", link: i.Link, expires: i.ExpiresAt, values: i,
	})
}

// Verification asks somebody who registers to prove that the address is theirs.
type Verification struct {
	// Code may be typed in where the link cannot be opened.
	Code string
	// Link carries the code.
	Link      string
	ExpiresAt time.Time
}

// Message returns the mail to one address. The id must be the same in every run
// of the step that sends it. It fails if the link is not http or https.
func (v Verification) Message(id uuid.UUID, to string) (Message, error) {
	v.Code = oneLine(v.Code)
	return compose(letter{
		id: id, to: to, subject: "Confirm your e-mail address for TradeSage",
		template: "verification", link: v.Link, expires: v.ExpiresAt, values: v,
	})
}

// AlreadyRegistered tells somebody who registers again that they have an account:
// the answer of the API must not tell a stranger.
type AlreadyRegistered struct {
	// Link leads to the page that signs in.
	Link string
}

// Message returns the mail to one address. The id must be the same in every run
// of the step that sends it. It fails if the link is not http or https.
func (a AlreadyRegistered) Message(id uuid.UUID, to string) (Message, error) {
	return compose(letter{
		id: id, to: to, subject: "You already have a TradeSage account",
		template: "already_registered", link: a.Link, values: a,
	})
}

// PasswordReset lets somebody who forgot the password choose a new one.
type PasswordReset struct {
	// Code may be typed in where the link cannot be opened.
	Code string
	// Link carries the code.
	Link      string
	ExpiresAt time.Time
}

// Message returns the mail to one address. The id must be the same in every run
// of the step that sends it. It fails if the link is not http or https.
func (p PasswordReset) Message(id uuid.UUID, to string) (Message, error) {
	p.Code = oneLine(p.Code)
	return compose(letter{
		id: id, to: to, subject: "Reset your TradeSage password",
		template: "password_reset", link: p.Link, expires: p.ExpiresAt, values: p,
	})
}

// PasswordChanged tells somebody that the password is another one now.
type PasswordChanged struct {
	At time.Time
	// Device is the name of the device that changed it; empty if unknown.
	Device string
	// Link leads to the page that resets the password.
	Link string
}

// Message returns the mail to one address. The id must be the same in every run
// of the step that sends it. It fails if the link is not http or https.
func (p PasswordChanged) Message(id uuid.UUID, to string) (Message, error) {
	p.Device = oneLine(p.Device)
	return compose(letter{
		id: id, to: to, subject: "Your TradeSage password was changed",
		template: "password_changed", link: p.Link, values: struct {
			PasswordChanged
			Time string
		}{p, moment(p.At)},
	})
}

// letter is what the templates of one mail are given.
type letter struct {
	id       uuid.UUID
	to       string
	subject  string
	template string
	link     string
	expires  time.Time // zero where nothing expires
	values   any
}

func compose(l letter) (Message, error) {
	link, err := url.Parse(l.link)
	if err != nil || link.Scheme != "http" && link.Scheme != "https" || link.Host == "" {
		return Message{}, errors.New("mail: the link is not an http or https URL")
	}
	page := struct {
		Subject, Expires string
		Link             string
		V                any
	}{l.subject, "", link.String(), l.values}
	if !l.expires.IsZero() {
		page.Expires = moment(l.expires)
	}
	var text, html bytes.Buffer
	if err := textTemplates.ExecuteTemplate(&text, l.template+".txt", page); err != nil {
		return Message{}, fmt.Errorf("mail %s: %w", l.template, err)
	}
	if err := htmlTemplates.ExecuteTemplate(&html, l.template+".html", page); err != nil {
		return Message{}, fmt.Errorf("mail %s: %w", l.template, err)
	}
	m := Message{ID: l.id, To: l.to, Subject: l.subject, Text: text.String(), HTML: html.String()}
	return m, m.check()
}

func moment(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 MST") }

// oneLine keeps words that people chose from looking like our own: one line, a
// bounded length, and nothing that turns the direction of the text or is unseen.
func oneLine(words string) string {
	words = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, words)
	words = strings.Join(strings.Fields(words), " ")
	if runes := []rune(words); len(runes) > maxWords {
		words = string(runes[:maxWords-1]) + "…"
	}
	return words
}
