group "Redis_1" {}
