group "redis" { quorum = count }
