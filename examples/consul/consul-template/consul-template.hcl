# consul-template -config /etc/consul-template/consul-template.hcl
# With ACLs, the token of acl/client.hcl comes in the environment as CONSUL_HTTP_TOKEN.

consul {
  address = "127.0.0.1:8500"
}

log_level = "warn"

template {
  source      = "/etc/consul-template/haproxy.cfg.ctmpl"
  destination = "/etc/haproxy/haproxy.cfg"
  command     = ["systemctl reload haproxy"]

  # A failover changes master and replicas within some milliseconds of each other: one reload for both.
  wait {
    min = "20ms"
    max = "200ms"
  }
}

template {
  source      = "/etc/consul-template/app.env.ctmpl"
  destination = "/etc/app/redis.env"
  perms       = 0640
  command     = ["systemctl try-restart app"]
}
