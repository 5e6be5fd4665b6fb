package mtls

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// defaultInterval is how often files are looked at.
const defaultInterval = time.Second

// Files are what a process proves itself with, in PEM.
type Files struct {
	// Cert is the certificate, followed by those between it and the authority.
	Cert string
	// Key is its private key.
	Key string
	// CA is the bundle of authorities that peers' certificates come from. Without
	// one the certificates serve a public listener only.
	CA string
	// ByHost says that peers are known by their host names, and we to them by whatever
	// name our certificate has: see Credentials.Hosts. Each file is optional then, and
	// without CA the system's authorities count.
	ByHost bool
}

// Options are what Load needs.
type Options struct {
	Files Files
	// Interval is how often the files are looked at; a second if zero.
	Interval time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// Credentials are the certificates in force. Changed files are taken up within
// the interval, by the next handshake or by Run; files that cannot be used leave
// in force what was, and are logged once. It is safe for concurrent use.
type Credentials struct {
	options Options
	current atomic.Pointer[material]

	mu      sync.Mutex
	looked  time.Time
	broken  [3][]byte // what could not be used, as it was read
	told    bool      // broken is logged
	changed uint64    // counts the materials
}

// material is one immutable state of the files.
type material struct {
	generation uint64
	raw        [3][]byte
	pair       tls.Certificate
	roots      *x509.CertPool // nil without a bundle, the system's of Files.ByHost
}

// Load reads the files, which must be usable now.
func Load(o Options) (*Credentials, error) {
	if o.Interval <= 0 {
		o.Interval = defaultInterval
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	c := &Credentials{options: o, looked: o.Clock()}
	raw, err := c.read()
	if err != nil {
		return nil, err
	}
	first, err := c.parse(raw)
	if err != nil {
		return nil, err
	}
	c.current.Store(first)
	return c, nil
}

// Run looks at the files until ctx ends, so that a process without new
// connections follows their changes too.
func (c *Credentials) Run(ctx context.Context) error {
	ticker := time.NewTicker(c.options.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			c.check(c.options.Clock())
		}
	}
}

// Expires is when the own certificate in force ends; zero where there is none.
func (c *Credentials) Expires() time.Time {
	if leaf := c.current.Load().pair.Leaf; leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// inForce looks at the files if the interval has passed since the last time.
func (c *Credentials) inForce() *material {
	now := c.options.Clock()
	if c.mu.TryLock() { // somebody else is looking otherwise
		due := now.Sub(c.looked) >= c.options.Interval
		c.mu.Unlock()
		if due {
			c.check(now)
		}
	}
	return c.current.Load()
}

// check takes up files that have changed and can be used.
func (c *Credentials) check(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = now
	raw, err := c.read()
	if err == nil && same(raw, c.current.Load().raw) {
		c.broken, c.told = [3][]byte{}, false
		return
	}
	var next *material
	if err == nil {
		next, err = c.parse(raw)
	}
	if err != nil {
		c.refuse(raw, err)
		return
	}
	c.changed++
	next.generation = c.changed
	c.current.Store(next)
	c.broken, c.told = [3][]byte{}, false
	if next.pair.Leaf == nil {
		c.options.Logger.Info("new authorities in force", "file", c.options.Files.CA)
		return
	}
	c.options.Logger.Info("new certificate in force", "file", c.options.Files.Cert,
		"serial", next.pair.Leaf.SerialNumber.Text(16), "expires", next.pair.Leaf.NotAfter)
}

// refuse logs unusable files when they are seen for the second time: between two
// files being replaced, a certificate and a key do not belong together.
func (c *Credentials) refuse(raw [3][]byte, err error) {
	if !same(raw, c.broken) {
		c.broken, c.told = raw, false
		return
	}
	if !c.told {
		c.told = true
		c.options.Logger.Error("new certificate cannot be used, the old one stays in force", "error", err, "expires", c.Expires())
	}
}

func (c *Credentials) read() (raw [3][]byte, err error) {
	for i, name := range []string{c.options.Files.Cert, c.options.Files.Key, c.options.Files.CA} {
		if name == "" && (i == 2 || c.options.Files.ByHost) {
			continue
		}
		if raw[i], err = os.ReadFile(name); err != nil {
			return [3][]byte{}, err
		}
		if raw[i] == nil {
			raw[i] = []byte{} // nil stands for nothing read
		}
	}
	return raw, nil
}

func same(a, b [3][]byte) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) || !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (c *Credentials) parse(raw [3][]byte) (*material, error) {
	files := c.options.Files
	m := &material{raw: raw}
	if files.Cert != "" || !files.ByHost {
		pair, err := c.parsePair(raw)
		if err != nil {
			return nil, err
		}
		m.pair = pair
	}
	if files.CA == "" {
		return m, nil
	}
	m.roots = x509.NewCertPool()
	if !m.roots.AppendCertsFromPEM(raw[2]) {
		return nil, fmt.Errorf("authorities %s: no certificate in it", files.CA)
	}
	if files.ByHost {
		return m, nil
	}
	if _, err := serviceOf(m.pair.Leaf); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", files.Cert, err)
	}
	return m, nil
}

// parsePair returns the own certificate with its key.
func (c *Credentials) parsePair(raw [3][]byte) (tls.Certificate, error) {
	files := c.options.Files
	pair, err := tls.X509KeyPair(raw[0], raw[1])
	if err != nil {
		return pair, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
	}
	if pair.Leaf == nil { // GODEBUG x509keypairleaf=0
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return pair, fmt.Errorf("certificate %s: %w", files.Cert, err)
		}
	}
	if end := pair.Leaf.NotAfter; c.options.Clock().After(end) {
		return pair, fmt.Errorf("certificate %s: expired at %s", files.Cert, end.UTC().Format(time.RFC3339))
	}
	return pair, nil
}

var errNoBundle = errors.New("authorities: no bundle is configured")
