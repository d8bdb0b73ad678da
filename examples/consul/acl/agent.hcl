# The token of a consul-redis-sentinel agent, for the group "redis" on the machine "machine-1". Put the name of the
# Consul node in its place, and repeat the services for each group: those of a group "sessions" are "sessions",
# "sessions-replica" and "sessions-master", and its external node is "sessions-master".

# The record, the lock, votes, reports, settings. They are read as a whole: a part of it will not do.
key_prefix "redis-sentinel/" {
  policy = "write"
}

# The history of the changes of master.
key_prefix "redis-sentinel-history/" {
  policy = "write"
}

# The nodes on this machine, with the role as a tag.
service "redis" {
  policy = "write"
}

# The same nodes while they are fit to be read from.
service "redis-replica" {
  policy = "write"
}

# The name of the master, on the external node of the same name. Whichever agent leads a failover moves it.
service "redis-master" {
  policy = "write"
}
node "redis-master" {
  policy = "write"
}

# The agent itself, with the check that its session is bound to.
service "redis-sentinel" {
  policy = "write"
}

# Its session: votes and lock.
session "machine-1" {
  policy = "write"
}

# It asks the Consul agent beside it for its name.
agent "machine-1" {
  policy = "read"
}

# Nobody else may still bear the tag "master" when it takes it: it must see the nodes on all machines.
node_prefix "" {
  policy = "read"
}
