package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// roleCommands change who is master; replicaCommands make a connection one of a replica, whose acknowledgements WAIT
// counts.
var (
	roleCommands    = []string{"replicaof", "slaveof", "failover"}
	replicaCommands = []string{"psync", "sync"}
)

// aclCategories are those of all commands above; see ACL CAT.
var aclCategories = []string{"@admin", "@slow", "@dangerous"}

// aclUser is a user of a Redis server.
type aclUser struct {
	name       string
	on, nopass bool
	// selectors are the rules of the user itself and of each further selector (Redis 7.0).
	selectors [][]string
}

// aclUsers are the users of a server and where they were read.
type aclUsers struct {
	list []aclUser
	from string
	err  error
}

// parseUser reads "user NAME RULE...", as ACL LIST and configuration files have it.
func parseUser(line string) (aclUser, bool) {
	words := strings.Fields(line)
	if len(words) < 2 || !strings.EqualFold(words[0], "user") {
		return aclUser{}, false
	}
	u := aclUser{name: strings.Trim(words[1], `"'`), selectors: [][]string{nil}}
	at := 0
	for _, word := range words[2:] {
		word = strings.ToLower(strings.Trim(word, `"'`))
		if strings.HasPrefix(word, "(") {
			u.selectors, at = append(u.selectors, nil), len(u.selectors)
		}
		rule := strings.Trim(word, "()")
		switch {
		case at > 0:
		case rule == "on", rule == "off":
			u.on = rule == "on"
		case rule == "nopass":
			u.nopass = true
		case rule == "resetpass", strings.HasPrefix(rule, ">"):
			u.nopass = false
		case rule == "reset":
			u.on, u.nopass = false, false
		case rule == "clearselectors":
			u.selectors = u.selectors[:1]
		}
		u.selectors[at] = append(u.selectors[at], rule)
		if strings.HasSuffix(word, ")") {
			at = 0
		}
	}
	return u, true
}

// mayAny tells whether the user may run one of the commands, which are of aclCategories.
func (u aclUser) mayAny(commands []string) bool {
	return slices.ContainsFunc(commands, func(command string) bool {
		return slices.ContainsFunc(u.selectors, func(rules []string) bool { return allowed(rules, command) })
	})
}

// allowed applies rules in their order; the last one that speaks of the command holds.
func allowed(rules []string, command string) bool {
	may := false
	for _, rule := range rules {
		switch {
		case rule == "allcommands":
			may = true
		case rule == "nocommands", rule == "reset":
			may = false
		case len(rule) < 2 || rule[0] != '+' && rule[0] != '-':
		case rule[1:] == "@all", rule[1:] == command, slices.Contains(aclCategories, rule[1:]):
			may = rule[0] == '+'
		}
	}
	return may
}

// readUsers asks the server for its users, or else reads the files that it read them from.
func (p *patient) readUsers(ctx context.Context, c *goredis.Client) aclUsers {
	lines, err := c.Do(ctx, "ACL", "LIST").StringSlice()
	if err == nil {
		return parseUsers(lines, "ACL LIST", "")
	}
	if p.file.err != nil {
		return aclUsers{err: errors.Join(err, p.file.err)}
	}
	from, b := p.file.path, p.file.text
	if path := p.settings["aclfile"]; path != "" {
		if b, err = os.ReadFile(p.process.path(path)); err != nil {
			return aclUsers{err: err}
		}
		from = path
	}
	for line := range bytes.Lines(b) {
		lines = append(lines, strings.TrimSpace(string(line)))
	}
	return parseUsers(lines, from, p.settings["requirepass"])
}

// parseUsers picks out the users. A file need not name the user default, who then may do everything, with the password
// requirepass if there is one.
func parseUsers(lines []string, from, password string) aclUsers {
	all := aclUsers{from: from}
	named := false
	for _, line := range lines {
		if u, ok := parseUser(line); ok {
			all.list = append(all.list, u)
			named = named || u.name == "default"
		}
	}
	if !named {
		rules := "user default on nopass allcommands"
		if password != "" {
			rules += " >secret" // which it is does not matter here
		}
		u, _ := parseUser(rules)
		all.list = append(all.list, u)
	}
	return all
}

// checkOthers looks for users that might change the role or count as replicas behind the agent's back.
func checkOthers(_ context.Context, p *patient) finding {
	if p.users.err != nil {
		return warning("allow "+p.user()+" +acl|list, or run doctor as a user who may read the server's configuration file",
			"who else may change the role or replicate cannot be told: %v", p.users.err)
	}
	replica, known := p.setting("masteruser")
	if replica == "" {
		replica = "default"
	}
	var found []string
	for _, u := range p.users.list {
		name := u.name
		if u.nopass {
			name += " (without a password)"
		}
		switch {
		case !u.on:
		case u.name == "default" && u.nopass && u.mayAny(roleCommands):
			found = append(found, "everybody who can connect may change the role")
		case u.name == p.user() && u.name == "default":
			found = append(found, "the agent and everybody else share the user default")
		case u.name != p.user() && u.mayAny(roleCommands):
			found = append(found, name+" may change the role")
		case known && u.name != p.user() && u.name != replica && u.mayAny(replicaCommands):
			found = append(found, name+" may replicate")
		}
	}
	if len(found) == 0 && !known {
		return fine("only %s may change the role, by %s", p.user(), p.users.from)
	}
	if len(found) == 0 {
		return fine("only %s may change the role, only %s may replicate, by %s", p.user(), replica, p.users.from)
	}
	mend := "give the agent, the replicas and the applications a user each, as examples/consul/redis.conf does"
	if strings.HasPrefix(p.group.Durability, "wait:") {
		mend += "; durability " + p.group.Durability + " counts on it"
	}
	return warning(mend, "%s", strings.Join(found, "; "))
}
