group "redis" { quorum = 2 }
driver "valkey" { command = ["/no/such/driver"] }
