agent {}
agent {}
group "redis" { quorum = 2 }
