package permission

import "github.com/tradesage/tradesage/db"

// Asking is the number of users of a tenant whose permissions somebody waits for.
func (p *Permissions) Asking(of db.Tenant) int {
	p.readings.mu.Lock()
	defer p.readings.mu.Unlock()
	l := p.readings.of[of]
	if l == nil {
		return 0
	}
	n := len(l.seats)
	for _, r := range l.running {
		n += len(r.users)
	}
	return n
}
