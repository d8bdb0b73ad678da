# Settings for every Consul agent, servers and clients alike, beside those that you have: put this file into
# /etc/consul.d/.

dns_config {
  # Nothing may keep an answer: a name follows its master within milliseconds. These are Consul's defaults, written
  # down so that nobody "optimises" them away.
  node_ttl = "0s"
  service_ttl {
    "*" = "0s"
  }
  soa {
    # For how long "there is no master just now" may be kept.
    min_ttl = 0
  }

  # Every server answers from its own copy, so names are answered while Consul has no leader, for max_stale: a copy may be
  # no older than that; Consul's default is 10 years, with which a server that is cut off names the old master for ever.
  allow_stale = true
  max_stale   = "5s"

  # A check that warns (memory is at 80 %, say) must not take a server out of DNS; one that is critical does so in
  # either case.
  only_passing = false
}

# What a check says is pushed with every change of its status, but a mere change of its text only this often. With the
# default of 5 minutes the Consul UI shows old numbers, and `status` what the agents waited for before.
check_update_interval = "10s"

# Consul elects a new leader in about 3 s instead of up to 15. Without one, a master stays open only while the agents of all
# members answer each other on port 8799; if they may not, choose a fence_after that is longer than such an election.
performance {
  raft_multiplier = 1
}

# A restart of Consul is no farewell: leaving would end the session of the agent beside it, with its votes and its lock.
leave_on_terminate      = false
skip_leave_on_interrupt = true

ui_config {
  enabled = true
}
