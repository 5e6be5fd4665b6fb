package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/session"
)

// counted returns a context whose devices come from memory, and how often and
// for how many ids they were asked for.
func counted(t *testing.T, failure error) (ctx context.Context, loads, ids *atomic.Int64) {
	t.Helper()
	loads, ids = &atomic.Int64{}, &atomic.Int64{}
	load := func(_ context.Context, asked []uuid.UUID) ([]*session.Device, error) {
		loads.Add(1)
		ids.Add(int64(len(asked)))
		if failure != nil {
			return nil, failure
		}
		found := make([]*session.Device, len(asked))
		for i, id := range asked {
			if id != uuid.Max {
				found[i] = &session.Device{ID: id, Name: id.String()}
			}
		}
		return found, nil
	}
	return context.WithValue(t.Context(), batchesKey{}, newBatches(devicesOnly{load: load})), loads, ids
}

// devicesOnly answers for devices alone.
type devicesOnly struct {
	loader
	load func(context.Context, []uuid.UUID) ([]*session.Device, error)
}

func (d devicesOnly) DevicesByID(ctx context.Context, ids []uuid.UUID) ([]*session.Device, error) {
	return d.load(ctx, ids)
}

func sessionsOn(devices ...uuid.UUID) []*session.Session {
	sessions := make([]*session.Session, len(devices))
	for i, id := range devices {
		sessions[i] = &session.Session{ID: uuid.New(), DeviceID: id}
	}
	return sessions
}

func TestDevicesOfAPageAreOneQuery(t *testing.T) {
	t.Parallel()
	ctx, loads, ids := counted(t, nil)
	shared := uuid.New()
	var devices []uuid.UUID
	for range 50 {
		devices = append(devices, uuid.New(), shared)
	}
	page := sessionsOn(devices...)
	expectSessions(ctx, page...)
	if loads.Load() != 0 {
		t.Fatal("loaded before anybody asked")
	}
	var all sync.WaitGroup
	for _, s := range page {
		all.Go(func() {
			if got, err := deviceOf(ctx, s); err != nil || got.Name != s.DeviceID.String() {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	all.Wait()
	if loads.Load() != 1 || ids.Load() != 51 {
		t.Errorf("%d queries for %d devices, want 1 for 51", loads.Load(), ids.Load())
	}
}

func TestDevicesAreLoadedInBoundedBatches(t *testing.T) {
	t.Parallel()
	ctx, loads, _ := counted(t, nil)
	var devices []uuid.UUID
	for range 2*session.MaxBatch + 1 {
		devices = append(devices, uuid.New())
	}
	page := sessionsOn(devices...)
	expectSessions(ctx, page...)
	for _, s := range page {
		if _, err := deviceOf(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if loads.Load() != 3 {
		t.Errorf("%d queries, want 3", loads.Load())
	}
}

func TestDeviceOfASessionThatNobodyExpected(t *testing.T) {
	t.Parallel()
	ctx, _, _ := counted(t, nil)
	expectSessions(ctx, nil)
	if got, err := deviceOf(ctx, sessionsOn(uuid.New())[0]); err != nil || got == nil {
		t.Errorf("got %v, %v", got, err)
	}
	// The device is gone: the session is still shown.
	if got, err := deviceOf(ctx, sessionsOn(uuid.Max)[0]); err != nil || got.Name != "Unknown device" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDevicesThatCannotBeLoadedFailOnce(t *testing.T) {
	t.Parallel()
	failure := errors.New("down")
	ctx, loads, _ := counted(t, failure)
	page := sessionsOn(uuid.New(), uuid.New(), uuid.New())
	expectSessions(ctx, page...)
	for _, s := range page {
		if _, err := deviceOf(ctx, s); !errors.Is(err, failure) {
			t.Errorf("got %v, want %v", err, failure)
		}
	}
	if loads.Load() != 1 {
		t.Errorf("%d queries, want 1", loads.Load())
	}
}
