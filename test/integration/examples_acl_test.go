package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// exampleManagement is the token that may do all, in sandboxes with ACLs.
const exampleManagement = "00000000-0000-4000-8000-0000000000aa"

// exampleACLOptions are exampleOptions with the example's ACL configuration: what is not allowed is forbidden.
// The agents are started by the test, once they have tokens.
func exampleACLOptions(t *testing.T) sandbox.Options {
	o := exampleOptions(t)
	o.ConsulHCL += example(t, "acl/consul.hcl", "acl {", fmt.Sprintf("acl {\n  tokens {\n    initial_management = %q\n  }\n", exampleManagement))
	o.ConsulToken = exampleManagement
	o.ManualAgents = true
	return o
}

// exampleToken makes a token for one policy.
func exampleToken(t *testing.T, s *sandbox.Sandbox, name, rules string) string {
	t.Helper()
	acl := s.Consul(0).Client.ACL()
	policy, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
	must(t, err)
	token, _, err := acl.TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: policy.ID}}}, nil)
	must(t, err)
	for _, c := range s.Consuls() {
		eventually(t, c.Name+" has heard of the token", func(ctx context.Context) error {
			_, _, err := c.Client.ACL().TokenReadSelf((&api.QueryOptions{Token: token.SecretID, AllowStale: true}).WithContext(ctx))
			return err
		})
	}
	return token.SecretID
}

// exampleServerTokens gives the Consul servers their own tokens, as the README says.
func exampleServerTokens(t *testing.T, s *sandbox.Sandbox) {
	t.Helper()
	client := exampleToken(t, s, "redis-client", example(t, "acl/client.hcl"))
	for i, c := range s.Consuls() {
		own, _, err := s.Consul(0).Client.ACL().TokenCreate(&api.ACLToken{
			NodeIdentities: []*api.ACLNodeIdentity{{NodeName: exampleMachine(i), Datacenter: "dc1"}}}, nil)
		must(t, err)
		// Another server may not have heard of a token yet when it is told to use it.
		eventually(t, c.Name+" has its tokens", func(ctx context.Context) error {
			w := (&api.WriteOptions{}).WithContext(ctx)
			_, err := c.Client.Agent().UpdateAgentACLToken(own.SecretID, w)
			_, err2 := c.Client.Agent().UpdateDNSToken(client, w)
			return errors.Join(err, err2)
		})
	}
}

// exampleMachine is the name of a Consul node of the sandbox.
func exampleMachine(i int) string { return fmt.Sprintf("machine-%d", i+1) }

// exampleRules are the rules of a policy.
func exampleRules(t *testing.T, policy string) []string {
	t.Helper()
	rules := regexp.MustCompile(`(?m)^[a-z_]+ "[^"]*" \{\n  policy = "[a-z]+"\n\}\n`).FindAllString(policy, -1)
	if len(rules) != strings.Count(policy, "policy =") {
		t.Fatalf("a policy is not written as the test expects:\n%s", policy)
	}
	return rules
}

// exampleClient speaks to a Consul server with a token.
func exampleClient(t *testing.T, s *sandbox.Sandbox, i int, token string) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: s.Consul(i).HTTPAddr(), Token: token})
	must(t, err)
	return c
}

// An agent that lacks any one rule of the example's policy cannot do its work and says so; with all of them it does,
// and nothing beyond it.
func TestExampleAgentPolicyIsTheLeast(t *testing.T) {
	o := exampleACLOptions(t)
	o.Consuls, o.Nodes = 1, 2
	o.ConsulBlockHCL = `token_file = "../consul.token"`
	s := startOnly(t, o)
	exampleServerTokens(t, s)
	policy := example(t, "acl/agent.hcl")
	// Without the first of these rules no call fails, but answers are incomplete; the second is for a change of master.
	const seeNodes, keepHistory = `node_prefix ""`, `key_prefix "redis-sentinel-history/"`
	special := map[string]string{seeNodes: "", keepHistory: ""}

	for i, rule := range exampleRules(t, policy) {
		name, _, _ := strings.Cut(rule, " {")
		without := exampleToken(t, s, fmt.Sprintf("without-%d", i), strings.Replace(policy, rule, "", 1))
		if _, ok := special[name]; ok {
			special[name] = without
			continue
		}
		exampleAnew(t, s, without)
		var line string
		eventually(t, "an agent without the rule "+name+" is refused", func(context.Context) error {
			if line = exampleRefusal(s); line == "" {
				return errors.New("it complains about nothing")
			}
			return nil
		})
		t.Logf("without %s: %s", name, line)
	}

	token := exampleToken(t, s, "whole", policy)
	exampleAnew(t, s, token)
	steady(t, s, 1)
	exampleReplicas(t, s, 1)
	eventually(t, "the master has its tag", func(ctx context.Context) error {
		found, err := s.Consul(0).SRV(ctx, "master.redis.service.consul")
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("%d answers", len(found))
		}
		return err
	})
	if line := exampleRefusal(s); line != "" {
		t.Errorf("with all rules: %s", line)
	}
	k, err := catalog.New(catalog.Config{Address: s.Consul(0).HTTPAddr(), Token: special[seeNodes]})
	must(t, err)
	if _, _, err := k.ClaimTag(t.Context(), catalog.TagClaim{Service: "redis", Tag: "master"}); !errors.Is(err, catalog.ErrFiltered) {
		t.Errorf("without %s: looking for the holder of the tag master: %v", seeNodes, err)
	}
	for token, allowed := range map[string]bool{special[keepHistory]: false, token: true} {
		k, err := catalog.New(catalog.Config{Address: s.Consul(0).HTTPAddr(), Token: token})
		must(t, err)
		if err := k.PutHistory(t.Context(), "redis", failover.History{Epoch: 1}); (err == nil) != allowed {
			t.Errorf("with %s (%v): writing history: %v", keepHistory, allowed, err)
		}
	}
	exampleForbidden(t, s, token)
}

