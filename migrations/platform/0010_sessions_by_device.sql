-- The sessions on a device, and the index of a list by device.
CREATE INDEX sessions_device_idx ON sessions (tenant_id, device_id, id DESC);
