package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for agents on 127.0.0.1.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.write(t, "ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// of gives an agent's configuration a certificate.
func (a *authority) of(t *testing.T, c Config) Config {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: c.Agent}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, _ := x509.MarshalECPrivateKey(key)
	c.CAFile = filepath.Join(a.dir, "ca.pem")
	c.CertFile = a.write(t, c.Agent+".pem", "CERTIFICATE", der)
	c.KeyFile = a.write(t, c.Agent+".key", "EC PRIVATE KEY", private)
	return c
}

// With certificates both sides must have one of the same authority.
func TestTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	s := serve(t, ours.of(t, conf("b")))
	if a, err := client(t, ours.of(t, conf("a"))).Promise(soon(t), s.Addr(), "b", PromiseRequest{}); err != nil || !a.Given {
		t.Errorf("over TLS: %+v, %v", a, err)
	}
	for who, c := range map[string]Config{"another authority's agent": theirs.of(t, conf("a")), "one without TLS": conf("a")} {
		if a, err := client(t, c).Promise(soon(t), s.Addr(), "b", PromiseRequest{}); err == nil || a.Given {
			t.Errorf("%s was answered: %+v", who, a)
		}
	}
	bad := conf("a")
	bad.CAFile = filepath.Join(ours.dir, "a.key")
	if _, err := NewClient(bad); err == nil {
		t.Error("a file without a certificate was taken for an authority")
	}
}
