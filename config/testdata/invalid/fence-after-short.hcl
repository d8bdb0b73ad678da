group "redis" {
  fence_after = "50ms"
}
