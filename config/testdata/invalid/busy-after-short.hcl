group "redis" {
  down_after = "20s"
}
