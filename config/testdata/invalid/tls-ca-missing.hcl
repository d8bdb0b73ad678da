group "redis" { quorum = 2 }
node "redis-a" {
  group   = "redis"
  address = "10.0.0.1:6379"
  tls { ca_file = "testdata/none" }
}
