package cli

import (
	"context"
	"fmt"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/demo"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

const (
	// devStartLimit bounds the start of a sandbox; it takes some seconds on a free machine.
	devStartLimit = 2 * time.Minute
	// devRestartAfter is how long something that was killed stays dead: long enough to look around.
	devRestartAfter = 15 * time.Second
)

func (c *CLI) devCommand() *cobra.Command {
	var scripted bool
	o := sandbox.Options{Consuls: 3, Nodes: 3}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a small installation on this machine to play with; with -demo, show a failover and end",
		Long: `Run Consul servers, Redis servers and agents on loopback addresses until Ctrl-C, and say how to look at them and how to
break them. Everything is kept in a temporary folder that is removed at the end. It needs consul and redis-server.

With -demo a failover is played through instead: the exit code is 0 if DNS named the new master, clients
wrote to it, and the old one came back as a replica.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Consuls < 1 || o.Nodes < 1 || o.Consuls > 250 || o.Nodes > 250 {
				return usagef(cmd, "-consuls and -nodes want a number from 1 to 250")
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program, which runs as the agents: %w", err)
			}
			o.Binary = self
			if scripted {
				return demo.Run(cmd.Context(), demo.Options{Sandbox: o, Out: c.Stdout})
			}
			return c.dev(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&scripted, "demo", false, "play a failover through and end")
	cmd.Flags().IntVar(&o.Consuls, "consuls", o.Consuls, "how many Consul servers")
	cmd.Flags().IntVar(&o.Nodes, "nodes", o.Nodes, "how many Redis servers, each with an agent")
	return cmd
}

// dev runs a sandbox until ctx ends.
func (c *CLI) dev(ctx context.Context, o sandbox.Options) (err error) {
	o.Net = "127.0.0"
	o.Say = func(format string, args ...any) { fmt.Fprintf(c.Stdout, format+"\n", args...) }
	starting, cancel := context.WithTimeout(ctx, devStartLimit)
	defer cancel()
	s, err := sandbox.Start(starting, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var parts sync.WaitGroup
	defer func() {
		parts.Wait()
		fmt.Fprintln(c.Stdout, "\nEnding everything.")
		if closed := s.Close(); err == nil {
			err = closed
		}
	}()
	state, err := s.WaitSteady(starting, 1)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%w\n%s", err, s.AgentLogs())
	}
	c.explain(s, state)

	say := c.sayer()
	for _, p := range processesOf(s) {
		parts.Go(func() { supervise(ctx, p, say) })
	}
	parts.Go(func() { c.followMaster(ctx, s, state.Record.Epoch, say) })
	<-ctx.Done()
	return nil
}

// sayer prints one line with the time of day; it may be called from several goroutines.
func (c *CLI) sayer() func(string, ...any) {
	var mu sync.Mutex
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(c.Stdout, "%s  %s\n", time.Now().Format(clock), fmt.Sprintf(format, args...))
	}
}

func processesOf(s *sandbox.Sandbox) []*sandbox.Process {
	var all []*sandbox.Process
	for _, p := range s.Consuls() {
		all = append(all, p.Process)
	}
	for _, p := range s.Redises() {
		all = append(all, p.Process)
	}
	for _, p := range s.Agents() {
		all = append(all, p.Process)
	}
	return all
}

// supervise starts a process again some time after it has ended, as an init system would.
func supervise(ctx context.Context, p *sandbox.Process, say func(string, ...any)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.Done():
		}
		say("%s has ended; it is started again in %v", p.Name, devRestartAfter)
		select {
		case <-ctx.Done():
			return
		case <-time.After(devRestartAfter):
		}
		if err := p.Start(); err != nil {
			say("%v", err)
			return
		}
		say("%s runs again as process %d", p.Name, p.PID())
	}
}

// followMaster tells each change of the record.
func (c *CLI) followMaster(ctx context.Context, s *sandbox.Sandbox, epoch uint64, say func(string, ...any)) {
	k, err := s.Catalog(0)
	if err != nil {
		say("cannot follow the group: %v", err)
		return
	}
	phase := failover.Steady
	k.WatchGroup(ctx, s.Group(), func(state failover.State) {
		r := state.Record
		if r == nil || r.Epoch == epoch && r.Phase == phase {
			return
		}
		epoch, phase = r.Epoch, r.Phase
		if phase == failover.Electing {
			say("no master: the one after %s is being elected (%s)", r.Master, r.Election.Cause)
			return
		}
		say("%s at %s is master of epoch %d", r.Master, r.Address, r.Epoch)
	})
}

// explain says how to look at the sandbox, and how to break it.
func (c *CLI) explain(s *sandbox.Sandbox, state failover.State) {
	first := s.Consul(0)
	dig := fmt.Sprintf("dig +short @%s -p %d", first.IP, first.DNSPort)
	w := tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
	row := func(cells ...any) {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	row("\nEverything runs until Ctrl-C. The master is " + state.Record.Master + ".\n")
	row("Consul UI", "http://"+first.HTTPAddr()+"/ui")
	row("DNS", dig+" "+s.MasterName()+" SRV")
	row("", dig+" "+s.ReplicaName()+" SRV")
	row("Status", fmt.Sprintf("%s watch -http-addr %s", os.Args[0], first.HTTPAddr()))
	row("")
	row("PART", "PROCESS", "ADDRESS", "LOG")
	for _, p := range s.Consuls() {
		row(p.Name, p.PID(), p.HTTPAddr(), p.LogFile)
	}
	for _, p := range s.Redises() {
		row(p.Name, p.PID(), p.Addr(), p.LogFile)
	}
	for _, p := range s.Agents() {
		row(p.Name, p.PID(), "", p.LogFile)
	}
	row("")
	if master := s.RedisOf(state.Record.Master); master != nil {
		row("Break it", fmt.Sprintf("kill -9 %d", master.PID()), "the master dies")
		row("", fmt.Sprintf("kill -STOP %d", master.PID()), "the master hangs (kill -CONT lets it go on)")
	}
	row("", fmt.Sprintf("kill -9 %d", s.Agent(0).PID()), "an agent dies: nothing moves")
	row("", fmt.Sprintf("kill -9 %d", first.PID()), "a Consul server dies")
	row("", fmt.Sprintf("%s switchover -http-addr %s %s", os.Args[0], first.HTTPAddr(), s.Group()), "a planned change")
	row(fmt.Sprintf("\nWhat is killed is started again after %v.\n", devRestartAfter))
	_ = w.Flush()
}
