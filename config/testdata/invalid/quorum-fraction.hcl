group "redis" {
  quorum = 1.5
}
