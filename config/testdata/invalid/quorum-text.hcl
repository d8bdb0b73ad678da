group "redis" {
  quorum = "two"
}
