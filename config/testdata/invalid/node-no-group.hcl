group "redis" { quorum = 2 }
node "redis-a" {
  address = "10.0.0.1:6379"
}
