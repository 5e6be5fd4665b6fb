package mtls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLife = 5 * 365 * 24 * time.Hour
	// skew is how long before now certificates begin, for clocks that differ.
	skew = 5 * time.Minute

	bundleFile = "ca.crt"
	signerFile = "ca.key"
)

// Authority makes certificates in a folder: ca.crt (the bundle; its first
// certificate signs), ca.key, and <service>.crt with <service>.key. Keys are
// readable by their owner only. It is meant for development and for machines of
// one's own; what it makes is what any other authority would have to.
type Authority struct {
	dir    string
	clock  func() time.Time
	bundle []*x509.Certificate
	key    crypto.Signer
}

// OpenAuthority reads the folder's authority, or makes folder and authority
// where there is none. clock is time.Now if nil.
func OpenAuthority(dir string, clock func() time.Time) (*Authority, error) {
	if clock == nil {
		clock = time.Now
	}
	a := &Authority{dir: dir, clock: clock}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // certificates are public, keys have their own mode
		return nil, err
	}
	keyPEM, err := os.ReadFile(a.path(signerFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(a.path(bundleFile)); err == nil {
			return nil, fmt.Errorf("%s is there and %s is not: a new authority would not be trusted; remove the one or bring the other", a.path(bundleFile), a.path(signerFile))
		}
		return a, a.Replace()
	}
	if err != nil {
		return nil, err
	}
	bundlePEM, err := os.ReadFile(a.path(bundleFile))
	if err != nil {
		return nil, err
	}
	if a.bundle, err = parseCertificates(bundlePEM); err != nil {
		return nil, fmt.Errorf("%s: %w", a.path(bundleFile), err)
	}
	if a.key, err = parseKey(keyPEM); err != nil {
		return nil, fmt.Errorf("%s: %w", a.path(signerFile), err)
	}
	public, ok := a.key.Public().(*ecdsa.PublicKey)
	if !ok || !public.Equal(a.bundle[0].PublicKey) {
		return nil, fmt.Errorf("%s is not the key of the first certificate in %s", a.path(signerFile), a.path(bundleFile))
	}
	return a, nil
}

// Replace makes a new authority that signs from now on. The bundle keeps those
// of before that are in force, so that every certificate stays good.
func (a *Authority) Replace() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := a.clock()
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"TradeSage"}, CommonName: "TradeSage authority of " + now.UTC().Format(time.DateOnly)},
		NotBefore:    now.Add(-skew), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:            x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedURIDomains: []string{trustDomain},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	bundle := []*x509.Certificate{certificate}
	for _, old := range a.bundle {
		if now.Before(old.NotAfter) {
			bundle = append(bundle, old)
		}
	}
	return a.keep(bundle, key)
}

// Forget takes all authorities but the signing one out of the bundle: what they
// signed is refused from then on.
func (a *Authority) Forget() error { return a.keep(a.bundle[:1], a.key) }

func (a *Authority) keep(bundle []*x509.Certificate, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, c := range bundle {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // to memory
	}
	if err := replaceFile(a.path(signerFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	if err := replaceFile(a.path(bundleFile), text.Bytes(), 0o644); err != nil {
		return err
	}
	a.bundle, a.key = bundle, key
	return nil
}

// Leaf is a service's certificate to be made.
type Leaf struct {
	Service string
	// Life is how long it is valid.
	Life time.Duration
	// Hosts are further names and addresses that it is good for; the service's
	// name, localhost and the loopback addresses always are.
	Hosts []string
	// Anew makes it even though there is one that will do.
	Anew bool
}

// Issue makes a service's certificate unless the folder has a good one with more
// than a third of its life left. It tells when the certificate in the folder
// ends, and whether it was made now.
func (a *Authority) Issue(l Leaf) (expires time.Time, made bool, err error) {
	if !serviceName.MatchString(l.Service) || l.Service == "ca" {
		return time.Time{}, false, fmt.Errorf("service %q: lower case letters, digits and hyphens, and not ca", l.Service)
	}
	if l.Life < time.Minute || l.Life > 398*24*time.Hour {
		return time.Time{}, false, fmt.Errorf("life of a certificate: %s is not between 1m and 9552h", l.Life)
	}
	if !l.Anew {
		if expires, ok := a.good(l.Service); ok {
			return expires, false, nil
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return time.Time{}, false, err
	}
	now := a.clock()
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"TradeSage"}, CommonName: l.Service},
		NotBefore:    now.Add(-skew), NotAfter: now.Add(l.Life),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:                  []*url.URL{id(l.Service)},
		DNSNames:              []string{l.Service, "localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, host := range l.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.bundle[0], key.Public(), a.key)
	if err != nil {
		return time.Time{}, false, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return time.Time{}, false, err
	}
	if err := replaceFile(a.path(l.Service+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return time.Time{}, false, err
	}
	err = replaceFile(a.path(l.Service+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	return template.NotAfter, true, err
}

// good tells whether the folder's certificate of a service will do for now.
func (a *Authority) good(service string) (time.Time, bool) {
	c, err := Load(Options{
		Files: Files{Cert: a.path(service + ".crt"), Key: a.path(service + ".key"), CA: a.path(bundleFile)},
		Clock: a.clock,
	})
	if err != nil {
		return time.Time{}, false
	}
	now, leaf, roots := a.clock(), c.current.Load().pair.Leaf, c.current.Load().roots
	if inspect([]*x509.Certificate{leaf}, roots, x509.ExtKeyUsageServerAuth, now, []string{service}) != nil {
		return time.Time{}, false
	}
	return leaf.NotAfter, leaf.NotAfter.Sub(now) > leaf.NotAfter.Sub(leaf.NotBefore)/3
}

func (a *Authority) path(name string) string { return filepath.Join(a.dir, name) }

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all, text = append(all, c), rest
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return all, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key in it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("not a key that signs")
	}
	return key, nil
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// replaceFile writes a file beside its place and moves it there, so that readers
// see the old or the new one, whole.
func replaceFile(name string, text []byte, mode fs.FileMode) error {
	next, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // moved away unless something failed
	_, err = next.Write(text)
	if err = errors.Join(err, next.Chmod(mode), next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), name)
}
