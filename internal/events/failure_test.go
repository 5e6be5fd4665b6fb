package events

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
)

func TestAProcessThatLostRedisMissesNothing(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	sender, reader := newProcess(t, e.Redis.Options(), e.Prefix), newProcess(t, e.Redis.Options(), e.Prefix)
	acme := e.Tenant(t)
	r := reader.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	for round := range 3 {
		from := round*200 + 1
		reader.way.cut()
		sender.append(t, acme, numbers(from, from+99)...)
		reader.way.mend(nil)
		sender.append(t, acme, numbers(from+100, from+199)...)
		r.want(numbers(from, from+199)...)
	}
	r.nothing()
}

func TestAProcessThatBeginsWithoutRedis(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme := idleProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t)
	p.way.cut()
	p.run(t)
	if err := p.Append(t.Context(), acme.ID(), Event{}); err == nil || errors.Is(err, errResting) {
		t.Errorf("without Redis: %v", err)
	}
	// The rest of a batch does not wait for Redis again.
	if err := p.Append(t.Context(), acme.ID(), Event{}); !errors.Is(err, errResting) {
		t.Errorf("a moment later: %v", err)
	}
	p.way.mend(nil)
	r := p.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	eventually(t, "events are appended again", func() bool {
		return p.Append(t.Context(), acme.ID(), Event{Topic: TopicActivity, Kind: "done", Target: "first"}) == nil
	})
	r.want("first")
}

// A lost entry of the feed, as after an absence that is longer than the feed, is
// noticed by the next one's number.
func TestALostEntryOfTheFeedIsNoticed(t *testing.T) {
	t.Parallel()
	own := ownRedis(t)
	e := dbtest.New(t)
	sender, reader := newProcess(t, own.Options(), e.Prefix), newProcess(t, own.Options(), e.Prefix)
	acme, globex := e.Tenant(t), e.Tenant(t)
	r := reader.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	sender.append(t, acme, "0")
	r.want("0")
	reader.way.cut()
	sender.append(t, acme, numbers(1, 5)...)
	if err := own.XTrimMaxLen(t.Context(), sender.keys.feed(), 0).Err(); err != nil {
		t.Fatal(err)
	}
	sender.append(t, globex, "of another tenant")
	reader.way.mend(nil)
	r.want(numbers(1, 5)...)
	r.nothing()
}

