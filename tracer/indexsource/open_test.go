package indexsource_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/indexsource"
)

func named(t *testing.T, name string) tracer.Chain {
	t.Helper()
	c, err := tracer.ChainNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		names string
		env   map[string]string
		want  []indexsource.Index
		err   string
	}{
		{"none", nil, nil, ""},
		{"sqd", nil, []indexsource.Index{{Name: "sqd"}}, ""},
		{"alchemy,sqd", map[string]string{"SCAMTRACE_ALCHEMY_KEY": "k", "SCAMTRACE_SQD_URL": "http://x", "SCAMTRACE_SQD_RATE": "2.5"},
			[]indexsource.Index{{Name: "alchemy", Key: "k"}, {Name: "sqd", URL: "http://x", Rate: 2.5}}, ""},
		{"none,sqd", nil, nil, "none is no indexer"},
		{"sqd,sqd", nil, nil, "sqd is named twice"},
		{"google", nil, nil, `"google" is not an indexer; choose from sqd, etherscan, blockscout, alchemy, trongrid, or none`},
		{"sqd", map[string]string{"SCAMTRACE_SQD_RATE": "NaN"}, nil, "SCAMTRACE_SQD_RATE: write how many requests in a second"},
	} {
		got, err := indexsource.Choose(strings.Split(tt.names, ","), func(key string) (string, bool) { v, ok := tt.env[key]; return v, ok })
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.err == "") || err != nil && (!errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("Choose(%s) = %v, %v, want %v, %s", tt.names, got, err, tt.want, tt.err)
		}
	}
}

func TestDefault(t *testing.T) {
	find := func(_ context.Context, _, host string) ([]netip.Addr, error) {
		public := netip.MustParseAddr("1.2.3.4")
		switch host {
		case "node.example":
			return []netip.Addr{public}, nil
		case "inside.example":
			return []netip.Addr{public, netip.MustParseAddr("::ffff:10.1.2.3")}, nil
		}
		return nil, errors.New("no such host")
	}
	for _, tt := range []struct {
		chain tracer.Chain
		node  string
		want  string
	}{
		{named(t, "ethereum"), "https://node.example/key", "sqd"},
		{named(t, "base"), "https://1.2.3.4:8545", "sqd"},
		{named(t, "ethereum"), "http://127.0.0.1:8545", ""},
		{named(t, "ethereum"), "http://[::1]:8545", ""},
		{named(t, "ethereum"), "http://[::ffff:127.0.0.1]:8545", ""},
		{named(t, "ethereum"), "http://localhost:8545", ""},
		{named(t, "ethereum"), "http://LOCALHOST.:8545", ""},
		{named(t, "ethereum"), "http://node.localhost", ""},
		{named(t, "ethereum"), "http://anvil:8545", ""},
		{named(t, "ethereum"), "http://192.168.1.7:8545", ""},
		{named(t, "ethereum"), "http://10.0.0.7", ""},
		{named(t, "ethereum"), "http://0.0.0.0:8545", ""},
		{named(t, "ethereum"), "http://node.internal", ""},
		{named(t, "ethereum"), "http://127.1:8545", ""},
		{named(t, "ethereum"), "http://0x7f.0.0.0x1", ""},
		{named(t, "ethereum"), "http://2130706433", ""},
		{named(t, "ethereum"), "http://100.64.0.1", ""},
		{named(t, "ethereum"), "http://[fe80::1%25eth0]", ""},
		{named(t, "ethereum"), "https://inside.example", ""},
		{named(t, "ethereum"), "https://unknown.example", ""},
		{named(t, "tron"), "https://node.example", ""},
		{devnet.Chain(), "https://node.example", ""},
	} {
		if got := strings.Join(indexsource.ByDefault(t.Context(), find, tt.chain, tt.node), ","); got != tt.want {
			t.Errorf("at %s on %s the default is %q, want %q", tt.node, tt.chain.Name, got, tt.want)
		}
	}
	if got := indexsource.ByDefault(t.Context(), find, named(t, "ethereum"), "https://node.example", "http://localhost"); got != nil {
		t.Errorf("with one of two nodes on this machine the default is %q", got)
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		index indexsource.Index
		chain string
		err   string
	}{
		{indexsource.Index{Name: "sqd"}, "ethereum", ""},
		{indexsource.Index{Name: "sqd"}, "tron", "SQD Portal does not have Tron; leave it out, or name an endpoint that has in SCAMTRACE_SQD_URL"},
		{indexsource.Index{Name: "sqd"}, "100", "SQD Portal does not have"},
		{indexsource.Index{Name: "sqd", URL: "https://x.example"}, "100", ""},
		{indexsource.Index{Name: "etherscan"}, "ethereum", "Etherscan needs a key; set SCAMTRACE_ETHERSCAN_KEY in the environment, or leave it out"},
		{indexsource.Index{Name: "etherscan", Key: "k"}, "ethereum", ""},
		{indexsource.Index{Name: "etherscan", Key: "k"}, "tron", "Etherscan does not have Tron"},
		{indexsource.Index{Name: "blockscout"}, "base", "Blockscout needs a key"},
		{indexsource.Index{Name: "blockscout", URL: "https://eth.blockscout.com/api"}, "ethereum", ""},
		{indexsource.Index{Name: "alchemy"}, "ethereum", "Alchemy needs a key"},
		{indexsource.Index{Name: "trongrid"}, "tron", ""},
		{indexsource.Index{Name: "trongrid"}, "ethereum", "TronGrid does not have Ethereum"},
	} {
		err := tt.index.Check(named(t, tt.chain))
		if (err == nil) != (tt.err == "") || err != nil && (!errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%+v on %s: %v, want %q", tt.index, tt.chain, err, tt.err)
		}
		if src, opened := tt.index.Open(named(t, tt.chain), indexsource.Options{}); (opened == nil) != (err == nil) || err == nil && src == nil {
			t.Errorf("%+v on %s opens: %v, and checks: %v", tt.index, tt.chain, opened, err)
		}
	}
}
