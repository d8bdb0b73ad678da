package plugin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	protobuf "google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/proto"
)

func TestErrorsCrossTheBoundary(t *testing.T) {
	for _, r := range reasons {
		err := errorFromStatus(errorToStatus(fmt.Errorf("freeze \"a\": %w: details", r.err)))
		if !errors.Is(err, r.err) {
			t.Errorf("%v became %v", r.err, err)
		}
		if want := "freeze \"a\": " + r.err.Error() + ": details"; err.Error() != want {
			t.Errorf("the words became %q", err)
		}
		for _, other := range reasons {
			if other.err != r.err && errors.Is(err, other.err) {
				t.Errorf("%v became %v as well", r.err, other.err)
			}
		}
	}
	for _, want := range []error{context.DeadlineExceeded, context.Canceled} {
		if err := errorFromStatus(errorToStatus(fmt.Errorf("ask: %w", want))); !errors.Is(err, want) {
			t.Errorf("%v became %v", want, err)
		}
	}
	if err := errorFromStatus(status.Error(codes.Unavailable, "connection closed")); !errors.Is(err, ErrDriverDown) {
		t.Errorf("unavailable became %v", err)
	}
	if err := errorFromStatus(errorToStatus(errors.New("plain"))); err == nil || err.Error() != "plain" {
		t.Errorf("plain became %v", err)
	}
	if errorToStatus(nil) != nil || errorFromStatus(nil) != nil {
		t.Error("no error became one")
	}
	if err := errorToStatus(errors.New("unknown command AUTH geheim"), "geheim"); strings.Contains(err.Error(), "geheim") {
		t.Errorf("the secret is in %v", err)
	}
}

// TestMessagesKeepEverything fills every field that there is with random values, those added later too.
func TestMessagesKeepEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		server := fill[Server](t)
		if back := serverFromProto(wire(t, serverToProto(server), &proto.Server{})); !reflect.DeepEqual(back, server) {
			t.Fatalf("server %+v became %+v", server, back)
		}
		o := fill[Observation](t)
		o.Link = rapid.SampledFrom([]Link{LinkUnknown, LinkUp, LinkGone, LinkSilent, LinkWaiting}).Draw(t, "link")
		if back := observationFromProto(wire(t, observationToProto(o), &proto.Observation{})); !reflect.DeepEqual(back, o) {
			t.Fatalf("observation %+v, %+v became %+v, %+v", o, o.Info, back, back.Info)
		}
	})
}

func wire[M protobuf.Message](t *rapid.T, m, into M) M {
	b, err := protobuf.Marshal(m)
	if err == nil {
		err = protobuf.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
	return into
}

func fill[T any](t *rapid.T) T {
	var v T
	fillValue(t, reflect.ValueOf(&v).Elem())
	return v
}

func fillValue(t *rapid.T, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		if seconds := rapid.Int64Range(0, math.MaxInt32).Draw(t, "time"); seconds > 0 {
			v.Set(reflect.ValueOf(time.Unix(seconds, 0)))
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fillValue(t, v.Field(i))
		}
	case v.Kind() == reflect.Pointer:
		if rapid.Bool().Draw(t, "present") {
			v.Set(reflect.New(v.Type().Elem()))
			fillValue(t, v.Elem())
		}
	case v.Kind() == reflect.Slice:
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			element := reflect.New(v.Type().Elem()).Elem()
			fillValue(t, element)
			v.Set(reflect.Append(v, element))
		}
	case v.Kind() == reflect.String:
		v.SetString(rapid.String().Draw(t, "string"))
	case v.Kind() == reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case v.CanInt():
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case v.CanFloat():
		v.SetFloat(rapid.Float64().Draw(t, "float"))
	default:
		t.Fatalf("cannot fill %v", v.Type())
	}
}

// FuzzBoundary decodes what the other side sent, turns it into Go and back: nothing may panic, and what came in
// once must come out the same ever after.
func FuzzBoundary(f *testing.F) {
	for _, m := range []protobuf.Message{
		serverToProto(Server{Name: "a", Password: "p\xff", TLS: &TLS{CAFile: "ca.pem"}, PingEvery: time.Second}),
		observationToProto(Observation{Server: "a", Link: LinkGone, Info: &Info{Replicas: []Replica{{Address: "a:1"}}, Fragmentation: math.NaN()}}),
		&proto.ErrorDetail{Reason: proto.Reason_REASON_OTHER_RUN},
	} {
		b, err := protobuf.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint32(codes.Aborted), "words \xff")
	}
	f.Fuzz(func(t *testing.T, b []byte, code uint32, words string) {
		var server proto.Server
		if protobuf.Unmarshal(b, &server) == nil {
			s := serverFromProto(&server)
			if again := serverFromProto(serverToProto(s)); !reflect.DeepEqual(again, s) {
				t.Fatalf("%#v became %#v", s, again)
			}
		}
		var observation proto.Observation
		if protobuf.Unmarshal(b, &observation) == nil {
			o := observationFromProto(&observation)
			one, two := observationToProto(o), observationToProto(observationFromProto(observationToProto(o)))
			if !protobuf.Equal(one, two) {
				t.Fatalf("%v became %v", one, two)
			}
		}
		// The detail of a status is whatever the other side says it is.
		var detail proto.ErrorDetail
		if protobuf.Unmarshal(b, &detail) == nil {
			if s, err := status.New(codes.Code(code), words).WithDetails(&detail); err == nil {
				_ = errorFromStatus(s.Err())
			}
		}
		if err := errorFromStatus(errorToStatus(errors.New(words))); err == nil {
			t.Fatal("an error became none")
		}
	})
}
