package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
)

// sick is a server with something wrong, and what doctor is to say of it.
type sick struct {
	name string
	// lines replace those of the good configuration that begin with the key ("" takes them out), or are added.
	lines map[string]string
	// node and group are added to the blocks of the agent's configuration, top to the file.
	node, group, top string
	options          []plugintest.RedisOption
	// announce is the announce_address, the server's own if it is empty.
	announce string
	// bare: the server has no users but default, and does not start frozen.
	bare bool
	// before is done when the server runs.
	before func(*testing.T, *plugintest.RedisServer)
	// want is, for each check that is not to be ok, its grade and what is in its words.
	want map[string]string
}

// agentUser is what examples/consul/redis.conf gives the agent.
const agentUser = "user agent on >secret resetkeys resetchannels -@all +ping +info +multi +exec +replicaof +config|get +config|rewrite" +
	" +client|kill +client|pause +client|unpause +wait +script|kill +bgsave"

// goodConfig is a server as examples/consul/redis.conf has it.
func goodConfig(address string) []string {
	_, port, _ := net.SplitHostPort(address)
	return []string{
		"protected-mode no", "save 3600 1", "repl-backlog-size 64mb", "repl-backlog-ttl 0",
		"replica-announce-ip " + outside(), "replica-announce-port " + port,
		"user default on nopass resetkeys resetchannels -@all +ping",
		agentUser,
		"user replication on >repl resetkeys resetchannels -@all +ping +replconf +psync",
		"masteruser replication", "masterauth repl",
		"user app on >app allkeys allchannels +@all -@admin -@dangerous",
	}
}

