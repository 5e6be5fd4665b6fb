package mtls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// Reason says why a peer was refused.
type Reason string

// The reasons. ReasonRefused is the other side's: TLS does not tell more.
const (
	ReasonMissing     Reason = "no certificate"
	ReasonExpired     Reason = "certificate expired"
	ReasonNotYetValid Reason = "certificate not valid yet"
	ReasonAuthority   Reason = "certificate of another authority"
	ReasonIdentity    Reason = "certificate of another service"
	ReasonInvalid     Reason = "certificate not usable"
	ReasonRefused     Reason = "the peer refused our certificate"
)

// Error is a connection that was not made because of a certificate.
type Error struct {
	Reason Reason
	// Peer is the SPIFFE id of the peer's certificate, as far as it has one; for
	// ReasonRefused it is the service that was called.
	Peer string
	// Cause tells more; it may be nil.
	Cause error
}

// Error implements error.
func (e *Error) Error() string {
	text := string(e.Reason)
	if e.Peer != "" {
		text += " (" + e.Peer + ")"
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// inspect tells whether the peer's chain is of our authorities, in force, for
// the usage, and of an allowed service.
func inspect(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time, allowed []string) error {
	if len(chain) == 0 {
		return &Error{Reason: ReasonMissing}
	}
	leaf := chain[0]
	refusal := &Error{Peer: nameOf(leaf)}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		refusal.Reason, refusal.Cause = reasonOf(leaf, now, err), err
		return refusal
	}
	service, err := serviceOf(leaf)
	if err != nil {
		refusal.Reason, refusal.Cause = ReasonIdentity, err
		return refusal
	}
	for _, name := range allowed {
		if service == name {
			return nil
		}
	}
	refusal.Reason, refusal.Cause = ReasonIdentity, fmt.Errorf("allowed here: %q", allowed)
	return refusal
}

func reasonOf(leaf *x509.Certificate, now time.Time, err error) Reason {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return ReasonAuthority
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if invalid.Cert != nil && now.Before(invalid.Cert.NotBefore) || now.Before(leaf.NotBefore) {
			return ReasonNotYetValid
		}
		return ReasonExpired
	default:
		return ReasonInvalid
	}
}

// remote tells whether the other side ended the handshake with an alert: with
// TLS 1.3 a client learns of it on the first use of the connection.
func remote(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
