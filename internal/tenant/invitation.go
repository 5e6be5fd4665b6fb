package tenant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/mail"
)

// InvitationLife is how long an invited person may take to accept.
const InvitationLife = 7 * 24 * time.Hour

// InvitationMails derives the codes of invitations and writes the mails that
// carry them. The database keeps only a code's SHA-256.
type InvitationMails struct {
	secret    []byte
	publicURL string
}

// NewInvitationMails returns what writes invitations. The secret has at least
// 32 bytes: with another one, invitations that were not yet mailed get other
// codes. publicURL is where people reach the console.
func NewInvitationMails(secret []byte, publicURL string) (*InvitationMails, error) {
	if len(secret) < 32 {
		return nil, errors.New("invitations: a secret of at least 32 bytes is needed")
	}
	if publicURL == "" {
		return nil, errors.New("invitations: a public URL is needed")
	}
	return &InvitationMails{secret, strings.TrimSuffix(publicURL, "/")}, nil
}

// Code derives the code of an invitation, so that every run of a step mails the
// same one. It begins with the tenant's id, which is where to look it up.
func (m *InvitationMails) Code(tenant, invitation uuid.UUID) string {
	mac := hmac.New(sha256.New, m.secret)
	mac.Write([]byte("tradesage invitation "))
	mac.Write(tenant[:])
	mac.Write(invitation[:])
	return base64.RawURLEncoding.EncodeToString(append(tenant[:], mac.Sum(nil)...))
}

// CodeHash is what the tenant's row of the invitation keeps of its code.
func (m *InvitationMails) CodeHash(tenant, invitation uuid.UUID) []byte {
	hash := sha256.Sum256([]byte(m.Code(tenant, invitation)))
	return hash[:]
}

// Link is where an invitation is accepted. The code stands behind # so that it is
// in no server's log.
func (m *InvitationMails) Link(tenant, invitation uuid.UUID) string {
	return m.publicURL + "/invitation#" + m.Code(tenant, invitation)
}

// ParseInvitationCode returns the tenant that a code names and the hash under
// which its invitation is found there; not ok if the text cannot be a code. It
// says nothing of whether there is such an invitation.
func ParseInvitationCode(code string) (tenant uuid.UUID, hash []byte, ok bool) {
	if len(code) != base64.RawURLEncoding.EncodedLen(len(tenant)+sha256.Size) {
		return uuid.Nil, nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if err != nil || len(raw) != len(tenant)+sha256.Size { // line ends are passed over
		return uuid.Nil, nil, false
	}
	copy(tenant[:], raw)
	sum := sha256.Sum256([]byte(code))
	return tenant, sum[:], true
}

// Invitation is what the mail of an invitation tells.
type Invitation struct {
	ID     uuid.UUID
	Tenant uuid.UUID
	// TenantName is what people call the tenant, Role what they will be there, as
	// "owner".
	TenantName, Role string
	// InvitedBy is the name of who invites; may be empty.
	InvitedBy string
	Email     string
	ExpiresAt time.Time
}

// Message writes the mail of an invitation. Its id is the invitation's, so that
// a repeated delivery is told from another invitation.
func (m *InvitationMails) Message(i Invitation) (mail.Message, error) {
	return mail.Invitation{
		Tenant: i.TenantName, Role: i.Role, InvitedBy: i.InvitedBy, ExpiresAt: i.ExpiresAt,
		Link: m.Link(i.Tenant, i.ID),
	}.Message(i.ID, i.Email)
}
