group "redis" { quorum = 2 }
node "redis-a" {
  group   = "sessions"
  address = "10.0.0.1:6379"
}
