package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

var (
	frozenHost, frozenPort, _ = net.SplitHostPort(plugin.FrozenAddress)
	toFrozen                  = command{"REPLICAOF", frozenHost, frozenPort}
	toOpen                    = command{"REPLICAOF", "NO", "ONE"}
	killNormal                = command{"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}
	killReplicas              = command{"CLIENT", "KILL", "TYPE", "replica", "SKIPME", "yes"}
	killPubSub                = command{"CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"}
	infoServer                = command{"INFO", "server"}
	infoReplication           = command{"INFO", "replication"}
	infoKeyspace              = command{"INFO", "keyspace"}
)

// transaction puts commands into MULTI and EXEC.
func transaction(commands ...command) []command {
	return append(append([]command{{"MULTI"}}, commands...), command{"EXEC"})
}

// executed is the replies of the commands of a transaction. When it did not run, nothing of it was done.
func executed(replies []reply) ([]reply, error) {
	exec := replies[len(replies)-1]
	if exec.failed != "" || len(exec.array) != len(replies)-2 {
		// The reason is in the reply to MULTI or to the command that was refused.
		for _, r := range replies {
			if err := r.err(); err != nil {
				return nil, err
			}
		}
		return nil, errors.New("the transaction was not executed")
	}
	return exec.array, nil
}

// freeze does all in one transaction. Ending the clients inside it has two effects beside the obvious: no write
// can come between, and an order of anyone else that is still on its way to the server goes with its connection.
// So nothing that was sent before can undo the freeze.
func (s *server) freeze(ctx context.Context) (plugin.Frozen, error) {
	s.freezes.Add(1)
	defer s.ordering()()
	all := []command{infoReplication, toFrozen, infoServer, infoReplication, infoKeyspace, killNormal, killPubSub}
	if s.paused.Load() {
		all = append(all, killReplicas, command{"CLIENT", "UNPAUSE"})
	}
	c, replies, err := s.ask(ctx, transaction(all...)...)
	if err != nil {
		return plugin.Frozen{}, fmt.Errorf("freeze: %w", err)
	}
	results, err := executed(replies)
	for err != nil && strings.HasPrefix(err.Error(), "BUSY") {
		// A script that has written nothing can be ended; whoever wanted its result gets an error. It ends some
		// milliseconds after it was told to.
		s.release(c)
		kerr := s.simple(ctx, "end the script that runs", command{"SCRIPT", "KILL"})
		if kerr != nil && !strings.Contains(kerr.Error(), "NOTBUSY") || sleep(ctx, time.Millisecond) != nil {
			return plugin.Frozen{}, errors.Join(fmt.Errorf("freeze: %w", err), kerr)
		}
		if c, replies, err = s.ask(ctx, transaction(all...)...); err != nil {
			return plugin.Frozen{}, fmt.Errorf("freeze: %w", err)
		}
		results, err = executed(replies)
	}
	if err != nil && replies[0].failed == "" {
		// Refused a command, perhaps CLIENT KILL: the freeze itself matters more.
		s.logger.Warn("freeze without ending the clients", "error", err)
		if replies, err = s.order(ctx, c, transaction(infoReplication, toFrozen, infoServer, infoReplication, infoKeyspace)...); err != nil {
			return plugin.Frozen{}, fmt.Errorf("freeze: %w", err)
		}
		results, err = executed(replies)
	}
	if err != nil {
		s.release(c)
		return plugin.Frozen{}, fmt.Errorf("freeze: %w", err)
	}
	defer s.release(c)
	if err := results[1].err(); err != nil {
		return plugin.Frozen{}, fmt.Errorf("freeze: %w", err)
	}
	server, after := parseFields(results[2].text), parseFields(results[3].text)
	if after.master() != plugin.FrozenAddress {
		return plugin.Frozen{}, fmt.Errorf("freeze: the server replicates from %q instead of %s", after.master(), plugin.FrozenAddress)
	}
	frozen := plugin.Frozen{
		RunID: server["run_id"], Position: after.position(), Keys: parseFields(results[4].text).keys(),
		SyncCutOff: parseFields(results[0].text).flag("master_sync_in_progress"),
	}
	for _, killed := range results[5:min(7, len(results))] {
		frozen.ClientsEnded += killed.count()
	}
	s.paused.Store(false)
	return frozen, nil
}

// open looks at the run id and opens on the same connection, which ends with the run: no other run is opened.
func (s *server) open(ctx context.Context, runID string) (plugin.Position, error) {
	turn, err := s.takeTurn(ctx)
	if err != nil {
		return plugin.Position{}, fmt.Errorf("open: %w", err)
	}
	defer turn.end()
	c, replies, err := s.ask(ctx, infoServer)
	if err != nil {
		return plugin.Position{}, fmt.Errorf("open: %w", err)
	}
	if err := replies[0].err(); err != nil {
		s.release(c)
		return plugin.Position{}, fmt.Errorf("open: read the run id: %w", err)
	}
	if found := parseFields(replies[0].text)["run_id"]; found == "" || found != runID {
		s.release(c)
		return plugin.Position{}, fmt.Errorf("open: %w: run %q, not %q", plugin.ErrOtherRun, found, runID)
	}
	defer s.ordering()()
	replies, err = turn.order(ctx, c, transaction(toOpen, infoReplication)...)
	if err != nil {
		return plugin.Position{}, fmt.Errorf("open: %w", err)
	}
	defer s.release(c)
	results, err := executed(replies)
	if err == nil {
		err = results[0].err()
	}
	if err != nil {
		return plugin.Position{}, fmt.Errorf("open: %w", err)
	}
	after := parseFields(results[1].text)
	if !after.open() {
		return plugin.Position{}, errors.New("open: the server is not a master after REPLICAOF NO ONE")
	}
	// The history under this replication id began where the one before it ended, at 0 if there is none. On a
	// server that was open already, master_repl_offset is past that.
	position := after.position()
	position.Offset = position.Offset2
	return position, nil
}

// follow looks at the server and attaches it on the same connection, which a freeze ends: nothing else that would
// move it comes between.
func (s *server) follow(ctx context.Context, runID string, at plugin.Position, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("follow %q: %w", address, err)
	}
	turn, err := s.takeTurn(ctx)
	if err != nil {
		return fmt.Errorf("follow %s: %w", address, err)
	}
	defer turn.end()
	c, replies, err := s.ask(ctx, infoServer, infoReplication, command{"CONFIG", "GET", "replica-announce-*"})
	if err != nil {
		return fmt.Errorf("follow %s: %w", address, err)
	}
	if err := stands(replies, runID, at); err != nil {
		s.release(c)
		return fmt.Errorf("follow %s: %w", address, err)
	}
	if settings := s.announce(replies[2]); len(settings) > 0 {
		replies, err := s.order(ctx, c, settings...)
		if err != nil {
			return fmt.Errorf("follow %s: %w", address, err)
		}
		for _, r := range replies {
			if err := r.err(); err != nil {
				s.logger.Warn("cannot set the address that the server announces to its master", "address", s.settings.Announce, "error", err)
			}
		}
	}
	defer s.ordering()()
	replies, err = turn.order(ctx, c, command{"REPLICAOF", host, port})
	if err != nil {
		return fmt.Errorf("follow %s: %w", address, err)
	}
	s.release(c)
	if err := replies[0].err(); err != nil {
		return fmt.Errorf("follow %s: %w", address, err)
	}
	return nil
}

