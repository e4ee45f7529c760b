package ethsource_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/sourcetest"

	"github.com/ethereum/go-ethereum/common"
)

func openTron(t *testing.T, w *devnet.World, n devnet.NodeOptions) (*ethsource.Source, tracer.Chain) {
	t.Helper()
	chain, err := tracer.ChainNamed("tron")
	if err != nil {
		t.Fatal(err)
	}
	n.Tron = true
	s, err := ethsource.Open(t.Context(), chain, serve(t, devnet.NewNode(w, n)), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	return s, chain
}

// TestTronContract holds a source over a node like java-tron to the contract:
// tokens whole, and of TRX nothing.
func TestTronContract(t *testing.T) {
	for _, seed := range []uint64{0, 1} {
		w := devnet.Generate(devnet.Config{Seed: seed, Tron: true})
		s, _ := openTron(t, w, devnet.NodeOptions{})
		sourcetest.Test(t, w, s, sourcetest.Options{Blind: []tracer.Part{tracer.PartNative, tracer.PartInternal}})
	}
}

// TestTronIsBlind wants no fee and no value from a node of Tron, whatever it
// shows, the gap for each, and a note.
func TestTronIsBlind(t *testing.T) {
	w := devnet.Generate(devnet.Config{Tron: true})
	s, chain := openTron(t, w, devnet.NodeOptions{})
	var coin, token common.Hash
	for _, x := range w.Transfers() {
		switch {
		case x.Kind == tracer.KindNative:
			coin = x.Tx
		case x.Kind == tracer.KindToken && x.Asset.Token == chain.Tokens[0].Address && x.Block < w.Head()-100:
			token = x.Tx
		}
	}
	ans, err := s.Transactions(t.Context(), []common.Hash{coin, token}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(ans.Transfers) == 0 {
		t.Error("the token transfer was not read")
	}
	for _, x := range ans.Transfers {
		if x.Kind != tracer.KindToken || x.Tx != token {
			t.Errorf("read %v of %s", x.Kind, x.Tx)
		}
	}
	told := func(part tracer.Part) func(tracer.Unread) bool {
		return func(u tracer.Unread) bool { return u.Part == part && strings.Contains(u.Detail, "TronGrid") }
	}
	if !slices.ContainsFunc(ans.Unread, told(tracer.PartNative)) || !slices.ContainsFunc(ans.Unread, told(tracer.PartInternal)) {
		t.Errorf("unread is %v, want both parts of TRX", ans.Unread)
	}
	if notes := strings.Join(s.Notes(), " "); !strings.Contains(notes, "TRX") || strings.Contains(notes, "trace methods") {
		t.Errorf("notes are %q", notes)
	}
	why, err := s.Prove(t.Context(), ans.Transfers)
	if err != nil || !strings.Contains(why[0], "blocks of Tron") {
		t.Errorf("Prove = %q, %v", why, err)
	}
}

// TestTronStates asks a node that shows no state but the newest.
func TestTronStates(t *testing.T) {
	w := devnet.Generate(devnet.Config{Tron: true})
	s, chain := openTron(t, w, devnet.NodeOptions{})
	user := common.Address{1}
	is, n, err := s.Contracts(t.Context(), []common.Address{chain.Tokens[0].Address, user}, 0)
	if err != nil || !slices.Equal(is, []bool{true, false}) {
		t.Fatalf("Contracts = %v, %v", is, err)
	}
	if _, again, _ := s.Contracts(t.Context(), []common.Address{user}, 0); again >= n {
		t.Errorf("asking again took %d requests, the first time %d", again, n)
	}
	if frozen, err := s.Frozen(t.Context(), chain.Tokens[0].Address, []common.Address{user}); err != nil || frozen[0] {
		t.Errorf("Frozen = %v, %v", frozen, err)
	}
	if _, _, _, err := s.States(t.Context(), []common.Address{user}, []uint64{9}, 0); err == nil {
		t.Error("States is no error")
	}
	if _, _, err := s.Watch(t.Context(), []common.Address{user}, 0); err == nil || errors.Is(err, tracer.ErrBudget) {
		t.Errorf("Watch says %v", err)
	}
	replies, _, err := s.Calls(t.Context(), []tracer.Call{
		{To: chain.Tokens[0].Address, Data: []byte{0x31, 0x3c, 0xe5, 0x67}, Block: 9},
		{To: chain.Tokens[0].Address, Data: []byte{0x31, 0x3c, 0xe5, 0x67}, Block: tracer.Newest},
	}, 20)
	if err != nil || replies[0].Refusal != tracer.RefusedGone || len(replies[1].Data) != 32 || replies[1].Data[31] != 6 {
		t.Errorf("Calls = %v, %v", replies, err)
	}
}
