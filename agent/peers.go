package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/peers"
)

// Peers reaches the agents of other machines. *peers.Client is the real one.
type Peers interface {
	Promise(ctx context.Context, address, agent string, r peers.PromiseRequest) (peers.PromiseAnswer, error)
	Frozen(ctx context.Context, address, agent string, n peers.FrozenNotice) error
	Tell(ctx context.Context, address, agent string, n peers.News) error
}

// peerPort is this agent's way to the others that needs no Consul.
type peerPort struct {
	agent  *agent
	mu     sync.Mutex
	client Peers
	// greeted is when each agent was last greeted.
	greeted map[greeting]time.Duration
}

// peersAgain is how long after a failure the port is tried to be opened again, or the key to be read.
const peersAgain = time.Second

// run opens the port, once the key is known, and answers until ctx ends.
func (p *peerPort) run(ctx context.Context) {
	if p.agent.parts.Peers != nil {
		p.use(p.agent.parts.Peers(p))
		return
	}
	var said string
	for ctx.Err() == nil {
		err := p.serve(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			p.agent.log.Warn("no promises can be asked for or given: this machine's masters freeze when Consul is away", "error", err)
		}
		sleep(ctx, peersAgain)
	}
}

func (p *peerPort) serve(ctx context.Context) error {
	key, err := p.key(ctx)
	if err != nil {
		return err
	}
	c := p.agent.cfg.Agent
	conf := peers.Config{Key: key, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, Agent: p.agent.name,
		Version: p.agent.version, Logger: p.agent.log.Named("peers")}
	client, err := peers.NewClient(conf)
	if err != nil {
		return err
	}
	defer client.Close()
	p.use(client)
	if c.Listen != "" && c.Listen != "off" {
		conf.Listen = c.Listen
		server, err := peers.Serve(ctx, conf, p)
		if err != nil {
			return err
		}
		defer server.Close()
	}
	<-ctx.Done()
	return nil
}

func (p *peerPort) use(client Peers) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client, p.greeted = client, map[greeting]time.Duration{}
}

// reach is the client, nil while there is none.
func (p *peerPort) reach() Peers {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

// key is the secret that all agents of the installation share. Consul has it; a copy in data_dir serves an agent that is
// started while Consul is away.
func (p *peerPort) key(ctx context.Context) ([]byte, error) {
	path := filepath.Join(p.agent.cfg.Agent.DataDir, "peers.key")
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	key, err := p.agent.parts.Consul.PeerKey(ctx)
	if err != nil {
		kept, rerr := os.ReadFile(path)
		if rerr != nil {
			return nil, fmt.Errorf("read the agents' key: %w", err)
		}
		return kept, nil
	}
	if err := replaceFile(path, key); err != nil {
		p.agent.log.Warn("cannot keep a copy of the agents' key", "error", err)
	}
	return key, nil
}

func (p *peerPort) group(name string) *group {
	for _, g := range p.agent.groups {
		if g.name == name {
			return g
		}
	}
	return nil
}

// Promise answers another agent's request on the goroutine of the group: what is promised holds from then on.
func (p *peerPort) Promise(ctx context.Context, r peers.PromiseRequest) peers.PromiseAnswer {
	g := p.group(r.Group)
	if g == nil {
		return peers.PromiseAnswer{Why: "it does not know group " + r.Group}
	}
	why, err := ask(ctx, g, func() string {
		if g.epochs.get(g.name) == 0 {
			return "its data_dir does not have the group yet: started again, it would not know of the promise"
		}
		g.view.Now = g.now()
		return g.view.GivePromise(r.Epoch, r.Master, r.RunID, r.For)
	})
	if err != nil {
		why = "it did not decide in time"
	}
	return peers.PromiseAnswer{Given: why == "", Why: why}
}

// View answers with what the agent makes of a group, for people who look for what is wrong.
func (p *peerPort) View(ctx context.Context, name string) ([]byte, error) {
	g := p.group(name)
	if g == nil {
		return nil, fmt.Errorf("no group %q here", name)
	}
	return ask(ctx, g, func() []byte {
		b, _ := json.Marshal(map[string]any{"said": g.said, "epoch": g.view.Highest})
		return b
	})
}

// Frozen takes in that a master has frozen for want of Consul: it does not serve, though it answers.
func (p *peerPort) Frozen(ctx context.Context, n peers.FrozenNotice) {
	g := p.group(n.Group)
	if g == nil {
		return
	}
	g.tell(ctx, func() { g.hearFrozen(n) })
}

func (g *group) hearFrozen(n peers.FrozenNotice) {
	if r := g.view.State.Record; r != nil && r.Master == n.Node && r.RunID == n.RunID && r.Epoch == n.Epoch {
		g.log.Warn("the master froze without Consul", "node", n.Node, "why", n.Why)
		g.told, g.toldAt = n, g.now()
	}
}

// askPromises asks all agents at once; what all have given extends the lease from before they were asked.
func (g *group) askPromises(ctx context.Context, key string, a failover.AskPromises) {
	client := g.peers.reach()
	if client == nil && len(a.Agents) > 0 {
		return
	}
	begun := g.now()
	agents := g.view.State.Agents
	g.do(ctx, key, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, a.For/4)
		defer cancel()
		refusals := make(chan string, len(a.Agents))
		for _, name := range a.Agents {
			go func() {
				answer, err := client.Promise(ctx, agents[name].Address, name, peers.PromiseRequest{Group: g.name,
					Epoch: a.Epoch, Master: a.Node, RunID: a.RunID, For: a.For})
				switch {
				case err != nil:
					refusals <- fmt.Sprintf("%s cannot be asked: %v", name, err)
				case !answer.Given:
					refusals <- fmt.Sprintf("%s refuses: %s", name, answer.Why)
				default:
					refusals <- ""
				}
			}()
		}
		why := ""
		for range a.Agents {
			why = max(why, <-refusals)
		}
		if why != "" {
			sleep(ctx, a.For/8) // who refuses does so for a while
		}
		return func() {
			if why != "" {
				if why != g.refused {
					g.log.Warn("Consul does not answer, and the master may not stay open without it", "node", a.Node, "why", why)
				}
				g.refused = why
				return
			}
			if g.view.Lease.Extended == 0 || g.refused != "" {
				g.log.Warn("Consul does not answer; the master stays open by the promise of the other agents", "node", a.Node, "agents", a.Agents)
			}
			g.refused = ""
			g.view.Now = g.now()
			g.view.Extend(a, begun)
		}
	})
}

// tellFrozen tells whomever it reaches that the group's master has frozen for want of Consul, so that they need not wait
// until they notice.
func (g *group) tellFrozen(ctx context.Context, n *node, why string) {
	client := g.peers.reach()
	r := g.view.State.Record
	if client == nil || r == nil {
		return
	}
	notice := peers.FrozenNotice{Group: g.name, Node: n.name, RunID: n.info.RunID, Epoch: r.Epoch,
		ReplID: n.info.Position.ReplID, Offset: n.info.Position.Offset, Why: why}
	for name, info := range g.view.State.Agents {
		if name == g.agent || info.Address == "" {
			continue
		}
		go func() {
			ctx, cancel := context.WithTimeout(ctx, orderTimeout)
			defer cancel()
			_ = client.Frozen(ctx, info.Address, name, notice) // nobody waits for it
		}()
	}
}
