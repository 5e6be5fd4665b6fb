package multiplex

// Waiting is how many subscriptions have a place on sockets of a key.
func (p *Pool) Waiting(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, s := range p.open[key] {
		n += len(s.members)
	}
	return n
}
