# The token for the command line: status, watch, history, failover, switchover, pause. To look only, leave out the two
# keys that may be written.

# "list" is reading; it also does where acl.enable_key_list_policy is set.
key_prefix "redis-sentinel/" {
  policy = "list"
}
key_prefix "redis-sentinel-history/" {
  policy = "list"
}

# Orders, and the settings that all agents share, of the group "redis".
key "redis-sentinel/redis/order" {
  policy = "write"
}
key "redis-sentinel/redis/settings" {
  policy = "write"
}

# The checks that status shows.
service "redis" {
  policy = "read"
}
service "redis-replica" {
  policy = "read"
}
service "redis-master" {
  policy = "read"
}
service "redis-sentinel" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
