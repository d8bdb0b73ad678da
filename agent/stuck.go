package agent

import "time"

// locate finds the server's process, and whether the agent's user may end it.
func (n *node) locate(pid int, ranFor time.Duration) {
	n.proc = n.find(pid, ranFor)
	n.forbidden = n.mayKill()
}

func (n *node) mayKill() error {
	if p, ok := n.proc.(interface{ MayKill() error }); ok {
		return p.MayKill()
	}
	return nil
}

// permitted says why the agent's user may not end the process. A refusal is asked for again each time: what rests on it is
// grave, and rights can be given.
func (n *node) permitted() error {
	if n.forbidden != nil {
		n.forbidden = n.mayKill()
	}
	return n.forbidden
}

// onStuck is what is done with the server when it does not confirm that it is frozen, for its metadata: "kill", "leave", or
// why it cannot be killed.
func (n *node) onStuck() string {
	switch {
	case !n.killable:
		return "leave"
	case n.info.RunID != "" && n.proc == nil:
		return "cannot kill: its process is not known on this machine"
	case n.forbidden != nil:
		return "cannot kill: " + n.forbidden.Error()
	}
	return "kill"
}
