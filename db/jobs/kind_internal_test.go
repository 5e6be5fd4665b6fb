package jobs

import (
	"testing"
	"time"
)

func TestDelaysDoubleAndVary(t *testing.T) {
	t.Parallel()
	k := &Kind{FirstDelay: 2 * time.Second, MaxDelay: time.Minute}
	for attempt, middle := range map[int]time.Duration{
		0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 6: time.Minute, 40: time.Minute, 1000: time.Minute,
	} {
		least, most := time.Hour, time.Duration(0)
		for range 200 {
			d := k.delay(attempt)
			least, most = min(least, d), max(most, d)
		}
		if least < middle*8/10 || most > middle*12/10+1 || most-least < middle/10 {
			t.Errorf("after attempt %d: %s to %s, want a fifth around %s", attempt, least, most, middle)
		}
	}
}
