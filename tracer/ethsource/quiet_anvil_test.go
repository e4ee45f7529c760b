package ethsource_test

import (
	"encoding/hex"
	"math/big"
	"net/http"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// delegate has account sponsor send the word of account i that the code of a
// contract may act for it (EIP-7702), which costs i nothing but a nonce.
func (s *scene) delegate(sponsor, i int, to common.Address) {
	s.t.Helper()
	id := uint256.NewInt(s.chain.ID)
	auth, err := types.SignSetCode(s.keys[i], types.SetCodeAuthorization{ChainID: *id, Address: to, Nonce: s.nonce[s.who[i]]})
	if err != nil {
		s.t.Fatal(err)
	}
	s.nonce[s.who[i]]++
	tx, err := types.SignNewTx(s.keys[sponsor], types.LatestSignerForChainID(id.ToBig()), &types.SetCodeTx{
		ChainID: id, Nonce: s.nonce[s.who[sponsor]], GasTipCap: uint256.NewInt(1e9), GasFeeCap: uint256.NewInt(1e11), Gas: 3_000_000,
		To: s.who[sponsor], Value: new(uint256.Int), AuthList: []types.SetCodeAuthorization{auth},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.nonce[s.who[sponsor]]++
	raw, err := tx.MarshalBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	s.call(nil, "eth_sendRawTransaction", hexutil.Bytes(raw))
}

// TestQuietAnvil has coins come and go where balances and nonces are the same
// before and after: at a contract, at an account with a delegation, and at one
// where a contract is made, takes all and is gone, within one transaction.
func TestQuietAnvil(t *testing.T) {
	node := anvil(t, "--hardfork", "prague")
	c, err := rpc.DialOptions(t.Context(), node, rpc.WithHTTPClient(http.DefaultClient))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var s *scene
	s = newScene(t, c, 31337, anvilKeys(t), func() { s.call(nil, "evm_mine") })
	head := func() *tracer.Block {
		var n hexutil.Uint64
		s.call(&n, "eth_blockNumber")
		return &tracer.Block{Number: uint64(n)}
	}
	payee := common.HexToAddress("0x00000000000000000000000000000000005ca3e5")
	sweeper := assemble(t, "0x"+hex.EncodeToString(payee[:])+" SELFDESTRUCT")
	s.deploy("forward", 0)
	s.install("factory", 0, assemble(t, "0x"+hex.EncodeToString(sweeper)+" 0x00 MSTORE 0x00 0x16 0x0a 0x00 CREATE2 POP STOP"))
	s.mine()
	born := crypto.CreateAddress2(s.at["factory"], [32]byte{}, crypto.Keccak256(sweeper))
	forward, factory, agent, still, never := s.at["forward"], s.at["factory"], s.who[1], s.who[2], common.BigToAddress(big.NewInt(1e18))
	s.send(2, &payee, 1, nil, false) // so that it has a nonce
	s.delegate(0, 1, forward)
	s.mine()
	for range 3 {
		s.mine()
	}
	before := head()
	// What gets coins and passes them on in one transaction.
	s.send(0, &forward, 5, words(payee), false)
	s.send(0, &agent, 7, words(payee), false)
	s.send(0, &born, 9, nil, false)
	s.mine()
	s.send(0, &factory, 0, nil, false)
	s.mine()
	for range 3 {
		s.mine()
	}
	after := head()

	who := []common.Address{forward, agent, born, still, never}
	for _, tt := range []struct {
		name    string
		without []string
		quiet   []bool
	}{
		{"traces", nil, []bool{false, false, false, true, true}},
		// Nobody can tell what happened at born: reading finds nothing either.
		{"no traces", []string{"trace_", "ots_", "debug_"}, []bool{false, false, true, true, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := without(t, node, tt.without...)
			open := func(pin *tracer.Block) *ethsource.Source {
				src, err := ethsource.Open(t.Context(), s.chain, url, ethsource.Hasty(ethsource.Options{Pin: pin}))
				if err != nil {
					t.Fatal(err)
				}
				return src
			}
			was, _, err := open(before).Watch(t.Context(), who, 0)
			if err != nil {
				t.Fatal(err)
			}
			now, _, err := open(after).Watch(t.Context(), who, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i, plain := range []bool{false, false, true, true, true} {
				if was[i] != now[i] || was[i].Plain != plain {
					t.Fatalf("%s has changed from %+v to %+v; the test shows nothing", who[i], was[i], now[i])
				}
			}
			src := open(after)
			together, _, err := src.Quiet(t.Context(), before.Number, was, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i := range who {
				alone, _, err := src.Quiet(t.Context(), before.Number, was[i:i+1], 0)
				if err != nil {
					t.Fatal(err)
				}
				if together[i] != tt.quiet[i] || alone[0] != tt.quiet[i] {
					t.Errorf("wallet %d is quiet: %v, and %v when asked alone, want %v", i, together[i], alone[0], tt.quiet[i])
				}
			}
		})
	}

	// A delegation since then shows in the nonce.
	was, _, err := func() ([]tracer.State, int, error) {
		src, err := ethsource.Open(t.Context(), s.chain, node, ethsource.Hasty(ethsource.Options{Pin: after}))
		if err != nil {
			t.Fatal(err)
		}
		return src.Watch(t.Context(), []common.Address{still}, 0)
	}()
	if err != nil {
		t.Fatal(err)
	}
	s.delegate(0, 2, forward)
	s.mine()
	s.send(0, &still, 3, words(payee), false)
	s.mine()
	for _, methods := range [][]string{nil, {"trace_", "ots_", "debug_"}} {
		src, err := ethsource.Open(t.Context(), s.chain, without(t, node, methods...), ethsource.Hasty(ethsource.Options{Pin: head()}))
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := src.Quiet(t.Context(), after.Number, was, 0); err != nil || got[0] {
			t.Errorf("without %v: an account that delegated since is quiet: %v; %v", methods, got[0], err)
		}
	}
}
