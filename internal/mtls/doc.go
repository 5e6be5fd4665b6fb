// Package mtls secures what processes say to each other: TLS 1.3 with a
// certificate on both sides, which names its service by a SPIFFE id. It reads
// certificates from files and follows their changes without dropping a request.
//
// It also makes the certificates of a development installation (Authority), and
// serves the public listener's certificate, where clients bring none.
package mtls
