package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
)

func flagValue(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

func TestDoctorChangesNothing(t *testing.T) {
	s := sick{bare: true}
	server := s.start(t)
	server.MustDo("SET", "a", "b")
	before, err := os.ReadFile(server.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ask(t, s.config(t, server))
	}
	after, err := os.ReadFile(server.ConfigFile())
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the configuration file changed: %v", err)
	}
	if role := server.Info("role"); role != "master" {
		t.Errorf("the server is a %s now", role)
	}
	if _, err := os.Stat(filepath.Join(server.Dir, "dump.rdb")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it saved its data: %v", err)
	}
	server.MustDo("SET", "a", "c")
	// Of what the driver issues, only that which changes nothing was executed.
	stats, _ := server.MustDo("INFO", "commandstats").(string)
	for _, command := range []string{"replicaof", "config|rewrite", "config|set", "client|kill", "client|pause", "client|unpause", "wait", "script|kill", "bgsave"} {
		if strings.Contains(stats, "cmdstat_"+command+":") && !strings.Contains(stats, "cmdstat_"+command+":calls=0,") {
			t.Errorf("%s was executed:\n%s", command, stats)
		}
	}
}

func TestDoctorWords(t *testing.T) {
	s := sick{lines: map[string]string{"replica-read-only": "replica-read-only no"}}
	code, stdout, stderr := run(t, "doctor", "-config", s.config(t, s.start(t)))
	for _, want := range []string{"machine of agent ", "\nnode redis-1 of group redis at ", "\n  wrong  replica-read-only  ", "→ replica-read-only yes\n", "\n1 wrong, "} {
		if !regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(want), "  ", " +")).MatchString(stdout) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if code != ExitFailed || stderr != "" {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if code, _, stderr := run(t, "doctor"); code != ExitUsage || !strings.Contains(stderr, "-config PATH is missing") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestDoctorOfAnotherDriver(t *testing.T) {
	s := sick{node: "  driver = \"other\"\n", top: fmt.Sprintf("agent {\n  data_dir = %q\n}\ndriver \"other\" {\n  command = [\"/bin/true\"]\n}\n", t.TempDir())}
	code, found := ask(t, s.config(t, sick{}.start(t)))
	if f := found["reachable"]; code != ExitOK || f.Grade != gradeOK || !strings.Contains(f.What, `driver "other"`) || len(found) != len(machineChecks)+1 {
		t.Errorf("exit code %d, %+v", code, found)
	}
}

// A doctor who may not kill the server says so, and does not lose its head over what it may not read.
func TestDoctorAsAnotherUser(t *testing.T) {
	if !isRoot {
		t.Skip("only root can become another user")
	}
	s := sick{}
	server := s.start(t)
	path := s.config(t, server)
	for dir := filepath.Dir(path); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "doctor", "-config", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != int(ExitFailed) {
		t.Errorf("%v", err)
	}
	for _, want := range []string{
		`wrong +data_dir +this user may not write in `, `wrong +process +this user may not kill process \d+: operation not permitted`,
		`warning +frozen +whether it starts frozen cannot be told: .*permission denied`, `warning +others +who else`, `ok +config_file `} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// Every command that the driver issues is asked for, and none else.
func TestTheOrdersAreTheDrivers(t *testing.T) {
	files, err := filepath.Glob("../../../plugin/redis/*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v %v", files, err)
	}
	literal := regexp.MustCompile(`\{"([A-Z]+)"(?:, "([A-Z]+)")?`)
	issued := map[string]bool{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(b), "\n") {
			for _, m := range literal.FindAllStringSubmatch(line, -1) {
				right := "+" + strings.ToLower(m[1])
				if slices.Contains([]string{"CONFIG", "CLIENT", "SCRIPT", "ACL"}, m[1]) {
					right += "|" + strings.ToLower(m[2])
				}
				if m[1] != "AUTH" {
					issued[right] = true
				}
			}
		}
	}
	for _, o := range driverOrders {
		if !issued[o.right] {
			t.Errorf("the driver does not need %s", o.right)
		}
		delete(issued, o.right)
	}
	for right := range issued {
		t.Errorf("the driver needs %s, which is not asked for", right)
	}
}

