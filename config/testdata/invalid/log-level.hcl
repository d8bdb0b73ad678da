agent { log_level = "loud" }
group "redis" { quorum = 2 }
