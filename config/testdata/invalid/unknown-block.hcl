grup "redis" {}
