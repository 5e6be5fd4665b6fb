package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// smtpTimeout bounds one delivery unless the options say otherwise.
const smtpTimeout = 8 * time.Second

// SMTPOptions says which server to send through.
type SMTPOptions struct {
	Host string
	Port int // 587 if zero
	// From is the sender's address, with or without a name.
	From string
	// Username and Password may be empty for a server that wants none.
	Username, Password string
	// Plaintext sends without TLS, for a server on the same machine. Otherwise
	// STARTTLS is mandatory and the server's certificate is verified.
	Plaintext bool
	// RootCAs sign the server's certificate; nil for the system's.
	RootCAs *x509.CertPool
	// Timeout bounds one delivery, from connecting to the server's last answer;
	// 8 s if zero.
	Timeout time.Duration
}

// SMTP sends through one server, a connection for each message.
type SMTP struct {
	options SMTPOptions
	domain  string // of the Message-ID
}

// NewSMTP checks the options; it connects to nothing.
func NewSMTP(o SMTPOptions) (*SMTP, error) {
	if o.Host == "" {
		return nil, errors.New("SMTP host: must not be empty")
	}
	if o.Port == 0 {
		o.Port = 587
	}
	if o.Port < 1 || o.Port > 65535 {
		return nil, fmt.Errorf("SMTP port %d: must be between 1 and 65535", o.Port)
	}
	if o.Timeout == 0 {
		o.Timeout = smtpTimeout
	}
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, fmt.Errorf("SMTP sender %q: %w", o.From, err)
	}
	if (o.Username == "") != (o.Password == "") {
		return nil, errors.New("SMTP: give both user name and password, or neither")
	}
	if o.Plaintext && o.Username != "" {
		return nil, errors.New("SMTP: a password is never sent without TLS")
	}
	return &SMTP{o, from.Address[strings.LastIndexByte(from.Address, '@')+1:]}, nil
}

// Send delivers the message to the server. The Message-ID depends on the
// message's id alone, so that receivers can tell a repeated delivery. What it
// returns names no recipient; Refused tells whether another try is of use.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	message := gomail.NewMsg()
	if err := message.From(s.options.From); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if err := message.To(m.To); err != nil {
		return &refusedError{errors.New("recipient: not an address")} // the cause would quote it
	}
	message.Subject(m.Subject)
	message.SetMessageIDWithValue(m.ID.String() + "@" + s.domain)
	message.SetDate()
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	message.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		message.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	// go-mail leaves the connection open when the server offers no TLS or refuses
	// the login.
	var conn net.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close() // closed already where all went well
		}
	}()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return conn, err
	}
	client, err := gomail.NewClient(s.options.Host, append(s.clientOptions(), gomail.WithDialContextFunc(dial))...)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, message)
	if message.IsDelivered() {
		return nil // the server has it; only the goodbye went wrong
	}
	return explain(err)
}

// refusedError marks what the server will refuse again.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// Refused reports whether the server refused the recipient or the message for
// good. A server that is away, busy, or refuses us is another matter: it may be
// put right.
func Refused(err error) bool {
	var refused *refusedError
	return errors.As(err, &refused)
}

// explain tells what went wrong by the server's code: its words quote the
// recipient.
func explain(err error) error {
	var failure *gomail.SendError
	if !errors.As(err, &failure) {
		return err
	}
	told := fmt.Errorf("SMTP: %s: %d %s", failure.Reason, failure.ErrorCode(), failure.EnhancedStatusCode())
	switch failure.Reason {
	case gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
		if code := failure.ErrorCode(); code >= 500 && code <= 599 {
			return &refusedError{told}
		}
	}
	return told
}

func (s *SMTP) clientOptions() []gomail.Option {
	options := []gomail.Option{gomail.WithPort(s.options.Port), gomail.WithTimeout(s.options.Timeout)}
	if s.options.Plaintext {
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	} else {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithTLSConfig(&tls.Config{
			ServerName: s.options.Host, RootCAs: s.options.RootCAs, MinVersion: tls.VersionTLS12,
		}))
	}
	if s.options.Username != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(s.options.Username), gomail.WithPassword(s.options.Password))
	}
	return options
}
