package session

import "github.com/tradesage/tradesage/internal/page"

// SessionConnection is a page of sessions; its name and SessionEdge's are the
// API's, which binds types by name.
type SessionConnection = Connection

// SessionEdge is one session of a page.
type SessionEdge = page.Edge[*Session]
