package mtls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
)

// trustDomain is the authority part of our SPIFFE ids.
const trustDomain = "tradesage"

var serviceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// id is the SPIFFE id of a service: spiffe://tradesage/<service>.
func id(service string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: trustDomain, Path: "/" + service}
}

// serviceOf reads the service from a certificate. As SPIFFE's X.509-SVID
// demands, the certificate has exactly one URI and is no authority's.
func serviceOf(leaf *x509.Certificate) (string, error) {
	if leaf.IsCA {
		return "", errors.New("an authority's certificate names no service")
	}
	if len(leaf.URIs) != 1 {
		return "", fmt.Errorf("%d URIs, a SPIFFE id is exactly one", len(leaf.URIs))
	}
	uri := leaf.URIs[0]
	service := ""
	if len(uri.Path) > 1 {
		service = uri.Path[1:]
	}
	// Written anew it must be the same: no port, user, query or escapes.
	if !serviceName.MatchString(service) || uri.String() != id(service).String() {
		return "", fmt.Errorf("%q is not a SPIFFE id as spiffe://%s/<service>", uri, trustDomain)
	}
	return service, nil
}

// nameOf is what a certificate calls itself, for logs.
func nameOf(leaf *x509.Certificate) string {
	if len(leaf.URIs) > 0 {
		return leaf.URIs[0].String()
	}
	return leaf.Subject.String()
}
