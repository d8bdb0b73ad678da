group "redis" {}
