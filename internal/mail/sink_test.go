package mail_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/tradesage/tradesage/internal/mail"
)

// delivery is one mail as the server took it.
type delivery struct {
	From, To, User string
	Encrypted      bool
	Data           []byte
}

// sink is a real SMTP server that keeps what it is given.
type sink struct {
	roots      *x509.CertPool
	addr       *net.TCPAddr
	mechanisms []string // of AUTH
	config     func(*smtp.Server)

	mu      sync.Mutex
	refusal func(stage string) error
	got     []delivery
	server  *smtp.Server
	socket  net.Listener
}

// newSink starts a server with a certificate of its own authority.
func newSink(t *testing.T, change func(*sink, *smtp.Server)) *sink {
	t.Helper()
	certificate, roots := certificate(t)
	s := &sink{roots: roots}
	s.config = func(server *smtp.Server) {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		if change != nil {
			change(s, server)
		}
	}
	s.start(t, "127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

func (s *sink) start(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.socket = listener
	s.addr = listener.Addr().(*net.TCPAddr)
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s, conn: c}, nil }))
	s.server.Domain, s.server.ReadTimeout, s.server.WriteTimeout = "sink.test", 20*time.Second, 20*time.Second
	s.config(s.server)
	server := s.server
	go func() { _ = server.Serve(listener) }() // until stop
}

// stop closes the socket too, which the server may not know yet.
func (s *sink) stop() {
	_ = s.server.Close()
	_ = s.socket.Close()
}

func (s *sink) deliveries() []delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *sink) refuse(f func(stage string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = f
}

// sender sends to the sink and trusts its authority.
func (s *sink) sender(t *testing.T, change func(*mail.SMTPOptions)) *mail.SMTP {
	t.Helper()
	o := mail.SMTPOptions{
		Host: "127.0.0.1", Port: s.addr.Port, From: "TradeSage Größe <no-reply@tradesage.test>", RootCAs: s.roots,
	}
	if change != nil {
		change(&o)
	}
	sender, err := mail.NewSMTP(o)
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

type sinkSession struct {
	*sink
	conn    *smtp.Conn
	current delivery
	user    string
}

func (s *sinkSession) ask(stage string) error {
	s.mu.Lock()
	f := s.refusal
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(stage)
}

func (s *sinkSession) Reset()        { s.current = delivery{} }
func (s *sinkSession) Logout() error { return nil }

func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	_, encrypted := s.conn.TLSConnectionState()
	s.current = delivery{From: from, User: s.user, Encrypted: encrypted}
	return s.ask("mail")
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.current.To = to
	return s.ask("rcpt")
}

func (s *sinkSession) Data(r io.Reader) (err error) {
	if s.current.Data, err = io.ReadAll(r); err != nil {
		return err
	}
	if err := s.ask("data"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, s.current)
	return nil
}

// AuthMechanisms implements smtp.AuthSession.
func (s *sinkSession) AuthMechanisms() []string { return s.mechanisms }

// Auth implements smtp.AuthSession.
func (s *sinkSession) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != "sage" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		s.user = user + " by " + mechanism
		return nil
	}
	if mechanism == sasl.Login {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

// loginServer is the server's side of AUTH LOGIN.
type loginServer struct {
	check func(user, password string) error
	step  int
	user  string
}

// Next implements sasl.Server.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

// certificate makes an authority and, signed by it, a certificate of 127.0.0.1.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return parsed, key
	}
	ca, caKey := issue(&x509.Certificate{Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, key := issue(&x509.Certificate{Subject: pkix.Name{CommonName: "sink"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, ca, caKey)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, roots
}
