consul { kv_prefix = "/redis" }
group "redis" { quorum = 2 }
