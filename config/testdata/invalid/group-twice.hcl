group "redis" { quorum = 2 }
group "redis" { quorum = 2 }
