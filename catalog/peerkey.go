package catalog

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// peerKeySize is the length of the agents' shared secret, in bytes.
const peerKeySize = 32

// PeerKey returns the secret by which the agents of an installation know each other, and makes it if there is none. Who
// may read the agents' prefix in KV may read it, as they may write the record itself.
func (c *Catalog) PeerKey(ctx context.Context) ([]byte, error) {
	key := c.prefix + "peer-key"
	var found *api.KVPair
	get := func() error {
		return c.read(ctx, "read the agents' key", func(ctx context.Context, client *api.Client) (err error) {
			found, _, err = client.KV().Get(key, queryOptions(ctx, true))
			return err
		})
	}
	if err := get(); err != nil {
		return nil, err
	}
	if found == nil {
		secret := make([]byte, peerKeySize)
		_, _ = rand.Read(secret) // never fails
		err := c.write(ctx, "make the agents' key", func(ctx context.Context, client *api.Client) error {
			p := &api.KVPair{Key: key, Value: []byte(base64.StdEncoding.EncodeToString(secret))}
			ok, _, err := client.KV().CAS(p, writeOptions(ctx))
			return won(ok, err)
		})
		if err != nil && !errors.Is(err, ErrConflict) {
			return nil, err
		}
		if err := get(); err != nil {
			return nil, err
		}
	}
	if found == nil {
		return nil, fmt.Errorf("read the agents' key: %w", ErrFiltered)
	}
	secret, err := base64.StdEncoding.DecodeString(string(found.Value))
	if err != nil || len(secret) < peerKeySize {
		return nil, &KeyError{key, errors.New("is no key; delete it, and the next agent that starts makes a new one")}
	}
	return secret, nil
}
