// Command consul-redis-sentinel runs Redis failover on HashiCorp Consul. See docs/cli.md.
package main

import (
	"context"
	"os"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/cli"
)

// Stamped by the Makefile with -ldflags -X.
var (
	version = "0.1.0-dev"
	commit  string
	date    string
)

func main() {
	c := cli.CLI{
		Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
		Build: cli.Build{Version: version, Commit: commit, Date: date},
	}
	os.Exit(int(c.Run(context.Background(), os.Args[1:])))
}
