package catalog

import "strconv"

// keys names the KV entries of one group.
type keys struct{ root string }

func (c *Catalog) keys(group string) keys { return keys{c.prefix + group + "/"} }

const (
	keyRecord   = "record"
	keyLeader   = "leader"
	keySettings = "settings"
	keyOrder    = "order"
	dirVotes    = "votes/"
	dirNodes    = "nodes/"
	dirAgents   = "agents/"
	dirHistory  = "history/"
	dirRescued  = "rescued/"
)

func (k keys) record() string            { return k.root + keyRecord }
func (k keys) leader() string            { return k.root + keyLeader }
func (k keys) settings() string          { return k.root + keySettings }
func (k keys) order() string             { return k.root + keyOrder }
func (k keys) vote(agent string) string  { return k.root + dirVotes + agent }
func (k keys) node(node string) string   { return k.root + dirNodes + node }
func (k keys) agent(agent string) string { return k.root + dirAgents + agent }
func (k keys) history(epoch uint64) string {
	return k.root + dirHistory + strconv.FormatUint(epoch, 10)
}
func (k keys) rescues(epoch uint64) string {
	return k.root + dirRescued + strconv.FormatUint(epoch, 10) + "/"
}
func (k keys) histories() string { return k.root + dirHistory }
