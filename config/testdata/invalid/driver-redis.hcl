group "redis" { quorum = 2 }
driver "redis" { command = ["/bin/true"] }
