// Package footprint says how often a process collects garbage: seldom while little
// is in use, since most of what a request makes is short-lived, and more often the
// more is in use, so that what lies about unused stays bounded.
//
// It leaves alone what GOGC and GOMEMLIMIT say.
package footprint

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	// laziest is the collector's percentage while little is in use: against Go's 100,
	// requests took a fifth to a third less CPU time.
	laziest = 400
	// keenest bounds the collector's work where much is in use.
	keenest = 25
	// ofContainer is the part of a container's memory that the soft limit leaves to Go.
	ofContainer = 0.9
)

// Options bound the memory of a process, in bytes.
type Options struct {
	// Garbage is about how much may lie about unused, as long as less is in use. Where
	// more is, less may, but always a quarter of that.
	Garbage int64
	// Limit is the soft limit of all memory of Go's: near it, garbage is collected as
	// often as need be. Zero takes nine tenths of the container's, if it has one.
	Limit int64
}

// Pacer adapts the collector after each collection.
type Pacer struct {
	garbage int64
	percent atomic.Int64
	stopped atomic.Bool
}

// Keep begins to pace the collector of this process.
func Keep(o Options) *Pacer {
	p := &Pacer{garbage: o.Garbage}
	if os.Getenv("GOMEMLIMIT") == "" {
		if o.Limit == 0 {
			o.Limit = container("/sys/fs/cgroup")
		}
		if o.Limit > 0 {
			debug.SetMemoryLimit(o.Limit)
		}
	}
	if os.Getenv("GOGC") == "" {
		p.set(laziest)
		p.await()
	}
	return p
}

// Stop leaves the collector as it is.
func (p *Pacer) Stop() { p.stopped.Store(true) }

// await adapts the collector after the next collection, which is when what nobody
// uses is found.
func (p *Pacer) await() {
	unused := new([64]byte)
	runtime.SetFinalizer(unused, func(*[64]byte) {
		if p.stopped.Load() {
			return
		}
		p.adapt(inUse())
		p.await()
	})
}

// adapt sets the percentage for what is in use, if it differs enough: setting it
// stops the program for a moment.
func (p *Pacer) adapt(used uint64) {
	wanted := Percent(p.garbage, used)
	if was := p.percent.Load(); math.Abs(float64(wanted-was)) > float64(was)/10 {
		p.set(wanted)
	}
}

func (p *Pacer) set(percent int64) {
	p.percent.Store(percent)
	debug.SetGCPercent(int(percent))
}

// Percent is the collector's percentage where used bytes are in use.
func Percent(garbage int64, used uint64) int64 {
	inUse := float64(max(used, 1))
	part := float64(garbage) / inUse
	if part < 1 {
		part *= part
	}
	return int64(min(max(100*part, keenest), laziest))
}

// inUse is what the collector's percentage refers to, in bytes.
func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	var all uint64
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			all += s.Value.Uint64()
		}
	}
	return all
}

// container is what the memory of this process's container leaves to Go, 0 if it is
// not bounded; root is where control groups are.
func container(root string) int64 {
	for _, file := range []string{root + "/memory.max", root + "/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && limit > 0 && limit < 1<<50 { // version 1 says "unbounded" by a huge number
			return int64(float64(limit) * ofContainer)
		}
	}
	return 0
}
