package session

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/page"
)

// DeviceConnection is a page of devices; its name and DeviceEdge's are the API's,
// which binds types by name.
type DeviceConnection = page.Connection[*Device]

// DeviceEdge is one device of a page.
type DeviceEdge = page.Edge[*Device]

// Devices returns a page of the caller's devices in this tenant, the last one
// added first. It fails with UNAUTHENTICATED without a caller, INVALID_INPUT of
// first or after, and UNAVAILABLE without PostgreSQL.
func (s *Sessions) Devices(ctx context.Context, args page.Args) (*DeviceConnection, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	pages, err := s.DevicesOf(ctx, []uuid.UUID{caller.Subject}, args)
	if err != nil {
		return nil, err
	}
	return pages[0], nil
}

// DevicesOf returns such a page for each of these users, at most 1,000, in their
// order, in one query; nil stands for a user whose devices the caller may not
// see, which are all but the caller's own without sessions:read. It fails like
// Devices.
func (s *Sessions) DevicesOf(ctx context.Context, users []uuid.UUID, args page.Args) ([]*DeviceConnection, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	limit, after, err := args.ByID()
	if err != nil {
		return nil, err
	}
	visible, err := s.Visible(ctx, users)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.Tenant(caller.Tenant).ListDevicesOfUsers(ctx, tenantdb.ListDevicesOfUsersParams{
		UserIds: shown(users, visible), After: after, PageSize: int32(limit) + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	byUser := map[uuid.UUID][]*Device{}
	for _, row := range rows {
		byUser[row.UserID] = append(byUser[row.UserID], deviceFromRow(tenantdb.GetDevicesByIDRow(row)))
	}
	pages := make([]*DeviceConnection, len(users))
	for i, id := range users {
		if visible[i] {
			pages[i] = page.New(byUser[id], limit, args, func(d *Device) string { return page.IDCursor(d.ID) })
		}
	}
	return pages, nil
}

// DevicesByID returns the devices of these ids, at most 1,000, in their order;
// nil stands for a device that does not exist, belongs to another tenant or,
// without sessions:read, to another user. It fails like List.
func (s *Sessions) DevicesByID(ctx context.Context, ids []uuid.UUID) ([]*Device, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(ids); err != nil || len(ids) == 0 {
		return nil, err
	}
	only, err := s.only(ctx, caller)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.Tenant(caller.Tenant).GetDevicesByID(ctx, ids, only)
	if err != nil {
		return nil, fmt.Errorf("devices of %s: %w", caller.Subject, err)
	}
	byID := make(map[uuid.UUID]*Device, len(rows))
	for _, row := range rows {
		byID[row.ID] = deviceFromRow(row)
	}
	return inOrder(ids, byID), nil
}

// DeviceByID returns one such device. It fails with NOT_FOUND for
// any other, and like List.
func (s *Sessions) DeviceByID(ctx context.Context, id uuid.UUID) (*Device, error) {
	found, err := s.DevicesByID(ctx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, fault.NotFound("no such device")
	}
	return found[0], nil
}

func deviceFromRow(row tenantdb.GetDevicesByIDRow) *Device {
	return &Device{
		ID: row.ID, UserID: row.UserID, Name: row.Name, Kind: row.Kind,
		FirstSeenAt: row.FirstSeenAt.UTC(), LastSeenAt: row.LastSeenAt.UTC(),
	}
}
