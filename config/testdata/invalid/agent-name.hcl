agent { name = "a/b" }
group "redis" { quorum = 2 }
