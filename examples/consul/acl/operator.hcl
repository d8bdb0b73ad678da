# The token for the command line: status, watch, history, failover, switchover, bootstrap, pause, resume, settings, rescue record.
# To look only, leave out the two keys that may be written. "forget" needs the right to write all of redis-sentinel/redis/, and
# "drain" to write the services.
#
# Whoever reads this prefix reads the key that agents sign their messages with: a token for operators, or have agents use TLS.

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
