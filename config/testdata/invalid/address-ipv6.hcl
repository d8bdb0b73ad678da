group "redis" { quorum = 2 }
node "redis-a" {
  group   = "redis"
  address = "fe80::1:6379"
}
