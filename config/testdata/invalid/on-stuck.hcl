group "redis" {
  on_stuck = "shoot"
}
