package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Agent is one agent of this project. Agents beyond the nodes are witnesses.
type Agent struct {
	*Process
	// ConfigFile is its configuration, to be changed for a test of SIGHUP.
	ConfigFile string
	// DataDir is its data_dir.
	DataDir string
	// Beside is the Consul server that it speaks to.
	Beside *Consul
}

func (s *Sandbox) startAgents() error {
	if s.options.Binary == "" {
		return nil
	}
	for i := range s.options.agents() {
		a, err := s.newAgent(i)
		if err != nil {
			return err
		}
		s.agents = append(s.agents, a)
		if s.options.ManualAgents {
			continue
		}
		if err := a.Start(); err != nil {
			return err
		}
	}
	if !s.options.ManualAgents {
		s.options.Say("%d agent(s) started", len(s.agents))
	}
	return nil
}

func (s *Sandbox) newAgent(i int) (*Agent, error) {
	name := fmt.Sprintf("agent-%d", i+1)
	dir := filepath.Join(s.Dir, name)
	a := &Agent{ConfigFile: filepath.Join(dir, "agent.hcl"), DataDir: filepath.Join(dir, "data"),
		Beside: s.consuls[i%len(s.consuls)]}
	if err := os.MkdirAll(a.DataDir, 0o755); err != nil {
		return nil, err
	}
	a.Process = newProcess(s.machine(i), name, dir, s.options.Binary, "agent", "-config", a.ConfigFile)
	a.env = environ(append([]string{"TMPDIR=" + s.tmp}, s.options.AgentEnv...)...)
	return a, os.WriteFile(a.ConfigFile, []byte(s.agentConfig(i, name, a)), 0o644)
}

func (s *Sandbox) agentConfig(i int, name string, a *Agent) string {
	o := &s.options
	group := o.GroupHCL
	if !strings.Contains(group, "quorum") {
		group = fmt.Sprintf("quorum = %d\n", o.agents()/2+1) + group
	}
	if !strings.Contains(group, "bootstrap_expect") && o.Nodes > 0 {
		group = fmt.Sprintf("bootstrap_expect = %d\n", o.Nodes) + group
	}
	var b strings.Builder
	block(&b, "agent", fmt.Sprintf("name = %q\ndata_dir = %q", name, a.DataDir), o.AgentHCL)
	block(&b, "consul", fmt.Sprintf("address = %q", a.Beside.HTTPAddr()), s.fallbacks(a), o.ConsulBlockHCL)
	block(&b, fmt.Sprintf("group %q", o.Group), group)
	if i < len(s.redises) {
		r := s.redises[i]
		more := ""
		if o.NodeHCL != nil {
			more = o.NodeHCL(i)
		}
		block(&b, fmt.Sprintf("node %q", r.Node), fmt.Sprintf("group = %q\naddress = %q", o.Group, r.Addr()), more)
	}
	if o.TopHCL != nil {
		b.WriteString(o.TopHCL(i) + "\n")
	}
	return b.String()
}

// fallbacks is the setting addresses, with the Consul servers of the other machines.
func (s *Sandbox) fallbacks(a *Agent) string {
	var others []string
	for _, c := range s.consuls {
		if c != a.Beside {
			others = append(others, strconv.Quote(c.HTTPAddr()))
		}
	}
	if !s.options.Fallbacks || len(others) == 0 {
		return ""
	}
	return fmt.Sprintf("addresses = [%s]", strings.Join(others, ", "))
}

// block writes an HCL block of these lines, indented as people do.
func block(b *strings.Builder, head string, parts ...string) {
	fmt.Fprintf(b, "%s {\n", head)
	for _, part := range parts {
		for line := range strings.Lines(part) {
			if line = strings.TrimSpace(line); line != "" {
				fmt.Fprintf(b, "  %s\n", line)
			}
		}
	}
	b.WriteString("}\n\n")
}