// stands tells by INFO server and INFO replication whether a run is frozen at a position.
func stands(replies []reply, runID string, at plugin.Position) error {
	if err := errors.Join(replies[0].err(), replies[1].err()); err != nil {
		return fmt.Errorf("read where it stands: %w", err)
	}
	run, now := parseFields(replies[0].text)["run_id"], parseFields(replies[1].text)
	switch {
	case run == "" || run != runID:
		return fmt.Errorf("%w: run %q, not %q", plugin.ErrOtherRun, run, runID)
	case now.master() != plugin.FrozenAddress || now.position() != at:
		return fmt.Errorf("%w: it replicates from %q and stands at %+v, not at %+v", plugin.ErrMoved, now.master(), now.position(), at)
	}
	return nil
}

// announce is the commands that make the server announce what it should, none if it does. Unless it may be read
// it is set anyway.
func (s *server) announce(got reply) []command {
	host, port, err := net.SplitHostPort(s.settings.Announce)
	if err != nil {
		return nil
	}
	have := got.pairs()
	var commands []command
	if have["replica-announce-ip"] != host {
		commands = append(commands, command{"CONFIG", "SET", "replica-announce-ip", host})
	}
	if have["replica-announce-port"] != port {
		commands = append(commands, command{"CONFIG", "SET", "replica-announce-port", port})
	}
	return commands
}

