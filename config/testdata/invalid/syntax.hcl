group "redis" {