// Entries that no process of this version wrote harm nobody.
func TestUnreadableEntries(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t)
	r := p.subscribe(t, acme, nil)
	cursor := r.want(KindSubscribed)
	for _, values := range [][]any{
		{"x", "y"}, {"n", "z", "tenant", acme.String(), "id", "1-1"}, {"n", "9", "tenant", "acme", "id", "1-1"},
		{"n", "9", "tenant", acme.String(), "id", "first"}, {"n", "9", "tenant", acme.String(), "id", "1-1", "event", "{"},
	} {
		if err := e.Redis.XAdd(t.Context(), &redis.XAddArgs{Stream: p.keys.feed(), Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Redis.XAdd(t.Context(), &redis.XAddArgs{Stream: p.keys.stream(acme.ID()), Values: []any{"event", "["}}).Err(); err != nil {
		t.Fatal(err)
	}
	p.append(t, acme, "a", "b")
	r.want("a", "b")
	p.subscribe(t, acme, cursor).want(KindSubscribed, "a", "b")
}

func TestConnectionsThatAreKilled(t *testing.T) {
	t.Parallel()
	own := ownRedis(t)
	e := dbtest.New(t)
	sender, reader := newProcess(t, own.Options(), e.Prefix), newProcess(t, own.Options(), e.Prefix)
	acme := e.Tenant(t)
	r := reader.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	for round := range 5 {
		if err := own.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		event := Event{Topic: TopicActivity, Kind: "done", Target: strconv.Itoa(round)}
		if err := event.complete(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the event is appended", func() bool {
			sender.resting.Store(nil)
			return sender.Append(t.Context(), acme.ID(), event) == nil
		})
		r.want(strconv.Itoa(round))
	}
	r.nothing()
}

// Redis that has lost everything is not taken for one in which nothing happens.
func TestARedisThatLostEverything(t *testing.T) {
	t.Parallel()
	own := ownRedis(t)
	e := dbtest.New(t)
	p, acme := newProcess(t, own.Options(), e.Prefix), e.Tenant(t)
	r := p.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	p.append(t, acme, "before")
	cursor := r.want("before")
	if err := own.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.want(KindGap)
	p.append(t, acme, "after")
	end := r.want("after")
	p.subscribe(t, acme, cursor).want(KindGap)
	p.append(t, acme, "more")
	p.subscribe(t, acme, end).want(KindSubscribed, "more")
}

// The same where the process had read nothing before: the first event after the loss
// is not taken for the first one of all.
func TestARedisThatLostWhatWasNotRead(t *testing.T) {
	t.Parallel()
	own := ownRedis(t)
	e := dbtest.New(t)
	p, other, acme := newProcess(t, own.Options(), e.Prefix), newProcess(t, own.Options(), e.Prefix), e.Tenant(t)
	r := p.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	eventually(t, "the feed is followed", func() bool { return own.Exists(t.Context(), p.keys.feed()).Val() == 1 })
	p.way.cut()
	other.append(t, acme, "lost")
	if err := own.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	other.append(t, acme, "after")
	p.way.mend(nil)
	r.want(KindGap)
	other.append(t, acme, "more")
	r.want("more")
}

// The same where the new one's clock is far behind the old one's: positions begin
// lower.
func TestARedisWhoseClockIsBehind(t *testing.T) {
	t.Parallel()
	own := ownRedis(t)
	e := dbtest.New(t)
	p, acme := idleProcess(t, own.Options(), e.Prefix), e.Tenant(t)
	const future = "9999999999999-1"
	if err := own.Incr(t.Context(), p.keys.count()).Err(); err != nil {
		t.Fatal(err)
	}
	for stream, values := range map[string][]any{
		p.keys.stream(acme.ID()): {"event", ""},
		p.keys.feed():            {"n", 1, "tenant", acme.String(), "id", future, "event", ""},
	} {
		if err := own.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, ID: future, Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	p.run(t)
	r := p.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	p.append(t, acme, "before")
	r.want("before")
	if err := own.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.want(KindGap)
	p.append(t, acme, "after")
	r.want("after")
}

// A replica takes over that had not got the latest yet.
func TestFailoverToACopyThatIsBehind(t *testing.T) {
	t.Parallel()
	primary, replica := ownRedis(t), ownRedis(t)
	e := dbtest.New(t)
	one, two := newProcess(t, primary.Options(), e.Prefix), newProcess(t, primary.Options(), e.Prefix)
	acme := e.Tenant(t)
	r := two.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	one.append(t, acme, "a", "b")
	kept := r.want("a", "b")
	keys, err := primary.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 4 {
		t.Fatalf("keys %v, %v", keys, err)
	}
	for _, key := range keys {
		dump, err := primary.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if err := replica.Restore(t.Context(), key, 0, dump).Err(); err != nil {
			t.Fatal(err)
		}
	}
	one.append(t, acme, "lost")
	lost := r.want("lost")
	for _, p := range []*process{one, two} {
		p.way.cut()
		p.way.mend(replica.Options())
	}
	r.want(KindGap)
	one.append(t, acme, "c")
	r.want("c")
	two.subscribe(t, acme, lost).want(KindGap)
	two.subscribe(t, acme, kept).want(KindSubscribed, "c")
}

// A Redis that hangs holds nobody up for long.
func TestARedisThatHangs(t *testing.T) {
	t.Parallel()
	own := ownRedis(t)
	e := dbtest.New(t)
	p, acme := newProcess(t, own.Options(), e.Prefix), e.Tenant(t)
	r := p.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	pid := serverPID(t, own)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	if err := p.Append(t.Context(), acme.ID(), Event{}); err == nil {
		t.Error("appended to a Redis that hangs")
	}
	if _, err := p.Subscribe(as(t.Context(), acme), TopicActivity, nil, everything); !fault.Is(err, fault.CodeUnavailable) {
		t.Errorf("subscribed: %v", err)
	}
	ctx, cancel := context.WithCancel(as(t.Context(), acme))
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v", err)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "events are appended again", func() bool {
		return p.Append(t.Context(), acme.ID(), Event{Topic: TopicActivity, Kind: "done", Target: "after"}) == nil
	})
	for {
		// What Redis took before it hung may have been done: an event without a kind.
		if d := r.next(); d.Target == "after" {
			return
		}
	}
}

func serverPID(t *testing.T, client *redis.Client) int {
	t.Helper()
	info, err := client.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(line, "process_id:"); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("Redis does not say its process id")
	return 0
}
