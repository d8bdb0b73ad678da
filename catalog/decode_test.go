package catalog

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

const root = "redis-sentinel/redis/"

func pair(key, value, session string) *api.KVPair {
	return &api.KVPair{Key: root + key, Value: []byte(value), Session: session, ModifyIndex: 7}
}

// One broken entry names itself and takes nothing else with it.
func TestDecodeNamesWhatIsBroken(t *testing.T) {
	good := api.KVPairs{
		pair("record", string(record(3, "a").Encode()), ""),
		pair("leader", `{"agent":"x"}`, "session"),
		pair("settings", `{"quorum":2,"down_after":"5s"}`, ""),
		pair("order", `{"id":"1"}`, ""),
		pair("votes/x", `{"epoch":3}`, "session"),
		pair("nodes/a", `{"node":"a"}`, ""),
		pair("agents/x", `{"agent":"x"}`, ""),
		pair("history/3", `not even JSON`, ""),
		pair("nodes/", ``, ""),
		pair("of/another/version", `?`, ""),
	}
	s, broken := decode(root, good)
	if len(broken) != 0 || s.Record == nil || s.RecordIndex != 7 || s.Leader != "x" || s.Settings == nil || s.Order == nil ||
		len(s.Votes) != 1 || len(s.Nodes) != 1 || len(s.Agents) != 1 {
		t.Fatalf("state is %+v, broken %v", s, broken)
	}
	for _, key := range []string{"record", "leader", "settings", "order", "votes/x", "nodes/a", "agents/x"} {
		for _, value := range []string{"", "null", "[]", `"x"`, "{", "7"} {
			pairs := slices.Clone(good)
			i := slices.IndexFunc(pairs, func(p *api.KVPair) bool { return p.Key == root+key })
			pairs[i] = pair(key, value, pairs[i].Session)
			s, broken := decode(root, pairs)
			if len(broken) != 1 || broken[0].Key != root+key {
				t.Errorf("%s = %q: broken is %v, want one error that names it", key, value, broken)
			}
			there := len(s.Votes) + len(s.Nodes) + len(s.Agents)
			for _, ok := range []bool{s.Record != nil, s.Leader != "", s.Settings != nil, s.Order != nil} {
				if ok {
					there++
				}
			}
			if there != 6 {
				t.Errorf("%s = %q: %d other entries are read, want 6", key, value, there)
			}
			if err := fatal(root, broken); (err != nil) != (key == "record" || key == "settings") {
				t.Errorf("%s = %q: fatal is %v", key, value, err)
			}
		}
	}
}

// A lock that was released is not there. A vote that nobody stands for is, which an election compares, but says nothing.
func TestDecodeNeedsSessions(t *testing.T) {
	s, broken := decode(root, api.KVPairs{pair("leader", `{"agent":"x"}`, ""), pair("votes/x", `{"epoch":3}`, "")})
	if len(broken) != 0 || s.Leader != "" || s.Votes["x"] != (failover.Vote{Index: 7}) {
		t.Errorf("state is %+v, broken %v", s, broken)
	}
}

// Whatever stands in KV, reading it does not panic, and a record that is there is read or is an error.
func FuzzState(f *testing.F) {
	f.Add("record", record(3, "a").Encode(), "")
	f.Add("record", []byte(`{"epoch":1,"phase":"electing","master":"a"}`), "")
	f.Add("leader", []byte(`{"agent":"x"}`), "s")
	f.Add("votes/x", []byte(`{"epoch":3,"since":"2020-01-01T00:00:00Z"}`), "s")
	f.Add("settings", []byte(`{"down_after":"5s"}`), "")
	f.Add("nodes/a", []byte(`{"position":{"offset":1}}`), "")
	f.Fuzz(func(t *testing.T, key string, value []byte, session string) {
		p := &api.KVPair{Key: root + key, Value: value, Session: session, ModifyIndex: 1}
		s, broken := decode(root, api.KVPairs{p, pair("agents/x", `{"agent":"x"}`, "")})
		if key != "agents/x" && s.Agents["x"].Agent != "x" {
			t.Fatal("the other entry was not read")
		}
		for _, b := range broken {
			if b.Key != p.Key {
				t.Fatalf("error %v names another key", b)
			}
		}
		if key != "record" {
			return
		}
		err := fatal(root, broken)
		if (s.Record == nil) != (err != nil) || (err != nil && !errors.Is(err, failover.ErrRecord)) {
			t.Fatalf("record is %v and error %v", s.Record, err)
		}
		if s.Record != nil {
			if again, err := failover.ParseRecord(s.Record.Encode()); err != nil || again.Epoch != s.Record.Epoch {
				t.Fatalf("the record does not survive being written: %v", err)
			}
		}
	})
}

// BenchmarkDecode reads the state of a group of three in which nothing happens, as every answer to a watch brings it.
func BenchmarkDecode(b *testing.B) {
	r := record(3, "a")
	settings := failover.DefaultSettings()
	pairs := api.KVPairs{pair("record", string(r.Encode()), ""), pair("settings", encoded(b, settings), "")}
	for _, name := range []string{"a", "b", "c"} {
		r.Eligible[name] = failover.Member{RunID: "run-" + name}
		pairs = append(pairs,
			pair("nodes/"+name, encoded(b, failover.Report{Node: name, Agent: name, Address: name, RunID: "run-" + name, State: failover.StateFollowing,
				Master: "a", Position: failover.Position{ReplID: "r", Offset: 250}}), ""),
			pair("agents/"+name, encoded(b, failover.AgentInfo{Agent: name, Nodes: []string{name}}), ""))
	}
	for b.Loop() {
		if s, broken := decode(root, pairs); len(broken) > 0 || len(s.Nodes) != 3 {
			b.Fatalf("state is %+v, broken %v", s, broken)
		}
	}
}

func encoded(b *testing.B, v any) string {
	b.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}
