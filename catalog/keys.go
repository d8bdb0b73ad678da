package catalog

import (
	"strconv"
	"strings"
)

// keys names the KV entries of one group: those below root, which every agent is sent whenever one of them changes, and those
// below past, which are read by whoever asks for them.
type keys struct{ root, past string }

func (c *Catalog) keys(group string) keys {
	return keys{root: c.prefix + group + "/", past: strings.TrimSuffix(c.prefix, "/") + historySuffix + group + "/"}
}

// historySuffix follows the prefix in the keys of history, which would be sent with every change of a group if it lay below it.
const historySuffix = "-history/"

const (
	keyRecord   = "record"
	keyLeader   = "leader"
	keySettings = "settings"
	keyOrder    = "order"
	dirVotes    = "votes/"
	dirNodes    = "nodes/"
	dirAgents   = "agents/"
	dirRescued  = "rescued/"
)

func (k keys) record() string              { return k.root + keyRecord }
func (k keys) leader() string              { return k.root + keyLeader }
func (k keys) settings() string            { return k.root + keySettings }
func (k keys) order() string               { return k.root + keyOrder }
func (k keys) vote(agent string) string    { return k.root + dirVotes + agent }
func (k keys) node(node string) string     { return k.root + dirNodes + node }
func (k keys) agent(agent string) string   { return k.root + dirAgents + agent }
func (k keys) history(epoch uint64) string { return k.past + strconv.FormatUint(epoch, 10) }

// rescues holds what was saved because of the change of master of an epoch, an entry for each node.
func (k keys) rescues(epoch uint64) string { return k.history(epoch) + "/" + dirRescued }
