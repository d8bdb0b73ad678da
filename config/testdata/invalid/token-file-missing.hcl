consul { token_file = "testdata/none" }
group "redis" { quorum = 2 }
