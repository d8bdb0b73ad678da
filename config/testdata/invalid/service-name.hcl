group "redis" {
  service = "my redis"
}
