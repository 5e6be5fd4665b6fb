package router

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/internal/aside"
)

// member is a client of a feed. Its events wait in a bounded queue and are shown one
// after the other, by whoever has made it busy.
type member struct {
	stream *stream
	ctx    context.Context // the operation's
	over   func(error)
	feed   *feed
	// course is how its events are resolved, by the supergraph in force.
	course atomic.Pointer[course]

	mu sync.Mutex
	// forget is set once the member ends with ctx, unwatch once it follows changes of
	// the supergraph.
	forget  func() bool
	unwatch func() bool
	waiting []*event
	// busy is whether somebody works on it, who also finishes it if it has ended.
	busy bool
	// starting is whether it gets its first event from a source of its own, private
	// whether it stays there.
	starting, private bool
	// stop ends a source of its own; nil if it has none.
	stop context.CancelFunc
	// ended is whether nothing more is shown, and err why.
	ended bool
	err   error
	// sourceOver is whether nothing more comes.
	sourceOver bool
	// since is when what is being shown began, zero if nothing is.
	since time.Time
	// room is closed when an event has left the queue; nil if nobody waits.
	room chan struct{}
}

// errBegun ends a subscription that is only asked for its first event.
var errBegun = errors.New("the subscription has begun")

// start shows the first event of a subscription of its own, and then goes on with
// the feed's, which has queued what came since. A subscription that does not begin,
// or whose queue is full before it does, stays by itself.
func (m *member) start(first context.Context) {
	first, cancel := context.WithCancel(first)
	defer cancel()
	m.mu.Lock()
	m.stop = cancel
	if m.ended {
		cancel()
	}
	m.mu.Unlock()
	err := m.feed.key.source.follow(first, m.feed.key.query, []byte(m.feed.key.variables), func(raw []byte) error {
		if err := m.stream.show(m.ctx, m.course.Load(), &event{raw: raw}); err != nil {
			return err
		}
		if m.started(raw) {
			return errBegun
		}
		return nil
	})
	if !errors.Is(err, errBegun) {
		m.mu.Lock()
		m.endLocked(err)
		m.mu.Unlock()
	}
	m.mu.Lock()
	m.stop = nil
	m.mu.Unlock()
	m.next()
}

// started reports whether the feed takes over after a first event.
func (m *member) started(raw []byte) bool {
	begun := hasData(raw)
	m.mu.Lock()
	alone := m.private || !begun
	m.private, m.starting = alone, false
	m.mu.Unlock()
	if alone {
		m.feed.leave(m)
	}
	return !alone
}

// hasData reports whether a response has data and no errors.
func hasData(response []byte) bool {
	parsed, err := astjson.ParseBytes(response)
	if err != nil || len(parsed.GetArray("errors")) > 0 {
		return false
	}
	data := parsed.Get("data")
	return data != nil && data.Type() == astjson.TypeObject
}

// push queues an event; it is false where the queue is full.
func (m *member) push(e *event) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pushLocked(e)
}

func (m *member) pushLocked(e *event) bool {
	if m.ended || m.private {
		return true // it wants no more
	}
	if len(m.waiting) >= m.stream.router.streams.Queue {
		if !m.starting {
			return false
		}
		// Its own source has all of them.
		m.private, m.waiting = true, nil
		return true
	}
	m.waiting = append(m.waiting, e)
	if !m.busy {
		m.busy = true
		m.feed.of.crew.Add(m)
	}
	return true
}

// await queues an event when there is room, unless the client is stuck: then its
// subscription ends.
func (m *member) await(ctx context.Context, e *event) {
	patience := m.stream.router.streams.SlowWithin
	for {
		m.mu.Lock()
		if m.pushLocked(e) {
			m.mu.Unlock()
			return
		}
		room := make(chan struct{})
		m.room = room
		left := patience
		if !m.since.IsZero() {
			left -= time.Since(m.since)
		}
		m.mu.Unlock()
		if left <= 0 {
			m.stream.router.metrics.slow.Inc()
			m.end(errSlow)
			m.feed.leave(m) // before its last message has been taken
			return
		}
		aside.Yield(ctx)
		timer := time.NewTimer(left)
		select {
		case <-room:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// Run shows one event; it implements crew.Task.
func (m *member) Run() {
	m.mu.Lock()
	if m.ended || len(m.waiting) == 0 {
		m.mu.Unlock()
		m.next()
		return
	}
	e := m.waiting[0]
	m.waiting[0] = nil
	if m.waiting = m.waiting[1:]; len(m.waiting) == 0 {
		m.waiting = nil
	}
	m.since = time.Now()
	m.makeRoom()
	m.mu.Unlock()
	err := m.stream.show(m.ctx, m.course.Load(), e)
	m.mu.Lock()
	m.since = time.Time{}
	if err != nil {
		m.endLocked(err)
	}
	m.mu.Unlock()
	m.next()
}

// next says what follows for who has made the member busy.
func (m *member) next() {
	m.mu.Lock()
	switch {
	case m.ended:
	case len(m.waiting) > 0:
		m.mu.Unlock()
		m.feed.of.crew.Add(m)
		return
	case m.sourceOver:
		m.ended = true
	default:
		m.busy = false
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	m.finish()
}

// end ends the subscription, at once but for what is being shown.
func (m *member) end(err error) {
	m.mu.Lock()
	if m.ended {
		m.mu.Unlock()
		return
	}
	m.endLocked(err)
	busy := m.busy
	m.busy = true
	m.mu.Unlock()
	if !busy {
		m.finish()
	}
}

// endLocked lets nothing more be shown.
func (m *member) endLocked(err error) {
	if m.ended {
		return
	}
	m.ended, m.err, m.waiting = true, err, nil
	m.makeRoom()
	if m.stop != nil {
		m.stop()
	}
}

// makeRoom wakes up the feed, if it waits for this member.
func (m *member) makeRoom() {
	if m.room != nil {
		close(m.room)
		m.room = nil
	}
}

// sourceEnded ends the subscription once all events have been shown.
func (m *member) sourceEnded(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended || m.private {
		return
	}
	m.sourceOver, m.err = true, err
	if !m.busy {
		m.busy = true
		m.feed.of.crew.Add(m)
	}
}

// finish is called once, by who has made the member busy.
func (m *member) finish() {
	m.feed.leave(m)
	m.mu.Lock()
	for _, forget := range []func() bool{m.forget, m.unwatch} {
		if forget != nil {
			forget()
		}
	}
	m.mu.Unlock()
	m.stream.feed.Store(nil)
	m.over(m.err)
}

// watch plans the subscription anew when another supergraph takes the place of one;
// m.mu is held.
func (m *member) watch(of *generation) {
	m.unwatch = context.AfterFunc(of.superseded, func() { m.feed.of.crew.Add(replanning{m}) })
}

// replanning is the task of planning a member's subscription anew.
type replanning struct{ *member }

// Run goes on with the same source where the new supergraph asks its subgraph for
// the same, and else ends the membership with a *movedError.
func (m replanning) Run() {
	ctx, err := m.stream.admit(m.ctx)
	if err != nil {
		m.end(err)
		return
	}
	before := m.course.Load()
	next, err := m.stream.router.replan(ctx, m.stream.again)
	switch {
	case err != nil:
		m.end(err)
	case before.sameTrigger(next):
		m.course.Store(next)
		m.mu.Lock()
		if !m.ended {
			m.watch(next.op.from)
		}
		m.mu.Unlock()
	default:
		m.end(&movedError{next})
	}
}
