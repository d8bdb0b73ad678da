group "redis" { quorum = 2 }
driver "valkey" { command = ["driver"] }
