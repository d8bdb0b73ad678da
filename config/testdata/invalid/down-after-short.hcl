group "redis" {
  down_after = "10ms"
}
