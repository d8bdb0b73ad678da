consul {
  token      = "secret"
  token_file = "testdata/secret"
}
group "redis" { quorum = 2 }
