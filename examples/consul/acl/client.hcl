# For who only looks up where Redis is: the "dns" token of every Consul agent, consul-template, applications.

service "redis" {
  policy = "read"
}
service "redis-replica" {
  policy = "read"
}
service "redis-master" {
  policy = "read"
}

# An answer holds the machine that a service runs on; without this it is left out. The master's machine is the external
# node "redis-master".
node_prefix "" {
  policy = "read"
}
