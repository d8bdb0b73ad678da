package catalog

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// holder is the value of the lock.
type holder struct {
	Agent string `json:"agent"`
}

// decode reads the KV entries below root as the state of a group. What can be read is in the state; each entry
// that cannot be has an error.
func decode(root string, pairs api.KVPairs) (failover.State, []*KeyError) {
	s := failover.State{
		Votes:  map[string]failover.Vote{},
		Nodes:  map[string]failover.Report{},
		Agents: map[string]failover.AgentInfo{},
	}
	var broken []*KeyError
	for _, p := range pairs {
		if p == nil {
			continue
		}
		key, ok := strings.CutPrefix(p.Key, root)
		if !ok {
			continue
		}
		if err := decodeKey(&s, key, p); err != nil {
			broken = append(broken, &KeyError{p.Key, err})
		}
	}
	return s, broken
}

func decodeKey(s *failover.State, key string, p *api.KVPair) (err error) {
	switch key {
	case keyRecord:
		s.RecordIndex = p.ModifyIndex
		s.Record, err = failover.ParseRecord(p.Value)
		return err
	case keySettings:
		s.SettingsIndex = p.ModifyIndex
		s.Settings, err = value[*failover.Settings](p)
		return err
	case keyOrder:
		s.OrderIndex = p.ModifyIndex
		s.Order, err = value[*failover.Order](p)
		return err
	case keyLeader:
		if p.Session == "" {
			return nil // released
		}
		s.LeaderSession = p.Session
		h, err := value[holder](p)
		if err == nil && h.Agent == "" {
			err = errors.New("names no agent")
		}
		s.Leader = h.Agent
		return err
	}
	dir, name, _ := strings.Cut(key, "/")
	switch dir + "/" {
	case dirVotes:
		if p.Session == "" {
			// Nobody stands for it, so it is no verdict; but it is there, which an election compares.
			s.Votes[name] = failover.Vote{Index: p.ModifyIndex}
			return nil
		}
		err := entry(s.Votes, name, p)
		if v, ok := s.Votes[name]; ok {
			v.Index = p.ModifyIndex
			s.Votes[name] = v
		}
		return err
	case dirNodes:
		return entry(s.Nodes, name, p)
	case dirAgents:
		return entry(s.Agents, name, p)
	}
	return nil // what a newer version keeps
}

func entry[V any](m map[string]V, name string, p *api.KVPair) error {
	if name == "" {
		return nil // a folder, as Consul's UI makes them
	}
	v, err := value[V](p)
	if err == nil {
		m[name] = v
	}
	return err
}

// value reads JSON. A pointer is nil on error, never half filled; JSON's null is an error.
func value[V any](p *api.KVPair) (V, error) {
	var v, none V
	if string(p.Value) == "null" {
		return none, errors.New("is null")
	}
	if err := json.Unmarshal(p.Value, &v); err != nil {
		return none, err
	}
	return v, nil
}

// fatal is the error of those broken entries without which a state must not be acted on. The others only miss a
// vote or a report, which makes nobody bolder.
func fatal(root string, broken []*KeyError) error {
	var errs []error
	for _, b := range broken {
		if b.Key == root+keyRecord || b.Key == root+keySettings {
			errs = append(errs, b)
		}
	}
	return errors.Join(errs...)
}
