package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// Servers that speak nothing but TLS, and take nobody without a client certificate, are watched by the agents of other
// machines too, by the witness without one among them: who lives is not voted down, who hangs or ends is replaced.
func TestRedisOverTLS(t *testing.T) {
	const name = "redis.test"
	cert, key := selfSigned(t, name)
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	s, first := start(t, sandbox.Options{
		Nodes: 2, Witnesses: 1, GroupHCL: "down_after = \"1s\"\ncooldown = \"0s\"\n",
		NodeHCL: func(int) string {
			return fmt.Sprintf("tls {\n  ca_file = %[1]q\n  cert_file = %[1]q\n  key_file = %[2]q\n  server_name = %[3]q\n}\n", cert, key, name)
		},
		RedisConf: []string{"tls-cert-file " + cert, "tls-key-file " + key, "tls-ca-cert-file " + cert},
		RedisTLS:  &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}},
	})
	time.Sleep(3 * time.Second) // three times down_after
	now := steady(t, s, 1)
	if now.Record.Epoch != first.Record.Epoch {
		t.Fatalf("a master that lives was replaced: %+v", now.Record)
	}
	for agent, v := range now.Votes {
		if v.Verdict != "" {
			t.Errorf("%s votes on a master that lives: %+v", agent, v)
		}
	}
	counted(t, s)
	old := master(s, first)
	must(t, old.Stop())
	second := replaced(t, s, first)
	_ = old.Cont()
	if !old.Running() {
		must(t, old.Start())
	}
	steady(t, s, second.Record.Epoch)
	counted(t, s)
	must(t, master(s, second).Kill())
	replaced(t, s, second)
}

// selfSigned makes a certificate for a name, which is its own authority, and returns the paths of it and of its key.
func selfSigned(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, err)
	secret, err := x509.MarshalECPrivateKey(private)
	must(t, err)
	write := func(file, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), file)
		must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644))
		return path
	}
	return write("redis.pem", "CERTIFICATE", public), write("redis.key", "EC PRIVATE KEY", secret)
}
