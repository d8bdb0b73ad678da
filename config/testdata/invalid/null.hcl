group "redis" { quorum = null }
