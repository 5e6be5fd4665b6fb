package subgraph

import "github.com/google/uuid"

// byID is what gqlgen makes of the key of an entity that is known by its id.
type byID interface {
	~struct {
		ID uuid.UUID `json:"ID"`
	}
}

// IDs returns the ids of the keys that entities are asked for by.
func IDs[K byID](keys []*K) []uuid.UUID {
	ids := make([]uuid.UUID, len(keys))
	for i, key := range keys {
		ids[i] = struct{ ID uuid.UUID }(*key).ID
	}
	return ids
}
