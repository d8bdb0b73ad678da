group "redis" {
  qourum = 2
}
