package db

import (
	"context"
	"errors"
	"testing"
	"time"
)

// busy has so many connections, and none to give.
func busy(conns int) *pipeline {
	return &pipeline{conns: conns, carriers: conns}
}

func TestWhoLeavesTheQueueIsForgotten(t *testing.T) {
	t.Parallel()
	p := busy(2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if got := p.await(ctx, &read{}); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of its context", got.err)
	}
	if len(p.waiting) != 0 {
		t.Errorf("%d reads wait of callers that have left", len(p.waiting))
	}
}

func TestConnectionsShareWhatWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ conns, waiting, want int }{
		{4, 0, 0}, {4, 1, 1}, {4, 4, 1}, {4, 5, 2}, {4, 40, 10}, {4, 400, maxTogether}, {1, 5, 5},
	} {
		p := busy(c.conns)
		for range c.waiting {
			p.waiting = append(p.waiting, &read{})
		}
		first := append([]*read(nil), p.waiting[:c.want]...)
		j := &journey{}
		got := p.take(j)
		if len(got) != c.want || len(p.waiting) != c.waiting-c.want || int(j.awaited.Load()) != c.want {
			t.Errorf("of %d that wait for %d connections %d went, %d awaited, and %d stayed; want %d to go", c.waiting, c.conns, len(got), j.awaited.Load(), len(p.waiting), c.want)
			continue
		}
		for i := range first {
			if got[i] != first[i] || got[i].journey != j {
				t.Errorf("of %d that wait, number %d is not the one that waited longest", c.waiting, i)
			}
		}
	}
}

// A journey ends when the last caller that waits for it leaves, and not before.
func TestAJourneyEndsWithItsLastCaller(t *testing.T) {
	t.Parallel()
	p := busy(1)
	p.waiting = []*read{{done: make(chan struct{})}, {done: make(chan struct{})}, {done: make(chan struct{})}}
	cut := 0
	j := &journey{cancel: func() { cut++ }}
	reads := p.take(j)
	p.leave(reads[0])
	reads[1].end(nil)
	if cut != 0 {
		t.Error("a journey was cut short while somebody waited")
	}
	p.leave(reads[2])
	p.leave(reads[2])
	if cut != 1 {
		t.Errorf("a journey nobody waits for was cut short %d times", cut)
	}
	p.putBack(reads[:1])
	if len(p.waiting) != 0 {
		t.Error("a read was sent again whose caller has left")
	}
}