// What the rules of a user allow is what Redis itself says they do.
func TestACLRules(t *testing.T) {
	server := plugintest.StartRedis(t)
	rules := [][]any{
		{"on", "+@all"}, {"on", "allcommands", "-psync"}, {"on", "+@all", "-@admin"}, {"on", "+@all", "-@dangerous"}, {"on", "-@all", "+psync"},
		{"on", "+@admin"}, {"on", "+@admin", "-@slow", "+get"}, {"on", "+@read", "+@write"}, {"on", "+sync", "-sync"}, {"on", "nocommands", "+replicaof"},
		{"on", "+@all", "-@all", "+ping"}, {"on", "+@fast", "(+psync)"}, {"on", "-@all", "(+@all -@admin)", "(~a* +replicaof)"}, {"on", "+@slow", "-replicaof"},
		{"on", "nopass", "+@connection"}, {"off", "+config|get", "+client"},
	}
	for i, r := range rules {
		server.MustDo(append([]any{"ACL", "SETUSER", "u" + string(rune('a'+i))}, r...)...)
	}
	lines, err := server.Client().Do(t.Context(), "ACL", "LIST").StringSlice()
	if err != nil {
		t.Fatal(err)
	}
	users := parseUsers(lines, "", "")
	if len(users.list) != len(rules)+1 {
		t.Fatalf("%d users of %q", len(users.list), lines)
	}
	allowedOnce, deniedOnce := false, false
	for i, u := range users.list {
		for command, args := range map[string][]any{"psync": {"?", "-1"}, "sync": nil, "replicaof": {"no", "one"}, "slaveof": {"no", "one"}, "failover": nil} {
			answer, err := server.Do(append([]any{"ACL", "DRYRUN", u.name, command}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			may := answer == "OK"
			if got := u.mayAny([]string{command}); got != may {
				t.Errorf("%s: %s: got %v; Redis says %v", lines[i], command, got, answer)
			}
			allowedOnce, deniedOnce = allowedOnce || may, deniedOnce || !may
		}
	}
	if !allowedOnce || !deniedOnce {
		t.Error("nothing was told apart")
	}
}

// A file that names no user has one who may do everything.
func TestUsersOfAFile(t *testing.T) {
	for _, c := range []struct {
		lines    []string
		password string
		nopass   bool
	}{{nil, "", true}, {[]string{"port 1", "requirepass x"}, "x", false}, {[]string{`user default on >x +@all`}, "", false}, {[]string{`USER default on nopass`}, "", true}} {
		if u := parseUsers(c.lines, "f", c.password); len(u.list) != 1 || !u.list[0].on || u.list[0].nopass != c.nopass || u.list[0].name != "default" {
			t.Errorf("%q: %+v", c.lines, u.list)
		}
	}
}

func TestMayWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	own := info.Sys().(*syscall.Stat_t)
	nobody := credentials{uid: own.Uid + 1, groups: []uint32{own.Gid + 1}}
	friend := credentials{uid: own.Uid + 1, groups: []uint32{own.Gid + 1, own.Gid}}
	for mode, want := range map[fs.FileMode][2]bool{0o600: {false, false}, 0o660: {false, true}, 0o606: {true, false}, 0o666: {true, true}} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{nobody.mayWrite(file) == nil, friend.mayWrite(file) == nil}; got != want {
			t.Errorf("mode %o: nobody and friend %v, want %v", mode, got, want)
		}
	}
	if err := nobody.mayWrite(file + "/x"); err == nil {
		t.Error("a file below a file may be written")
	}
}

func TestMachineChecks(t *testing.T) {
	dir := t.TempDir()
	file, shared, seen, own := filepath.Join(dir, "file"), filepath.Join(dir, "shared"), filepath.Join(dir, "seen"), filepath.Join(dir, "own")
	write(t, file, "")
	for path, mode := range map[string]fs.FileMode{shared: 0o770, seen: 0o750, own: 0o700} {
		if err := os.Chmod(makeDir(t, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	cfg := func(data, rescue string) *config.Config {
		return &config.Config{Agent: config.Agent{DataDir: data, RescueDir: rescue}}
	}
	for _, c := range []struct {
		got  finding
		want string
	}{
		{checkDataDir(cfg(own, "")), "ok: this user can write in "},
		{checkDataDir(cfg(own+"/a/b", "")), "ok: the agent can make "},
		{checkDataDir(cfg(file, "")), "wrong: " + file + " is not a folder"},
		{checkDataDir(cfg(file+"/x", "")), "wrong: " + file + " is not a folder"},
		{checkDataDir(cfg("/proc/1", "")), "wrong: this user may not write in /proc/1"},
		{checkRescueDir(cfg(own, "")), "ok: the agent can make " + own + "/rescue"},
		{checkRescueDir(cfg(own, own)), "ok: this user can write in " + own + ", and nobody else"},
		{checkRescueDir(cfg(own, seen)), "warning: others may look into "},
		{checkRescueDir(cfg(own, shared)), "wrong: others may write in "},
		{checkRescueDir(cfg(own, file)), "wrong: "},
	} {
		if !strings.HasPrefix(string(c.got.Grade)+": "+c.got.What, c.want) {
			t.Errorf("%s: %s\nwant %s", c.got.Grade, c.got.What, c.want)
		}
	}
	kernel := filepath.Join(dir, "kernel")
	old := [2]string{clockSourceFile, overcommitFile}
	clockSourceFile, overcommitFile = kernel, kernel
	defer func() { clockSourceFile, overcommitFile = old[0], old[1] }()
	for text, want := range map[string][2]grade{
		"tsc\n": {gradeOK, gradeWarning}, "hpet\n": {gradeWarning, gradeWarning}, "jiffies\n": {gradeWrong, gradeWarning},
		"1\n": {gradeOK, gradeOK}, "0\n": {gradeOK, gradeWarning}, "2\n": {gradeOK, gradeWarning},
	} {
		write(t, kernel, text)
		if got := [2]grade{checkClock(nil).Grade, checkOvercommit(nil).Grade}; got != want {
			t.Errorf("%q: clock and overcommit %v, want %v", text, got, want)
		}
	}
}

func TestDoctorPage(t *testing.T) {
	const path, mark = "../../../docs/doctor.md", "from the checks themselves. -->\n\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, old, ok := strings.Cut(string(b), mark)
	if !ok {
		t.Fatalf("%s has no line that ends in %q", path, mark)
	}
	now := doctorReference()
	if *update {
		write(t, path, head+mark+now)
		return
	}
	if old != now {
		t.Errorf("%s is not what the checks say: run make generate", path)
	}
}
