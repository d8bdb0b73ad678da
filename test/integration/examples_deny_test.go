package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// The passwords in the example's redis.conf.
const (
	exampleAgentPassword = "CHANGE-ME-agent"
	exampleAppPassword   = "CHANGE-ME-app"
)

// A whole installation from the examples, in which everything is forbidden that is not allowed: Consul with
// default_policy = deny, Redis with a user for each purpose, agents with the example's configuration and nothing but
// their own token. Failover, return and switchover work, and no right is found missing.
func TestExampleInstallationWhereAllElseIsForbidden(t *testing.T) {
	o := exampleACLOptions(t)
	o.RedisConf = exampleRedisConf(t)
	s := startOnly(t, o)
	exampleServerTokens(t, s)
	for i, a := range s.Agents() {
		name := exampleMachine(i)
		token := exampleToken(t, s, "redis-agent-"+name, example(t, "acl/agent.hcl", "machine-1", name))
		a.ConfigFile = exampleAgentConfig(t, exampleSecrets{token, exampleAgentPassword}, filepath.Dir(a.ConfigFile),
			"machine-1", name, "redis-1", s.Redis(i).Node, "10.0.0.1:6379", s.Redis(i).Addr(),
			"127.0.0.1:8500", a.Beside.HTTPAddr(), `"10.0.0.2:8500", "10.0.0.3:8500"`, "",
			`fence_after      = "3s"`, exampleFence, "agent {\n", fmt.Sprintf("agent {\n  data_dir = %q\n", a.DataDir))
		must(t, a.Start())
	}
	state := exampleConfirmed(t, s, 1)
	exampleReplicas(t, s, 2)
	state = counted(t, s)
	exampleAppWrites(t, s, state.Record.Master, "first")
	exampleViews(t, s)

	old, before := master(s, state), state.Record.RunID
	must(t, old.Kill())
	state = exampleConfirmed(t, s, state.Record.Epoch+1)
	if state.Record.Master == old.Node {
		t.Fatalf("%s was killed and is master again", old.Node)
	}
	exampleAppWrites(t, s, state.Record.Master, "second")
	must(t, old.Start())
	eventually(t, "the new run of "+old.Node+" is counted", func(ctx context.Context) error {
		now, err := s.State(ctx)
		if err != nil {
			return err
		}
		if run := now.Record.Eligible[old.Node].RunID; run == "" || run == before {
			return fmt.Errorf("%q is, and %q was before", run, before)
		}
		return nil
	})
	exampleReplicas(t, s, 2)
	state = counted(t, s)

	operator := exampleToken(t, s, "redis-operator", example(t, "acl/operator.hcl"))
	exampleOperator(t, s, operator)
	state = exampleConfirmed(t, s, state.Record.Epoch+1)
	exampleAppWrites(t, s, state.Record.Master, "third")

	for _, a := range s.Agents() {
		if line := exampleRefused.FindString(a.Log()); line != "" {
			t.Errorf("%s was refused by Consul: %s", a.Name, line)
		}
		for line := range strings.Lines(a.Log()) {
			if strings.Contains(line, "NOPERM") || strings.Contains(line, "NOAUTH") || strings.Contains(line, "CHANGE-ME") {
				t.Errorf("log of %s: %s", a.Name, line)
			}
		}
	}
	for _, r := range s.Redises() {
		if log := exampleACLLog(t, r); len(log) > 0 {
			t.Errorf("%s refused for want of rights: %v", r.Node, log)
		}
		exampleRedisForbidden(t, r)
	}
	exampleLookOnly(t, s, operator)
}

// exampleRedisConf is the example's redis.conf for the sandbox, which has addresses of its own.
func exampleRedisConf(t *testing.T) (conf []string) {
	for line := range strings.Lines(example(t, "redis.conf")) {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' && !strings.HasPrefix(line, "bind ") && !strings.HasPrefix(line, "replica-announce-ip ") && !strings.HasPrefix(line, "replicaof ") {
			conf = append(conf, line)
		}
	}
	return conf
}

// exampleAppWrites is an application: it has the name, and its own user.
func exampleAppWrites(t *testing.T, s *sandbox.Sandbox, node, key string) {
	t.Helper()
	found, err := s.Consul(2).SRV(t.Context(), s.MasterName())
	if err != nil || len(found) != 1 || found[0].Addr() != s.RedisOf(node).Addr() {
		t.Fatalf("DNS names %v (%v), the master is %s", found, err, node)
	}
	c := exampleRedis(t, found[0].Addr(), "app", exampleAppPassword)
	must(t, c.Set(t.Context(), key, "1", 0).Err())
	must(t, c.Publish(t.Context(), "news", key).Err())
	must(t, c.Eval(t.Context(), "return redis.call('INCR', KEYS[1])", []string{key}).Err())
}

// exampleViews waits until every agent sees the master with the right to PING alone: no check complains.
func exampleViews(t *testing.T, s *sandbox.Sandbox) {
	t.Helper()
	eventually(t, "all checks pass", func(ctx context.Context) error {
		k, err := s.Catalog(0)
		if err != nil {
			return err
		}
		all, err := k.Health(ctx, s.Group())
		if err == nil && len(all) != 6 { // 3 nodes, 2 replicas, the master
			err = fmt.Errorf("%d services", len(all))
		}
		for _, h := range all {
			for _, c := range h.Checks {
				if c.Status != api.HealthPassing {
					err = errors.Join(err, fmt.Errorf("%s of %s is %s: %s", c.Name, h.ID, c.Status, c.Output))
				}
			}
		}
		return err
	})
}