// outside is an address of this machine that others would reach, or else a loopback address.
func outside() string {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

func (s sick) start(t *testing.T) *plugintest.RedisServer {
	host := outside()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	left := maps.Clone(s.lines)
	var lines []string
	for _, line := range goodConfig(address) {
		if s.bare && (strings.HasPrefix(line, "user ") || strings.HasPrefix(line, "master")) {
			continue
		}
		for key, by := range s.lines {
			if strings.HasPrefix(line, key) {
				line = by
				delete(left, key)
			}
		}
		lines = append(lines, line)
	}
	lines = append(lines, slices.Sorted(maps.Values(left))...)
	options := append([]plugintest.RedisOption{plugintest.WithAddr(address), plugintest.WithConfig(lines...)}, s.options...)
	if !s.bare {
		options = append(options, plugintest.Frozen())
	}
	server := plugintest.StartRedis(t, options...)
	if s.before != nil {
		s.before(t, server)
	}
	return server
}

// config writes the agent's configuration and returns its path.
func (s sick) config(t *testing.T, server *plugintest.RedisServer) string {
	announce := s.announce
	if announce == "" {
		announce = server.Addr
	}
	login := "  username = \"agent\"\n  password = \"secret\"\n"
	if s.bare {
		login = ""
	}
	dir := t.TempDir()
	top := s.top
	if top == "" {
		top = fmt.Sprintf("agent {\n  data_dir = %q\n}\n", filepath.Join(dir, "data"))
	}
	path := filepath.Join(dir, "agent.hcl")
	write(t, path, fmt.Sprintf("%sgroup \"redis\" {\n  quorum = 2\n%s}\nnode \"redis-1\" {\n  group = \"redis\"\n  address = %q\n  announce_address = %q\n%s%s}\n",
		top, s.group, server.Addr, announce, login, s.node))
	return path
}

// ask runs doctor and returns its findings by check.
func ask(t *testing.T, path string) (ExitCode, map[string]finding) {
	t.Helper()
	code, stdout, stderr := run(t, "doctor", "-config", path, "-json")
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || stderr != "" {
		t.Fatalf("exit code %d: %v\n%s%s", code, err, stdout, stderr)
	}
	found := map[string]finding{}
	for _, f := range r.Findings {
		found[f.Check] = f
	}
	return code, found
}

// judge compares the findings of a node with those wanted; whatever is not named must be ok.
func (s sick) judge(t *testing.T, code ExitCode, found map[string]finding) {
	t.Helper()
	wrong := false
	for check, f := range found {
		wrong = wrong || f.Grade == gradeWrong
		if f.Subject == "machine" {
			continue
		}
		want, named := s.want[check]
		switch {
		case check == "announce" && isLoopback(outside()) && !named: // such a machine has no other address
		case !named && f.Grade != gradeOK:
			t.Errorf("%s is %s: %s", check, f.Grade, f.What)
		case named && !strings.Contains(string(f.Grade)+": "+f.What+" → "+f.Mend, want):
			t.Errorf("%s is %s: %s → %s\nwant %s", check, f.Grade, f.What, f.Mend, want)
		case f.Grade != gradeOK && f.Mend == "":
			t.Errorf("%s has no mend: %s", check, f.What)
		}
	}
	for check := range s.want {
		if _, ok := found[check]; !ok {
			t.Errorf("nothing was found of %s", check)
		}
	}
	if want := map[bool]ExitCode{false: ExitOK, true: ExitFailed}[wrong]; code != want {
		t.Errorf("exit code %d, want %d", code, want)
	}
}

// isRoot: what another user may not do is shown by a server or a doctor of another user.
var isRoot = os.Geteuid() == 0

// script writes a program that is run in the place of redis-server.
func script(t *testing.T, text string) plugintest.RedisOption {
	path := filepath.Join(t.TempDir(), "redis-server")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return plugintest.WithBinary(path)
}

func TestDoctor(t *testing.T) {
	seen := map[string]map[bool]bool{}
	all := true
	for _, s := range sicknesses(t) {
		all = t.Run(s.name, func(t *testing.T) {
			code, found := ask(t, s.config(t, s.start(t)))
			s.judge(t, code, found)
			for check, f := range found {
				if seen[check] == nil {
					seen[check] = map[bool]bool{}
				}
				seen[check][f.Grade == gradeOK] = true
			}
		}) && all
	}
	if f := flagValue("test.run"); !all || strings.Contains(f, "/") {
		return
	}
	for _, c := range nodeChecks {
		if len(seen[c.name]) != 2 {
			t.Errorf("%s was seen in one state only: ok %v", c.name, seen[c.name])
		}
	}
}

func sicknesses(t *testing.T) []sick {
	other := sick{}.start(t)
	_, dead, _ := net.SplitHostPort(plugintest.FreeAddr(t))
	agent := "user agent on >secret resetkeys resetchannels -@all +ping +info +multi +exec"
	return []sick{
		{name: "good"},
		{name: "gone", want: map[string]string{"reachable": "wrong: "},
			before: func(_ *testing.T, s *plugintest.RedisServer) { s.Kill() }},
		{name: "wrong password", lines: map[string]string{"user agent": "user agent on >other ~* +@all"},
			want: map[string]string{"reachable": "wrong: "}},
		{name: "plain instead of TLS", node: "  tls {\n  }\n", want: map[string]string{"reachable": "wrong: "}},
		{name: "cluster", bare: true, lines: map[string]string{"cluster": "cluster-enabled yes"}, want: map[string]string{
			"version": `wrong: the server runs in mode "cluster"`, "others": "warning: everybody who can connect may change the role",
			"frozen": "warning: "}},
		{name: "few rights", lines: map[string]string{"user agent": agent + " +config|get +client|kill"}, want: map[string]string{
			"rights": "wrong: user agent may not run REPLICAOF (freezing, opening, following), CONFIG REWRITE (keeping the configuration file frozen)," +
				" CLIENT PAUSE (a planned switchover), CLIENT UNPAUSE (a planned switchover), WAIT (a planned switchover), SCRIPT KILL (freezing a server that runs a script), BGSAVE (saving what a failover discards) → redis-cli ACL SETUSER" +
				" agent +replicaof +config|rewrite +client|pause +client|unpause +wait +script|kill +bgsave,"}},
		{name: "no transactions", lines: map[string]string{"user agent": agent + " +@all -multi"}, want: map[string]string{
			"rights": "wrong: user agent may not run MULTI"}},
		{name: "no execution", lines: map[string]string{"user agent": agent + " +@all -exec"}, want: map[string]string{
			"rights": "wrong: user agent may not run EXEC"}},
		{name: "no settings", lines: map[string]string{"user agent": agentUser + " -config|get"}, want: map[string]string{
			"rights": "wrong: user agent may not run CONFIG GET (observing)"}},
		{name: "renamed", bare: true, lines: map[string]string{"rename": `rename-command BGSAVE ""`}, want: map[string]string{
			"renamed": "wrong: the server does not know BGSAVE", "others": "warning: ", "frozen": "warning: "}},
		{name: "others", group: "  durability = \"wait:1\"\n", lines: map[string]string{
			"user app": "user app on >app +@all", "user reader": "user reader on nopass -@all +psync", "user off": "user off off nopass +@all"}, want: map[string]string{
			"others": "warning: app may change the role; reader (without a password) may replicate → give the agent, the replicas and the applications" +
				" a user each, as examples/consul/redis.conf does; durability wait:1 counts on it"}},
		{name: "one password for all", bare: true, options: []plugintest.RedisOption{plugintest.WithPassword("all")}, node: "  password = \"all\"\n", want: map[string]string{
			"others": "warning: the agent and everybody else share the user default", "frozen": "warning: "}},
		{name: "Sentinel", bare: true, before: startSentinel, want: map[string]string{
			"sentinel": "wrong: a Redis Sentinel manages this server, from " + outside(), "others": "warning: ", "frozen": "warning: "}},
		{name: "listener", before: listen, want: map[string]string{
			"sentinel": "warning: clients listen to channels of this server, and whether one of them is a Sentinel may not be asked → allow agent +pubsub|numsub"}},
		{name: "no configuration file", options: []plugintest.RedisOption{plugintest.WithoutConfigFile()}, want: map[string]string{
			"config_file": "wrong: the server was started without a configuration file", "others": "warning: who else may change the role or replicate cannot be told"}},
		{name: "configuration not writable", options: unwritable(t), before: makeUnwritable, want: map[string]string{
			"config_file": "wrong: the server cannot rewrite ", "rescue": "wrong: the server cannot save into "}},
		{name: "not frozen", before: func(t *testing.T, s *plugintest.RedisServer) { edit(t, s, "replicaof 127.0.0.1 1", "") }, want: map[string]string{
			"frozen": "warning: "}},
		{name: "attached", before: func(t *testing.T, s *plugintest.RedisServer) {
			edit(t, s, "replicaof 127.0.0.1 1", "replicaof 127.0.0.1 1\nreplicaof 10.0.0.9 6379")
		}, want: map[string]string{"frozen": "does not say frozen, but replicaof 10.0.0.9:6379 → write replicaof 127.0.0.1 1 into "}},
		{name: "never frozen", options: []plugintest.RedisOption{}, lines: map[string]string{"user agent": agentUser + " -config|rewrite"},
			before: func(t *testing.T, s *plugintest.RedisServer) { edit(t, s, "replicaof 127.0.0.1 1", "") }, want: map[string]string{
				"frozen": "wrong: ", "rights": "wrong: user agent may not run CONFIG REWRITE"}},
		{name: "container", options: []plugintest.RedisOption{script(t, unshare()+` redis-server "$@"`)}, want: map[string]string{
			"process": "wrong: a server that is stuck cannot be killed: ", "config_file": "warning: ", "frozen": "warning: ", "others": "warning: "}},
		{name: "left when stuck", group: "  on_stuck = \"leave\"\n", want: map[string]string{
			"process": `warning: on_stuck is "leave": a stopped server that goes on may answer what its clients have queued`}},
		{name: "folder of the server is gone", before: func(t *testing.T, s *plugintest.RedisServer) {
			dir := filepath.Join(s.Dir, "gone")
			_, err := admin(t, s).ConfigSet(t.Context(), "dir", makeDir(t, dir)).Result()
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, lines: map[string]string{"user admin": "user admin on >admin +@all", "enable": "enable-protected-configs yes"}, want: map[string]string{
			"rescue": "wrong: ", "others": "warning: admin may change the role"}},
		{name: "no room", top: "agent {\n  rescue_dir = \"/proc\"\n}\n", want: map[string]string{"rescue": "warning: /proc has room for 0 B, the server's data takes up to "}},
		{name: "announced in vain", announce: net.JoinHostPort(outside(), dead), lines: map[string]string{"replica-announce-port": "replica-announce-port " + dead}, want: map[string]string{
			"announce": "wrong: " + net.JoinHostPort(outside(), dead) + " does not answer: "}},
		{name: "another server is announced", announce: other.Addr, want: map[string]string{
			"announce": "wrong: another server answers at " + other.Addr, "replica-announce": "wrong: it announces "}},
		{name: "replica announces nothing", lines: map[string]string{"replica-announce": ""}, want: map[string]string{
			"replica-announce": "warning: it announces the address that its connections come from"}},
		{name: "replica may be told", lines: map[string]string{"replica-announce": "", "user agent": agentUser + " +config|set"}},
		{name: "no replication login", lines: map[string]string{"masterauth": "masterauth other"}, want: map[string]string{
			"replication-login": "wrong: as a replica it would log in as replication: WRONGPASS"}},
		{name: "replication not allowed", lines: map[string]string{"masteruser": "", "masterauth": ""}, want: map[string]string{
			"replication-login": "wrong: as a replica it would log in as default, who may not PSYNC", "others": "warning: replication may replicate"}},
		{name: "writable", lines: map[string]string{"replica-read-only": "replica-read-only no"}, want: map[string]string{
			"replica-read-only": "wrong: replica-read-only is no: a frozen server would take writes"}},
		{name: "no stale data", lines: map[string]string{"replica-serve": "replica-serve-stale-data no"}, want: map[string]string{
			"replica-serve-stale-data": "wrong: replica-serve-stale-data is no: a frozen server refuses BGSAVE"}},
		{name: "append-only file", lines: map[string]string{"append": "appendonly yes"}, want: map[string]string{
			"persistence": "warning: appendonly is yes: a server that loads an append-only file has a new replication id"}},
		{name: "no persistence", lines: map[string]string{"save": ""}, want: map[string]string{"persistence": "warning: nothing is persisted"}},
		{name: "cache", lines: map[string]string{"maxmemory": "maxmemory 100mb", "policy": "maxmemory-policy allkeys-lru"}},
		{name: "full", lines: map[string]string{"maxmemory": "maxmemory 100mb"}},
		{name: "cache that waits", group: "  durability = \"wait:1\"\n", lines: map[string]string{"maxmemory": "maxmemory 100mb", "policy": "maxmemory-policy allkeys-lru"},
			want: map[string]string{"memory": "warning: maxmemory-policy is allkeys-lru: what was acknowledged may be evicted"}},
		{name: "replica evicts", lines: map[string]string{"ignore": "replica-ignore-maxmemory no"}, want: map[string]string{"memory": "warning: replica-ignore-maxmemory is no"}},
		{name: "small backlog", lines: map[string]string{"repl-backlog-size": "repl-backlog-size 1mb"}, want: map[string]string{"backlog": "warning: repl-backlog-size is 1.0 MiB"}},
		{name: "backlog that ends", lines: map[string]string{"repl-backlog-ttl": "repl-backlog-ttl 3600"}, want: map[string]string{"backlog": "warning: repl-backlog-ttl is 3600 s"}},
		{name: "sync by disk", lines: map[string]string{"diskless": "repl-diskless-sync no"}, want: map[string]string{"diskless": "warning: a full resync goes by the disk"}},
		{name: "sync later", lines: map[string]string{"diskless": "repl-diskless-sync-delay 5"}, want: map[string]string{"diskless": "warning: a full resync waits 5 s"}},
		{name: "all replicas needed", group: "  bootstrap_expect = 3\n", lines: map[string]string{"min": "min-replicas-to-write 2"}, want: map[string]string{
			"min-replicas": "warning: 2 of 2 replicas must be there"}},
		{name: "one replica needed", group: "  bootstrap_expect = 3\n", lines: map[string]string{"min": "min-replicas-to-write 1"}},
		protected(),
	}
}

// protected mode turns away who comes from an address that is not a loopback address; there must be one.
func protected() sick {
	s := sick{name: "protected mode", lines: map[string]string{"protected-mode": "protected-mode yes"}}
	if isLoopback(outside()) {
		return s
	}
	s.want = map[string]string{"reachable": "wrong: "}
	return s
}

func unshare() string {
	if isRoot {
		return "exec unshare --pid --fork --kill-child"
	}
	return "exec unshare --user --map-root-user --pid --fork --kill-child"
}

// unwritable runs the server as nobody, if these tests are root's, in a folder that is not its own.
func unwritable(t *testing.T) []plugintest.RedisOption {
	if !isRoot {
		return nil
	}
	return []plugintest.RedisOption{script(t, `chmod 644 "$1"; d=$(dirname "$1"); chmod 755 "$d" "$(dirname "$d")"; exec setpriv --reuid=65534 --regid=65534 --clear-groups redis-server "$@"`)}
}

func makeUnwritable(t *testing.T, s *plugintest.RedisServer) {
	if isRoot {
		return
	}
	if err := os.Chmod(s.Dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(s.Dir, 0o755) })
}

// edit changes the configuration file of a running server.
func edit(t *testing.T, s *plugintest.RedisServer, old, now string) {
	b, err := os.ReadFile(s.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.ConfigFile(), strings.Replace(string(b), old, now, 1))
}

func makeDir(t *testing.T, dir string) string {
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// client is a user of the server who is not the agent.
func client(t *testing.T, s *plugintest.RedisServer, name, password string) *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr, Username: name, Password: password, Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func admin(t *testing.T, s *plugintest.RedisServer) *goredis.Client {
	return client(t, s, "admin", "admin")
}

func listen(t *testing.T, s *plugintest.RedisServer) {
	sub := client(t, s, "app", "app").Subscribe(t.Context(), "news")
	t.Cleanup(func() { _ = sub.Close() })
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// startSentinel has a real Sentinel manage the server, and waits until it is seen there.
func startSentinel(t *testing.T, s *plugintest.RedisServer) {
	dir := t.TempDir()
	_, port, _ := net.SplitHostPort(plugintest.FreeAddr(t))
	file := filepath.Join(dir, "sentinel.conf")
	write(t, file, fmt.Sprintf("bind %s\nport %s\ndir %s\nprotected-mode no\nsentinel monitor redis %s %d 1\n", s.Host(), port, dir, s.Host(), s.Port()))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "redis-server", file, "--sentinel")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	plugintest.Eventually(t, "the Sentinel listens", func() bool {
		got, _ := s.Do("PUBSUB", "NUMSUB", sentinelChannel)
		list, _ := s.Do("CLIENT", "LIST")
		return fmt.Sprint(got) == "["+sentinelChannel+" 1]" && strings.Contains(fmt.Sprint(list), "-pubsub ")
	})
}
