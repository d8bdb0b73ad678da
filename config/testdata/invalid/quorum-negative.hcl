group "redis" {
  quorum = -1
}
