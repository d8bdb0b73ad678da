package agent

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/peers"
)

const (
	// tellTimeout is how long another agent may take to hear something, before it is left to Consul to tell it. It takes a
	// millisecond or two.
	tellTimeout = 50 * time.Millisecond
	// voteTimeout is the same for a vote. On a machine that is busy with the death of fifty masters it is still better told late.
	voteTimeout = 150 * time.Millisecond
	// greetTimeout is how long the first connection to another agent may take. What is told meanwhile waits for it.
	greetTimeout = 250 * time.Millisecond
)

// greetEvery is how often other agents are told nothing, so that there is a connection when there is something to tell. A
// connection that carries nothing for ten minutes is ended by the other side.
const greetEvery = 5 * time.Minute

// news is what one agent tells another directly.
type news struct {
	Agent string         `json:"agent"`
	Vote  *failover.Vote `json:"vote,omitempty"`
	// Record is the index of the record, which the agent has written.
	Record uint64           `json:"record,omitempty"`
	Report *failover.Report `json:"report,omitempty"`
}

// tellVote tells every other agent, and waits for none: with this vote there may be a quorum.
func (g *group) tellVote(ctx context.Context, key string, a failover.TellVote) {
	g.view.NoteToldVote(a)
	agents := g.view.State.Agents
	g.do(ctx, key, func(ctx context.Context) func() {
		go g.tellAll(ctx, agents, a)
		return nil
	})
}

// tellAll tells all other agents a vote, and takes in that nobody could be told.
func (g *group) tellAll(life context.Context, agents map[string]failover.AgentInfo, a failover.TellVote) {
	ctx, cancel := context.WithTimeout(life, voteTimeout)
	defer cancel()
	var all sync.WaitGroup
	var reached atomic.Bool
	for name, info := range agents {
		if name == g.agent {
			continue
		}
		all.Go(func() {
			if err := g.tellAgent(ctx, name, info.Address, news{Vote: &a.Vote}); err != nil {
				g.log.Debug("cannot be told directly", "agent", name, "error", err)
				return
			}
			reached.Store(true)
		})
	}
	all.Wait()
	if !reached.Load() {
		g.tell(life, func() {
			g.view.Now = g.now()
			g.view.NoteUntold(a)
		})
	}
}

// watchFirst is how long an agent that was told of a record leaves it to its watch to bring it.
const watchFirst = 5 * time.Millisecond

// tellRecord tells the other agents that this one has written the record. With many groups the answer to a watch has the entries of
// all, and takes its time.
func (g *group) tellRecord(ctx context.Context) {
	index := g.wroteRecord
	if index == 0 {
		return
	}
	g.wroteRecord = 0
	for name, info := range g.view.State.Agents {
		if name != g.agent {
			go func() {
				ctx, cancel := context.WithTimeout(ctx, tellTimeout)
				defer cancel()
				_ = g.tellAgent(ctx, name, info.Address, news{Record: index}) // its watch brings it too
			}()
		}
	}
}

// hearRecord notes that another agent has written a record. A witness has nothing to do at once, and leaves it to its watch.
func (g *group) hearRecord(index uint64) {
	if len(g.nodes) > 0 && index > g.heardRecord {
		g.heardRecord, g.heardAt = index, g.now()
	}
}

// readTold reads a record that was told of, should the watch not have brought it, and returns when to look again.
func (g *group) readTold(ctx context.Context) (wake time.Duration) {
	due := g.heardAt + watchFirst
	switch now := g.view.Now; {
	case g.heardRecord <= g.view.State.RecordIndex, g.running[failover.Reread{}.Key()]:
	case now < due:
		return due
	default:
		g.heardRecord = 0
		g.start(ctx, failover.Reread{Why: "another agent has written the record"})
	}
	return math.MaxInt64
}

// greet sees to connections to the other agents, which all groups share.
func (g *group) greet(ctx context.Context) {
	for name, info := range g.view.State.Agents {
		if name != g.agent && g.peers.greets(name, info.Address, g.now()) {
			go func() {
				ctx, cancel := context.WithTimeout(ctx, greetTimeout)
				defer cancel()
				_ = g.tellAgent(ctx, name, info.Address, news{}) // it may not be there
			}()
		}
	}
}

// greeting is who was greeted, and where.
type greeting struct{ agent, address string }

// greets tells whether an agent is to be greeted, and notes that it is.
func (p *peerPort) greets(name, address string, now time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	who := greeting{name, address}
	if at, known := p.greeted[who]; p.client == nil || address == "" || known && now < at+greetEvery {
		return false
	}
	p.greeted[who] = now
	return true
}

// tellReport tells the leader what it waits for.
func (g *group) tellReport(ctx context.Context, key string, a failover.TellReport) {
	own, address := a.Leader == g.agent, g.view.State.Agents[a.Leader].Address
	g.do(ctx, key, func(ctx context.Context) func() {
		var err error
		if !own {
			ctx, cancel := context.WithTimeout(ctx, tellTimeout)
			defer cancel()
			err = g.tellAgent(ctx, a.Leader, address, news{Report: &a.Report})
		}
		if err != nil {
			g.log.Debug("cannot be told directly", "leader", a.Leader, "error", err)
		}
		return func() {
			g.view.Now = g.now()
			g.view.NoteToldReport(a, err != nil)
		}
	})
}

func (g *group) tellAgent(ctx context.Context, name, address string, n news) error {
	client := g.peers.reach()
	if client == nil || address == "" {
		return errors.New("there is no way to it but Consul")
	}
	n.Agent = g.agent
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return client.Tell(ctx, address, name, peers.News{Group: g.name, Body: body})
}

// Tell takes in what another agent tells directly.
func (p *peerPort) Tell(ctx context.Context, told peers.News) error {
	g := p.group(told.Group)
	if g == nil {
		return errors.New("it does not know group " + told.Group)
	}
	var n news
	if err := json.Unmarshal(told.Body, &n); err != nil {
		return err
	}
	g.tell(ctx, func() {
		g.view.Now = g.now()
		if n.Vote != nil {
			g.view.HearVote(n.Agent, *n.Vote)
		}
		if n.Report != nil {
			g.view.HearReport(*n.Report)
		}
		g.hearRecord(n.Record)
	})
	return ctx.Err()
}
