group "redis" { quorum = 2 }
driver "valkey" {
  command = ["/bin/true"]
  sha256  = "abc"
}
