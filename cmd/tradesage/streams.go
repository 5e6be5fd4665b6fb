package main

import (
	"fmt"
	"time"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/footprint"
)

// streamsConfig bounds subscriptions.
type streamsConfig struct {
	Connections int           `name:"stream-connections" env:"TRADESAGE_STREAM_CONNECTIONS" default:"15000" help:"Most WebSockets and event streams of this process, 1 to 1000000. More are answered with 503."`
	Operations  int           `name:"stream-operations" env:"TRADESAGE_STREAM_OPERATIONS" default:"50" help:"Most operations that run at once on one WebSocket, 1 to 1000."`
	Queue       int           `name:"stream-queue" env:"TRADESAGE_STREAM_QUEUE" default:"64" help:"Most events that wait in memory for one client that shares their source with others, 1 to 1000."`
	SlowWithin  time.Duration `name:"stream-slow-within" env:"TRADESAGE_STREAM_SLOW_WITHIN" default:"1s" help:"How long a client whose queue is full may take for one event, and so hold up those who share its source, 10ms to 1m. Then its subscription ends, and it can go on after its last cursor."`
	Resume      time.Duration `name:"stream-resume-within" env:"TRADESAGE_STREAM_RESUME_WITHIN" default:"30s" help:"How long subscriptions outlive the service of another process that they come from, and go on when it is back, 0s to 10m; 0s ends them at once."`
	Share       bool          `name:"stream-sharing" env:"TRADESAGE_STREAM_SHARING" negatable:"" default:"true" help:"Equal subscriptions of one session share one source of events."`
}

func (c *streamsConfig) validate() error {
	for _, bound := range []struct {
		name  string
		value int
		most  int
	}{
		{"TRADESAGE_STREAM_CONNECTIONS", c.Connections, 1_000_000},
		{"TRADESAGE_STREAM_OPERATIONS", c.Operations, 1000},
		{"TRADESAGE_STREAM_QUEUE", c.Queue, 1000},
	} {
		if bound.value < 1 || bound.value > bound.most {
			return fmt.Errorf("%s: %d is not between 1 and %d", bound.name, bound.value, bound.most)
		}
	}
	if c.Resume < 0 || c.Resume > 10*time.Minute {
		return fmt.Errorf("TRADESAGE_STREAM_RESUME_WITHIN: %s is not between 0s and 10m", c.Resume)
	}
	if c.SlowWithin < 10*time.Millisecond || c.SlowWithin > time.Minute {
		return fmt.Errorf("TRADESAGE_STREAM_SLOW_WITHIN: %s is not between 10ms and 1m", c.SlowWithin)
	}
	return nil
}

// streams are the bounds of the router's streams.
func (c *config) streams() router.Streams {
	s := router.Streams{
		Origins: c.Origins, MaxConnections: c.Streams.Connections, MaxOperations: c.Streams.Operations,
		Queue: c.Streams.Queue, SlowWithin: c.Streams.SlowWithin, ResumeWithin: c.Streams.Resume,
		NoSharing: !c.Streams.Share, Cursor: "cursor",
		// The first event of each only says that it has begun.
		Feeds: map[string]string{"activityEvents": "after", "sessionEvents": "after", "tenantEvents": "after"},
	}
	if s.ResumeWithin == 0 {
		s.ResumeWithin = -1
	}
	return s
}

// memoryConfig bounds the memory of the process.
type memoryConfig struct {
	Garbage int64 `name:"memory-garbage" env:"TRADESAGE_MEMORY_GARBAGE" default:"96" help:"About how much memory may lie about unused between two collections, in MiB, 16 to 65536: more saves CPU time. Where more than that is in use, less may, but always a quarter of it. GOGC overrides it."`
	Limit   int64 `name:"memory-limit" env:"TRADESAGE_MEMORY_LIMIT" default:"0" help:"Soft limit of the process's memory in MiB, at least 64: near it, garbage is collected as often as need be. 0 takes nine tenths of the container's memory, or no limit outside of one. GOMEMLIMIT overrides it."`
}

func (c *memoryConfig) validate() error {
	if c.Garbage < 16 || c.Garbage > 65536 {
		return fmt.Errorf("TRADESAGE_MEMORY_GARBAGE: %d is not between 16 and 65536", c.Garbage)
	}
	if c.Limit != 0 && (c.Limit < 64 || c.Limit > 1<<24) {
		return fmt.Errorf("TRADESAGE_MEMORY_LIMIT: %d is neither 0 nor between 64 and %d", c.Limit, 1<<24)
	}
	return nil
}

func (c *memoryConfig) options() footprint.Options {
	return footprint.Options{Garbage: c.Garbage << 20, Limit: c.Limit << 20}
}
