group "redis" {
  tags = "one"
}
