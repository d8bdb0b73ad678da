# What is not allowed is forbidden. For every Consul agent, in /etc/consul.d/.

acl {
  enabled        = true
  default_policy = "deny"

  # Tokens given with "consul acl set-agent-token" outlive a restart.
  enable_token_persistence = true
}
