// Package auth proves who somebody is: passwords, sign-in and sign-out, the keys
// of access tokens, and the making and checking of the tokens themselves.
//
// A token is made in one place (Issuer) and checked in one place (Verifier).
// The issuer's process holds private keys; the others get public keys and claim
// keys only, and the database grants say so too. What a caller may do is not
// decided here.
package auth
