package cli

import (
	"context"
	"errors"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// order is a command that the driver issues.
type order struct {
	words []any
	// right is what the user of the agent needs for it, as ACL SETUSER takes it.
	right string
	what  string
	// optional: it is only issued when the server does not announce the right address by itself.
	optional bool
}

// driverOrders are all commands that the built-in driver issues but AUTH, which everybody may. A test holds them to
// the driver.
var driverOrders = []order{
	{words: []any{"PING"}, right: "+ping", what: "observing"},
	{words: []any{"INFO", "server"}, right: "+info", what: "observing"},
	{words: []any{"MULTI"}, right: "+multi", what: "every order: it is given whole or not at all"},
	{words: []any{"EXEC"}, right: "+exec", what: "every order"},
	{words: []any{"REPLICAOF", "NO", "ONE"}, right: "+replicaof", what: "freezing, opening, following"},
	{words: []any{"CONFIG", "GET", "replica-read-only"}, right: "+config|get", what: "observing"},
	{words: []any{"CONFIG", "REWRITE"}, right: "+config|rewrite", what: "keeping the configuration file frozen"},
	{words: []any{"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}, right: "+client|kill", what: "ending the clients of a server that is frozen"},
	{words: []any{"CLIENT", "PAUSE", "1", "WRITE"}, right: "+client|pause", what: "a planned switchover"},
	{words: []any{"CLIENT", "UNPAUSE"}, right: "+client|unpause", what: "a planned switchover"},
	{words: []any{"WAIT", "0", "1"}, right: "+wait", what: "a planned switchover"},
	{words: []any{"SCRIPT", "KILL"}, right: "+script|kill", what: "freezing a server that runs a script"},
	{words: []any{"BGSAVE"}, right: "+bgsave", what: "saving what a failover discards"},
	{words: []any{"CONFIG", "SET", "replica-announce-ip", "127.0.0.1"}, right: "+config|set", optional: true,
		what: "announcing the address to masters, and `min_replicas_to_write`; not needed without that where the configuration file has `replica-announce-ip` and `replica-announce-port`"},
}

// rights are the driver's commands by what the server says to them.
type rights struct {
	denied, unknown []order
	// failed is why the rest could not be asked.
	failed string
}

func (r rights) has(right string) bool {
	for _, o := range append(append([]order(nil), r.denied...), r.unknown...) {
		if o.right == right {
			return false
		}
	}
	return r.failed == ""
}

// askRights sends the driver's commands inside a transaction that is never executed: the server says what it would
// refuse when it queues a command. No other way needs neither the right to ACL nor to change anything.
func (p *patient) askRights(ctx context.Context) rights {
	var r rights
	// ask says whether the command was taken.
	ask := func(o order, do func(context.Context, ...any) error) bool {
		err := do(ctx, o.words...)
		var reply goredis.Error
		switch {
		case err == nil:
			return true
		case strings.Contains(err.Error(), "NOPERM"): // EXEC: "EXECABORT Transaction discarded because of: NOPERM ..."
			r.denied = append(r.denied, o)
		case strings.HasPrefix(err.Error(), "ERR unknown"):
			r.unknown = append(r.unknown, o)
		case errors.As(err, &reply):
			return true // Redis looks at rights first, so it is not for want of one, but of a master, of memory, ...
		default:
			r.failed = err.Error()
		}
		return false
	}
	begin := func() (do func(context.Context, ...any) error, end func(), ok bool) {
		c, err := p.connect(p.node.Address, p.node.Username, p.node.Password.Reveal())
		if err != nil {
			r.failed = err.Error()
			return nil, nil, false
		}
		do = func(ctx context.Context, words ...any) error { return c.Do(ctx, words...).Err() }
		end = func() { _ = c.Close() } // which discards the transaction; DISCARD would need a right
		for _, o := range driverOrders {
			if o.right == "+multi" && !ask(o, do) {
				end()
				return nil, nil, false
			}
		}
		return do, end, true
	}
	do, end, ok := begin()
	if !ok {
		return r
	}
	for _, o := range driverOrders {
		if o.right != "+multi" && o.right != "+exec" {
			ask(o, do)
		}
	}
	end()
	// EXEC is tried on a transaction of nothing.
	if do, end, ok = begin(); ok {
		for _, o := range driverOrders {
			if o.right == "+exec" {
				ask(o, do)
			}
		}
		end()
	}
	return r
}

func checkRights(_ context.Context, p *patient) finding {
	if p.rights.failed != "" {
		return bad("run doctor again; if it stays, ask the server by hand", "what the agent's user may do cannot be told: %s", p.rights.failed)
	}
	var missing, orders []string
	for _, o := range p.rights.denied {
		if !o.optional {
			missing = append(missing, o.right)
			orders = append(orders, strings.ToUpper(strings.ReplaceAll(o.right[1:], "|", " "))+" ("+o.what+")")
		}
	}
	if len(missing) == 0 {
		return fine("user %s may run what the driver needs", p.user())
	}
	return bad("redis-cli ACL SETUSER "+p.user()+" "+strings.Join(missing, " ")+", and the same in its configuration",
		"user %s may not run %s", p.user(), list(orders))
}

func checkRenamed(_ context.Context, p *patient) finding {
	var missing []string
	for _, o := range p.rights.unknown {
		if !o.optional {
			missing = append(missing, strings.ToUpper(strings.ReplaceAll(o.right[1:], "|", " ")))
		}
	}
	if len(missing) == 0 {
		return fine("every command that the driver needs is there")
	}
	return bad("take the rename-command lines out of the configuration and restart; keep others from these commands by ACL",
		"the server does not know %s", list(missing))
}