// exampleOperator uses the command line with the operator's token: status, a pause, a switchover.
func exampleOperator(t *testing.T, s *sandbox.Sandbox, token string) {
	t.Helper()
	run := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+s.Consul(1).HTTPAddr(), "CONSUL_HTTP_TOKEN="+token)
		out, err := cmd.CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("ACL")) || bytes.Contains(out, []byte("denied")) {
			t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	status := run("status", "redis")
	for _, r := range s.Redises() {
		if !strings.Contains(status, r.Node) {
			t.Errorf("status does not show %s:\n%s", r.Node, status)
		}
	}
	run("history", "redis")
	run("pause", "redis")
	run("resume", "redis")
	t.Log("switchover:\n" + run("switchover", "redis"))
}

// exampleACLLog is what a server has refused, without what the sandbox itself tried as default user.
func exampleACLLog(t *testing.T, r *sandbox.Redis) []string {
	t.Helper()
	c := exampleRedis(t, r.Addr(), "admin", "CHANGE-ME-admin")
	entries, err := c.ACLLog(t.Context(), 100).Result()
	must(t, err)
	var log []string
	for _, e := range entries {
		if e.Username != "default" || !slices.Contains([]string{"hello", "client|setinfo", "client|setname"}, e.Object) {
			log = append(log, fmt.Sprintf("%s: %s (%s)", e.Username, e.Object, e.Reason))
		}
	}
	return log
}

// exampleRedisForbidden looks that a user of redis.conf can do what is its business and no more.
func exampleRedisForbidden(t *testing.T, r *sandbox.Redis) {
	t.Helper()
	c := exampleRedis(t, r.Addr(), "admin", "CHANGE-ME-admin")
	for user, commands := range map[string][]string{
		"default":     {"GET x", "INFO", "REPLICAOF NO ONE", "CONFIG GET dir", "PSYNC ? -1", "SUBSCRIBE x"},
		"app":         {"REPLICAOF NO ONE", "SLAVEOF NO ONE", "CONFIG SET dir /tmp", "PSYNC ? -1", "SYNC", "REPLCONF ACK 1", "SHUTDOWN", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1000", "FAILOVER", "DEBUG SLEEP 1", "ACL LIST", "FLUSHALL"},
		"monitor":     {"GET x", "SET x y", "KEYS *", "CONFIG SET dir /tmp", "REPLICAOF NO ONE", "CLIENT KILL TYPE normal", "PSYNC ? -1"},
		"replication": {"GET x", "SET x y", "REPLICAOF NO ONE", "CONFIG GET dir", "INFO"},
		"agent":       {"GET x", "SET x y", "KEYS *", "CONFIG SET dir /tmp", "FLUSHALL", "SHUTDOWN", "DEBUG SLEEP 1", "ACL LIST", "EVAL x 0", "PSYNC ? -1", "MODULE LOAD x"},
	} {
		for _, command := range commands {
			args := []any{"ACL", "DRYRUN", user}
			for _, word := range strings.Fields(command) {
				args = append(args, word)
			}
			if got, err := c.Do(t.Context(), args...).Text(); err == nil && got == "OK" {
				t.Errorf("%s: user %s may %s", r.Node, user, command)
			} else if err != nil {
				t.Errorf("%s: ACL DRYRUN %s %s: %v", r.Node, user, command, err)
			}
		}
	}
}

// exampleLookOnly looks that operator and client tokens write nothing but what they are for, that every rule of
// the client's policy is needed, and that a prepared query works with it.
func exampleLookOnly(t *testing.T, s *sandbox.Sandbox, operator string) {
	t.Helper()
	policy := example(t, "acl/client.hcl")
	client := exampleToken(t, s, "client", policy)
	for name, token := range map[string]string{"operator": operator, "client": client} {
		c := exampleClient(t, s, 0, token)
		_, err := c.KV().Put(&api.KVPair{Key: "redis-sentinel/redis/record", Value: []byte("{}")}, nil)
		if err := exampleDenied(err); err != nil {
			t.Errorf("%s writes the record: %v", name, err)
		}
		_, err = c.Catalog().Register(&api.CatalogRegistration{Node: "redis-master", Address: "10.9.9.9"}, nil)
		if err := exampleDenied(err); err != nil {
			t.Errorf("%s moves the master: %v", name, err)
		}
		if err := exampleDenied(c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "redis"})); err != nil {
			t.Errorf("%s registers a node: %v", name, err)
		}
	}
	if _, _, err := exampleClient(t, s, 0, client).KV().Get("redis-sentinel/redis/record", nil); exampleDenied(err) != nil {
		t.Errorf("client reads the record: %v", err)
	}
	answers := func(token string) (n int) {
		for _, service := range []string{"redis", "redis-replica", "redis-master"} {
			found, _, err := exampleClient(t, s, 0, token).Health().Service(service, "", true, nil)
			must(t, err)
			n += len(found)
		}
		return n
	}
	eventually(t, "a client sees all services", func(context.Context) error {
		if n := answers(client); n != 6 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	for i, rule := range exampleRules(t, policy) {
		without := exampleToken(t, s, fmt.Sprintf("client-without-%d", i), strings.Replace(policy, rule, "", 1))
		if n := answers(without); n >= 6 {
			t.Errorf("the client's policy does as well without %s", rule)
		}
	}
}