var exampleRefused = regexp.MustCompile(`(?m)^.*(Permission denied|ACL).*$`)

// exampleRefusal is the first line in the log of an agent that tells of a right that is missing.
func exampleRefusal(s *sandbox.Sandbox) string {
	for _, a := range s.Agents() {
		if line := exampleRefused.FindString(a.Log()); line != "" {
			return line
		}
	}
	return ""
}

// exampleAnew brings the sandbox back to the very start and lets the agents begin anew, with a token.
func exampleAnew(t *testing.T, s *sandbox.Sandbox, token string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(s.Dir, "consul.token"), []byte(token), 0o600))
	for i, a := range s.Agents() {
		must(t, a.Kill())
		must(t, os.RemoveAll(a.DataDir))
		must(t, os.MkdirAll(a.DataDir, 0o755))
		if err := os.Remove(a.LogFile); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		must(t, s.Redis(i).Restart())
		eventually(t, "Redis is back", s.Redis(i).Ping)
	}
	c := s.Consul(0).Client
	services, err := c.Agent().Services()
	must(t, err)
	for id := range services {
		must(t, c.Agent().ServiceDeregister(id))
	}
	sessions, _, err := c.Session().List(nil)
	must(t, err)
	for _, session := range sessions {
		_, err := c.Session().Destroy(session.ID, nil)
		must(t, err)
	}
	_, err = c.KV().DeleteTree("redis-sentinel/", nil)
	must(t, err)
	_, err = c.Catalog().Deregister(&api.CatalogDeregistration{Node: "redis-master"}, nil)
	must(t, err)
	for _, a := range s.Agents() {
		must(t, a.Start())
	}
}

// exampleForbidden looks that an agent's token reaches nothing that is not the agent's business.
func exampleForbidden(t *testing.T, s *sandbox.Sandbox, token string) {
	t.Helper()
	c := exampleClient(t, s, 0, token)
	for what, try := range map[string]func() error{
		"write another key":        func() error { _, err := c.KV().Put(&api.KVPair{Key: "app/config"}, nil); return err },
		"read another key":         func() error { _, _, err := c.KV().Get("app/config", nil); return err },
		"register another service": func() error { return c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web"}) },
		"register a service with the same beginning": func() error {
			return c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "redis-exporter"})
		},
		"change its machine": func() error {
			_, err := c.Catalog().Register(&api.CatalogRegistration{Node: "machine-1", Address: "10.9.9.9"}, nil)
			return err
		},
		"make a node": func() error {
			_, err := c.Catalog().Register(&api.CatalogRegistration{Node: "machine-9", Address: "10.9.9.9"}, nil)
			return err
		},
		"make a session elsewhere": func() error {
			_, _, err := c.Session().CreateNoChecks(&api.SessionEntry{Node: "redis-master"}, nil)
			return err
		},
		"set its machine to maintenance": func() error { return c.Agent().EnableNodeMaintenance("no") },
		"read tokens":                    func() error { _, _, err := c.ACL().TokenList(nil); return err },
		"read the raft peers":            func() error { _, err := c.Operator().RaftGetConfiguration(nil); return err },
		"make a prepared query": func() error {
			_, _, err := c.PreparedQuery().Create(&api.PreparedQueryDefinition{Name: "redis-read", Service: api.ServiceQuery{Service: "redis"}}, nil)
			return err
		},
		"fire an event": func() error { _, _, err := c.Event().Fire(&api.UserEvent{Name: "deploy"}, nil); return err },
	} {
		if err := exampleDenied(try()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
