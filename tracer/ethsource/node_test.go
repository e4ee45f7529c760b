//go:build node

package ethsource_test

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/rpc"
)

// simulate starts go-ethereum itself, an archive that serves HTTP, and returns
// it with a scene on it. Moves of the coin are in logs from a time on.
func simulate(t *testing.T, amsterdam uint64) (*simulated.Backend, string, *scene) {
	t.Helper()
	alloc := make(types.GenesisAlloc)
	var keys []*ecdsa.PrivateKey
	for i := range 5 {
		key, err := crypto.ToECDSA(crypto.Keccak256([]byte{byte(i)}))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
		alloc[crypto.PubkeyToAddress(key.PublicKey)] = types.Account{Balance: new(big.Int).Mul(big.NewInt(1000), big.NewInt(1e18))}
	}
	port := freePort(t)
	b := simulated.NewBackend(alloc, func(n *node.Config, e *ethconfig.Config) {
		n.HTTPHost, n.HTTPPort, n.HTTPModules = "127.0.0.1", port, []string{"eth", "net", "web3"}
		config := *e.Genesis.Config
		config.AmsterdamTime = &amsterdam
		config.BogotaTime, config.UBTTime = nil, nil
		if config.BlobScheduleConfig != nil {
			schedule := *config.BlobScheduleConfig
			config.BlobScheduleConfig = &schedule
		}
		e.Genesis.Config = &config
		e.NoPruning, e.StateScheme = true, "hash"
	})
	t.Cleanup(func() { b.Close() })
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	c, err := rpc.DialOptions(t.Context(), url, rpc.WithHTTPClient(http.DefaultClient))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return b, url, newScene(t, c, 1337, keys, func() { b.Commit() })
}

// TestSimulated plays the scene before and after the block from which moves of
// the coin are in logs, and reads over it.
func TestSimulated(t *testing.T) {
	fork := uint64(time.Now().Unix()) + 1_000_000
	b, url, s := simulate(t, fork)
	s.play()
	for range 250 {
		b.Commit()
	}
	if err := b.AdjustTime(2_000_000 * time.Second); err != nil {
		t.Fatal(err)
	}
	var head hexutil.Uint64
	s.call(&head, "eth_blockNumber")
	s.fork = uint64(head)
	s.play()
	for range 100 {
		b.Commit()
	}
	kinds := make(map[tracer.Kind]int)
	for _, x := range s.truth() {
		kinds[x.Kind]++
	}
	for k := range tracer.KindNFT + 1 {
		if kinds[k] == 0 {
			t.Fatalf("nothing of kind %s in %v", k, kinds)
		}
	}
	for _, tt := range []struct {
		name    string
		without []string
	}{
		{"an archive", nil},
		{"no old states", []string{"eth_getBalance", "eth_getTransactionCount"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src, err := ethsource.Open(t.Context(), s.chain, without(t, url, tt.without...), ethsource.Hasty(ethsource.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			for _, accounts := range []bool{true, false} {
				q := s.wallets(accounts)
				ans, err := src.Transfers(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				// Before the fork nobody sees inside, after it everybody.
				s.compare(t, q, ans, true)
				s.blindRight(t, q, ans)
				for _, u := range ans.Unread {
					if u.Part != tracer.PartInternal || u.To >= s.fork {
						t.Errorf("unread: %v; the fork is block %d", u, s.fork)
					}
				}
				t.Logf("%d wallets, %d requests", len(q.Spans), ans.Requests)
			}
			var txs []common.Hash
			for _, d := range s.sent {
				txs = append(txs, d.hash)
			}
			ans, err := src.Transactions(t.Context(), txs, 0)
			if err != nil {
				t.Fatal(err)
			}
			everybody := tracer.Query{}
			for _, x := range s.truth() {
				everybody.Spans = append(everybody.Spans, tracer.Span{Wallet: x.From})
			}
			s.compare(t, everybody, ans, true)
		})
	}
}

// TestManyWallets asks go-ethereum for more wallets than it takes at once.
func TestManyWallets(t *testing.T) {
	b, url, s := simulate(t, 1<<60)
	s.play()
	for range 70 {
		b.Commit()
	}
	q := s.wallets(true)
	for i := range 1500 {
		q.Spans = append(q.Spans, tracer.Span{Wallet: common.BigToAddress(big.NewInt(int64(1e9 + i))), To: 1 << 40})
	}
	src, err := ethsource.Open(t.Context(), s.chain, url, ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ans, err := src.Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	s.compare(t, q, ans, true)
	for _, u := range ans.Unread {
		if u.Part != tracer.PartInternal {
			t.Errorf("unread: %v", u)
		}
	}
}

// TestReorg takes back, while it is being read, the end of a chain: also a
// block that was taken for final.
func TestReorg(t *testing.T) {
	b, url, s := simulate(t, 1<<60)
	s.chain.FinalityDepth = 3
	var trunk common.Hash
	for range 6 {
		trunk = b.Commit()
	}
	s.play()
	for range 3 {
		b.Commit()
	}
	// The tag names the genesis block here, which cannot be: the depth counts.
	src, err := ethsource.Open(t.Context(), s.chain, url, ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(src.Notes()) == 0 {
		t.Error("nothing is said of the block that is taken for final")
	}
	q := s.wallets(true)
	ans, err := src.Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	s.compare(t, q, ans, true)
	pinned, err := src.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	// Another end of the chain. What was sent goes into it in other blocks.
	before := s.truth()
	if err := b.Fork(trunk); err != nil {
		t.Fatal(err)
	}
	s.send(0, &s.who[1], 77, nil, false)
	s.mine()
	for range 20 {
		b.Commit()
	}
	if after := s.truth(); after[0].BlockHash == before[0].BlockHash {
		t.Fatal("nothing was taken back")
	}
	if ans, err := src.Transfers(t.Context(), q); !errors.Is(err, tracer.ErrReorg) || len(ans.Transfers) > 0 || len(ans.Unread) != len(q.Spans) {
		t.Errorf("Transfers has %d transfers, %d unread, and says %v", len(ans.Transfers), len(ans.Unread), err)
	}
	if _, err := src.Transactions(t.Context(), []common.Hash{s.sent[0].hash}, 0); !errors.Is(err, tracer.ErrReorg) {
		t.Errorf("Transactions says %v", err)
	}
	if _, err := ethsource.Open(t.Context(), s.chain, url, ethsource.Hasty(ethsource.Options{Pin: &pinned})); !errors.Is(err, tracer.ErrReorg) {
		t.Errorf("Open at a block that is gone says %v", err)
	}
	src, err = ethsource.Open(t.Context(), s.chain, url, ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if ans, err = src.Transfers(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	s.compare(t, q, ans, true)
}

// freePort is a port of the loopback interface that nobody listened on a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