// persist rewrites the configuration while the server is frozen for the length of one transaction. A freeze that
// comes between reading the role and going back to it ends the connection, and so the transaction.
func (s *server) persist(ctx context.Context) error {
	turn, err := s.takeTurn(ctx)
	if err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	defer turn.end()
	c, replies, err := s.ask(ctx, infoReplication)
	if err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	if err := replies[0].err(); err != nil {
		s.release(c)
		return fmt.Errorf("persist: read the role: %w", err)
	}
	before := parseFields(replies[0].text)
	back := toOpen
	if !before.open() {
		back = command{"REPLICAOF", before["master_host"], before["master_port"]}
	}
	defer s.ordering()()
	replies, err = turn.order(ctx, c, transaction(toFrozen, command{"CONFIG", "REWRITE"}, back)...)
	if err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	defer s.release(c)
	results, err := executed(replies)
	switch {
	case err == nil:
	case strings.HasPrefix(err.Error(), "ERR"), strings.HasPrefix(err.Error(), "NOPERM"):
		return fmt.Errorf("persist: %w: %w", plugin.ErrConfigNotWritable, err)
	default: // it is busy, or loads
		return fmt.Errorf("persist: %w", err)
	}
	if err := errors.Join(results[0].err(), results[2].err()); err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	if err := results[1].err(); err != nil {
		return fmt.Errorf("persist: %w: %w", plugin.ErrConfigNotWritable, err)
	}
	return nil
}

func (s *server) pause(ctx context.Context, length time.Duration) error {
	if length < time.Millisecond {
		return fmt.Errorf("pause: %v is less than a millisecond", length)
	}
	c, replies, err := s.ask(ctx, infoReplication)
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	replicas, within := parseFields(replies[0].text)["connected_slaves"], min(length/4, acknowledgeWithin)
	// WAIT asks the replicas for an acknowledgement at once, where they send one a second by themselves, but Redis does not
	// ask in a pause. So it comes first: replicas that keep up have what little comes in between when the reply to the
	// pause is here, because it is written to them before.
	replies, err = s.order(ctx, c, command{"WAIT", cmp.Or(replicas, "0"), strconv.FormatInt(max(1, within.Milliseconds()), 10)},
		command{"CLIENT", "PAUSE", strconv.FormatInt(length.Milliseconds(), 10), "WRITE"})
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	s.release(c)
	if err := errors.Join(replies[0].err(), replies[1].err()); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	s.paused.Store(true)
	if n, _ := strconv.Atoi(replicas); replies[0].count() < n {
		return fmt.Errorf("pause: %w: %d of %d have within %s", plugin.ErrLagging, replies[0].count(), n, within)
	}
	return nil
}

// acknowledgeWithin is how long replicas have to acknowledge what was written, before a pause. It takes about a
// millisecond where nothing is wrong.
const acknowledgeWithin = 100 * time.Millisecond

func (s *server) unpause(ctx context.Context) error {
	s.paused.Store(false)
	return s.simple(ctx, "unpause", command{"CLIENT", "UNPAUSE"})
}

func (s *server) endClients(ctx context.Context) (int, error) {
	c, replies, err := s.ask(ctx, killNormal, killPubSub)
	if err != nil {
		return 0, fmt.Errorf("end clients: %w", err)
	}
	s.release(c)
	ended := 0
	for _, r := range replies {
		if err := r.err(); err != nil {
			return ended, fmt.Errorf("end clients: %w", err)
		}
		ended += r.count()
	}
	return ended, nil
}

// minReplicas is the setting that makes a master refuse writes while fewer replicas are connected. A replica has it
// without effect.
const minReplicas = "min-replicas-to-write"

func (s *server) minReplicas(ctx context.Context) (int, error) {
	c, replies, err := s.ask(ctx, command{"CONFIG", "GET", minReplicas})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", minReplicas, err)
	}
	s.release(c)
	if err := replies[0].err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", minReplicas, err)
	}
	n, err := strconv.Atoi(replies[0].pairs()[minReplicas])
	if err != nil {
		return 0, fmt.Errorf("read %s: %w: the server does not have it", minReplicas, plugin.ErrUnsupported)
	}
	return n, nil
}

// simple is a command whose reply is OK or an error.
func (s *server) simple(ctx context.Context, order string, words command) error {
	c, replies, err := s.ask(ctx, words)
	if err != nil {
		return fmt.Errorf("%s: %w", order, err)
	}
	s.release(c)
	if err := replies[0].err(); err != nil {
		if strings.HasPrefix(err.Error(), "ERR unknown") || strings.HasPrefix(err.Error(), "ERR Unknown") {
			return fmt.Errorf("%s: %w: %w", order, plugin.ErrUnsupported, err)
		}
		return fmt.Errorf("%s: %w", order, err)
	}
	return nil
}
