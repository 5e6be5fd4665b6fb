package router

import (
	"encoding/json"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// subprotocol is the one that is spoken on WebSockets: GraphQL over WebSocket, as
// the library graphql-ws defines it.
const subprotocol = "graphql-transport-ws"

// The codes with which a WebSocket is closed. docs/errors.md tells clients what to
// do on each.
const (
	closeBadRequest      websocket.StatusCode = 4400 // a message that the protocol does not know
	closeUnauthorized    websocket.StatusCode = 4401 // an operation before the ack; the sign-in has ended
	closeForbidden       websocket.StatusCode = 4403 // a bad token; the token has expired
	closeNotAcceptable   websocket.StatusCode = 4406 // another subprotocol
	closeInitTimeout     websocket.StatusCode = 4408
	closeDuplicateID     websocket.StatusCode = 4409
	closeTooManyInits    websocket.StatusCode = 4429
	closeTooManyRequests websocket.StatusCode = 4429                          // operations go on although a rate limit refuses them
	closeGoingAway                            = websocket.StatusGoingAway     // 1001: the server ends
	closeTryAgain                             = websocket.StatusTryAgainLater // 1013: who is asking cannot be told now
	closeInternal                             = websocket.StatusInternalError // 1011
	maxOperationID                            = 128
	maxInitPayload                            = 16 << 10
	maxGreeting                               = maxInitPayload + 1<<10 // bytes of a message before the ack
)

// The types of messages.
const (
	messageInit      = "connection_init"
	messageAck       = "connection_ack"
	messagePing      = "ping"
	messagePong      = "pong"
	messageSubscribe = "subscribe"
	messageNext      = "next"
	messageError     = "error"
	messageComplete  = "complete"
)

// message is one that a client sends.
type message struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

// credentials are what connection_init and ping may bring.
type credentials struct {
	// Authorization is "Bearer <access token>".
	Authorization *string `json:"authorization"`
	// ClientName is what the client calls itself, which a browser cannot say in a
	// header of its own here. A ping's counts for nothing.
	ClientName *string `json:"clientName"`
}

// readCredentials reads a payload, which may be missing. It is false for one that
// is no object or too large.
func readCredentials(payload json.RawMessage) (credentials, bool) {
	var c credentials
	if len(payload) == 0 || string(payload) == "null" {
		return c, true
	}
	if len(payload) > maxInitPayload || json.Unmarshal(payload, &c) != nil {
		return c, false
	}
	return c, true
}

// render writes a message; payload is JSON or nil.
func render(kind, id string, payload []byte) []byte {
	out := make([]byte, 0, len(payload)+len(id)+64)
	out = append(append(append(out, `{"type":"`...), kind...), '"')
	if id != "" {
		out = rawjson.AppendString(append(out, `,"id":`...), id)
	}
	if payload != nil {
		out = append(append(out, `,"payload":`...), payload...)
	}
	return append(out, '}')
}
