package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/mail"
)

// KindChallenge is the kind of the outbox rows that HandleChallenge takes.
const KindChallenge = "auth.challenge"

const (
	purposeRegister = "register"
	purposeReset    = "reset"

	registrationLife = 24 * time.Hour
	resetLife        = 30 * time.Minute
	// mailsPerAddress is how many challenges of one purpose an address gets in
	// mailsWithin; more are answered alike and not mailed.
	mailsPerAddress = 5
	mailsWithin     = time.Hour
	// codeLength is that of 256 bits in base64url.
	codeLength = 43
)

var errCode = fault.NotFound("this code is not valid, was used or has expired")

// challenge is what somebody who claims an address has asked for.
type challenge struct {
	ID uuid.UUID `json:"id"`
}

// newChallenge is a challenge to record.
type newChallenge struct {
	purpose, email, action string
	life                   time.Duration
	passwordHash, tenant   *string
	client
}

// challenge records what somebody asks for and has the outbox decide on the mail.
// It does exactly the same for every address, so that neither its answer nor its
// time tells whether there is an account.
func (a *Auth) challenge(ctx context.Context, n newChallenge) error {
	now := a.clock()
	id, err := newID(now)
	if err != nil {
		return err
	}
	body, err := json.Marshal(challenge{id})
	if err != nil {
		return err
	}
	return a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		made, err := q.CreateChallenge(ctx, platformdb.CreateChallengeParams{
			ID: id, Purpose: n.purpose, Email: n.email, CodeHash: hashToken(a.sealer.code(n.purpose, id)),
			PasswordHash: n.passwordHash, TenantName: n.tenant, At: now, ExpiresAt: now.Add(n.life),
			Since: now.Add(-mailsWithin), Most: mailsPerAddress,
		})
		if err != nil {
			return err
		}
		event := audit.Event{
			Action: n.action, Target: "email:" + a.sealer.pseudonym(n.email),
			Details: map[string]any{"mailed": made > 0, "user_agent": n.agent, "ip": n.ip},
		}
		if err := audit.RecordPlatform(ctx, q, nil, event); err != nil || made == 0 {
			return err
		}
		return q.InsertOutbox(ctx, platformdb.InsertOutboxParams{Kind: KindChallenge, Body: body})
	})
}

// HandleChallenge writes the mail of a challenge: the code, a note to who has an
// account already, or none. It may run any number of times for the same body.
func (a *Auth) HandleChallenge(ctx context.Context, body json.RawMessage) error {
	var c challenge
	if err := json.Unmarshal(body, &c); err != nil {
		return fmt.Errorf("%s: %w", KindChallenge, err)
	}
	err := a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		row, err := q.TakeChallengeMail(ctx, a.clock(), c.ID)
		if errors.Is(err, db.ErrNotFound) {
			return nil // mailed, used or expired
		}
		if err != nil {
			return err
		}
		account, err := q.GetLogin(ctx, row.Email)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
		message, err := a.challengeMail(c.ID, row, account)
		if err != nil || message == nil {
			return err
		}
		if row.Purpose == purposeReset {
			if err := q.SetChallengeIdentity(ctx, &account.ID, c.ID); err != nil {
				return err
			}
		}
		return sendMail(ctx, q, *message)
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", KindChallenge, c.ID, err)
	}
	return nil
}

// challengeMail is nil where nobody is to be written to.
func (a *Auth) challengeMail(id uuid.UUID, row platformdb.TakeChallengeMailRow, account platformdb.GetLoginRow) (*mail.Message, error) {
	code := a.sealer.code(row.Purpose, id)
	var message mail.Message
	var err error
	// Codes stand behind # so that they are in no server's log.
	switch known := account.Hash != nil; {
	case row.Purpose == purposeRegister && known:
		message, err = mail.AlreadyRegistered{Link: a.publicURL + "/login"}.Message(id, row.Email)
	case row.Purpose == purposeRegister:
		message, err = mail.Verification{Code: code, Link: a.publicURL + "/verify#" + code, ExpiresAt: row.ExpiresAt}.Message(id, row.Email)
	case known && account.State == "active":
		message, err = mail.PasswordReset{Code: code, Link: a.publicURL + "/reset#" + code, ExpiresAt: row.ExpiresAt}.Message(id, row.Email)
	default:
		return nil, nil
	}
	return &message, err
}

func sendMail(ctx context.Context, q *platformdb.Queries, message mail.Message) error {
	body, err := message.Encode()
	if err != nil {
		return err
	}
	return q.InsertOutbox(ctx, platformdb.InsertOutboxParams{Kind: mail.Kind, Body: body})
}

// lockChallenge finds what a code is for. NOT_FOUND, always with the same
// message, for a code that is wrong or too old.
func (a *Auth) lockChallenge(ctx context.Context, q *platformdb.Queries, purpose, code string) (platformdb.LockChallengeRow, error) {
	row, err := q.LockChallenge(ctx, platformdb.LockChallengeParams{CodeHash: hashToken(code), Purpose: purpose, At: a.clock()})
	if errors.Is(err, db.ErrNotFound) {
		return row, errCode
	}
	return row, err
}
