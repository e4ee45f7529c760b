package nodes_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"scamtrace/functions"
	"scamtrace/functions/nodes"
	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
)

func TestEndpoints(t *testing.T) {
	e, err := nodes.ParseEndpoints("https://one.example/a=b", "bsc=http://two.example/key=x")
	if err != nil || !slices.Equal(e.Names(), []string{"bsc", "ethereum"}) {
		t.Fatalf("nodes.ParseEndpoints knows %q, %v", e.Names(), err)
	}
	for _, bad := range []string{"", "two.example", "bsc=two.example", "ws://two.example", "=http://two.example"} {
		if _, err := nodes.ParseEndpoints(bad); err == nil {
			t.Errorf("nodes.ParseEndpoints(%q) is no error", bad)
		}
	}
	if _, err := e.Open(t.Context(), tracer.Chain{Name: "polygon"}, nil, nil); err == nil || !strings.Contains(err.Error(), "no node of the chain polygon") {
		t.Errorf("Open of a chain without a node says %v", err)
	}
}

// TestPrivate: without a setting, endpoints are read from the bucket.
func TestPrivate(t *testing.T) {
	dir, err := graphstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	e, err := nodes.ParseEndpoints()
	if err != nil {
		t.Fatal(err)
	}
	e.Bucket = dir
	chain, err := tracer.ChainNamed("bsc")
	if err != nil {
		t.Fatal(err)
	}
	chain.Name = "324" // many have no other name
	if _, err := e.Open(t.Context(), chain, nil, nil); err == nil || !strings.Contains(err.Error(), "no node of the chain 324") {
		t.Errorf("without endpoints Open says %v", err)
	}
	if _, err := dir.Create(t.Context(), "private/rpc.json", []byte(`{"324": "http://127.0.0.1:9/SECRETKEY"}`)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Open(ctx, chain, nil, nil); err == nil || strings.Contains(err.Error(), "no node") || strings.Contains(err.Error(), "SECRETKEY") {
		t.Errorf("with a node that is not there Open says %v", err)
	}
}

// TestSetting: a bad endpoint is reported, and not repeated: it may hold a key.
func TestSetting(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	env := map[string]string{"SCAMTRACE_DATA": "s3://bucket", "SCAMTRACE_RPC": "ethereum=SECRETKEY"}
	lookup := func(key string) (string, bool) { v, ok := env[key]; return v, ok }
	if _, err := functions.Open(t.Context(), lookup, nodes.WithChains); err == nil || !strings.Contains(err.Error(), "SCAMTRACE_RPC") || strings.Contains(err.Error(), "SECRETKEY") {
		t.Errorf("Open says %v", err)
	}
	env["SCAMTRACE_RPC"] = "https://one.example/k, bsc=https://two.example/k"
	if a, err := functions.Open(t.Context(), lookup, nodes.WithChains); err != nil || a.Open == nil {
		t.Errorf("Open says %v", err)
	}
}

// TestRemembered: what is learnt of endpoints is in the bucket, by host, and the
// next process asks less.
func TestRemembered(t *testing.T) {
	dir, err := graphstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	node := devnet.NewNode(devnet.Generate(devnet.Config{Days: 3, Transfers: 500, Victims: 1, Syndicates: 1, Noise: 20}), devnet.NodeOptions{})
	srv := httptest.NewServer(node)
	defer srv.Close()
	var asked []int
	for range 2 {
		e, err := nodes.ParseEndpoints("devnet=" + srv.URL + "/SECRETKEY,devnet=archive=" + srv.URL + "/SECRETKEY")
		if err != nil {
			t.Fatal(err)
		}
		e.Bucket = dir
		if len(asked) == 0 { // what is on this machine is not written down
			if _, err := e.Open(t.Context(), devnet.Chain(), nil, nil); err != nil {
				t.Fatal(err)
			}
			if data, _, err := dir.Get(t.Context(), "private/endpoints.json"); err == nil {
				t.Errorf("of nodes on this machine the bucket has %s", data)
			}
			if e, err = nodes.ParseEndpoints("devnet="+srv.URL+"/SECRETKEY", "devnet=archive="+srv.URL+"/SECRETKEY"); err != nil {
				t.Fatal(err)
			}
			e.Bucket = dir
		}
		e.KeepAll()
		before := node.Requests()
		if _, err := e.Open(t.Context(), devnet.Chain(), nil, nil); err != nil {
			t.Fatal(err)
		}
		asked = append(asked, node.Requests()-before)
	}
	data, _, err := dir.Get(t.Context(), "private/endpoints.json")
	if err != nil || strings.Contains(string(data), "SECRETKEY") || !strings.Contains(string(data), "/127.0.0.1#") {
		t.Errorf("the bucket has %s, %v", data, err)
	}
	if asked[1] >= asked[0] {
		t.Errorf("the second process made %d requests, the first %d", asked[1], asked[0])
	}
}
