// Package mail sends what the platform writes to people. Domains put a Message
// into the outbox, in the transaction of its cause; the relay hands it to a
// Sender. In development the Sender is a Mailbox that keeps mails to be read in
// a browser.
package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Kind is the outbox kind whose body is an encoded Message. Only the platform's own
// transactions may cause it: whoever could emit it could write anything to anybody.
const Kind = "mail.send"

// Message is one mail to one recipient. It carries secrets, as codes in links,
// and must not be logged.
type Message struct {
	// ID tells a repeated delivery from a new mail; it becomes the Message-ID.
	ID      uuid.UUID `json:"id"`
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	// HTML is the same in HTML, or empty.
	HTML string `json:"html,omitempty"`
}

// Encode checks the message and returns the body of its outbox event.
func (m Message) Encode() (json.RawMessage, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// check refuses what could not be sent, or would be sent to somebody else.
func (m Message) check() error {
	switch {
	case m.ID == uuid.Nil:
		return errors.New("mail: no id")
	case m.To == "" || strings.ContainsAny(m.To, "\r\n\x00"):
		return errors.New("mail: no recipient, or one of several lines")
	case strings.ContainsAny(m.Subject, "\r\n\x00"):
		return errors.New("mail: a subject of several lines")
	}
	return nil
}

// Sender delivers a message, or says why not. It may be asked again with the
// same message.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Deliver hands the message of an outbox event of this package's Kind to sender.
func Deliver(ctx context.Context, sender Sender, body json.RawMessage) error {
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return Send(ctx, sender, m)
}

// Send checks the message and hands it to sender.
func Send(ctx context.Context, sender Sender, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	if err := sender.Send(ctx, m); err != nil {
		return fmt.Errorf("mail %s: %w", m.ID, err)
	}
	return nil
}
