group "redis" {
  down_after = "5"
}
