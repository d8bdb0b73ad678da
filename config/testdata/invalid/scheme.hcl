consul { scheme = "ftp" }
group "redis" { quorum = 2 }
