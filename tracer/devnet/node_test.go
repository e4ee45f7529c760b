package devnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/google/go-cmp/cmp"
)

// dial serves a world and connects to it.
func dial(t *testing.T, w *World, opts NodeOptions) *rpc.Client {
	t.Helper()
	srv := httptest.NewServer(NewNode(w, opts))
	t.Cleanup(srv.Close)
	c, err := rpc.DialContext(t.Context(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// allLogs returns every log of a world as a node should give it.
func allLogs(w *World) []types.Log {
	c := w.chain
	var all []types.Log
	first := map[uint64]uint32{}
	for i := range c.events {
		e := &c.events[i]
		x := &c.txs[e.tx]
		n := uint64(x.block)
		if _, ok := first[n]; !ok {
			first[n] = uint32(i)
		}
		a, topics, data := c.log(uint32(i))
		if topics == nil {
			topics = []common.Hash{}
		}
		if data == nil {
			data = []byte{}
		}
		all = append(all, types.Log{
			Address: a, Topics: topics, Data: data, BlockNumber: n, TxHash: x.hash,
			TxIndex: uint(e.tx - c.firstTx[n]), BlockHash: w.Blocks[n].Hash, BlockTimestamp: w.Blocks[n].Time, Index: uint(uint32(i) - first[n]),
		})
	}
	return all
}

// matches is the definition of a log filter.
func matches(l *types.Log, q *ethereum.FilterQuery) bool {
	n := new(big.Int).SetUint64(l.BlockNumber)
	if n.Cmp(q.FromBlock) < 0 || n.Cmp(q.ToBlock) > 0 || len(l.Topics) < len(q.Topics) {
		return false
	}
	if len(q.Addresses) > 0 && !slices.Contains(q.Addresses, l.Address) {
		return false
	}
	for i, or := range q.Topics {
		if len(or) > 0 && !slices.Contains(or, l.Topics[i]) {
			return false
		}
	}
	return true
}

// TestGetLogs compares the indexed search with a look at every log.
func TestGetLogs(t *testing.T) {
	for _, w := range []*World{made(Config{}), made(small[2])} {
		client := ethclient.NewClient(dial(t, w, NodeOptions{}))
		all := allLogs(w)
		rng := rand.New(rand.NewPCG(1, 2))
		hits := 0
		for i := range 80 {
			q := ethereum.FilterQuery{}
			span := rng.Uint64N([]uint64{10, 1000, w.Head()}[rng.IntN(3)])
			from := rng.Uint64N(w.Head() - span)
			q.FromBlock, q.ToBlock = new(big.Int).SetUint64(from), new(big.Int).SetUint64(from+span)
			some := func(position, n int) []common.Hash {
				var hs []common.Hash
				for range n {
					if l := all[rng.IntN(len(all))]; len(l.Topics) > position {
						hs = append(hs, l.Topics[position])
					} else {
						hs = append(hs, common.Hash{1, byte(n)}) // nobody has it
					}
				}
				return hs
			}
			switch rng.IntN(6) {
			case 0: // everything
			case 1:
				q.Topics = [][]common.Hash{{topicTransfer}, some(1, 1+rng.IntN(900))}
			case 2:
				q.Topics = [][]common.Hash{{topicTransfer}, nil, some(2, 1+rng.IntN(900))}
			case 3:
				q.Topics = [][]common.Hash{some(0, 3), some(1, 200), some(2, 200)}
				q.Addresses = []common.Address{tokenAddress("USDT"), tokenAddress("WETH")}
			case 4:
				q.Addresses = []common.Address{all[rng.IntN(len(all))].Address, {1, 2, 3}}
			case 5:
				q.Topics = [][]common.Hash{nil, nil, nil, some(3, 20)}
			}
			got, err := client.FilterLogs(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			want := []types.Log{}
			for k := range all {
				if matches(&all[k], &q) {
					want = append(want, all[k])
				}
			}
			if !reflect.DeepEqual(want, got) {
				t.Fatalf("filter %d: %s", i, cmp.Diff(want, got))
			}
			hits += len(got)
		}
		if hits < 1000 {
			t.Errorf("the filters found %d logs in all, too few to show anything", hits)
		}
	}
}

// TestBlocks checks blocks and receipts as go-ethereum's client reads them:
// hashes, parents, roots, blooms and fees.
func TestBlocks(t *testing.T) {
	w := made(Config{})
	client := ethclient.NewClient(dial(t, w, NodeOptions{}))
	rng := rand.New(rand.NewPCG(3, 4))
	seen := 0
	for range 60 {
		// A block with transactions, and the one after it.
		n := uint64(w.chain.txs[rng.IntN(len(w.chain.txs))].block)
		for _, n := range []uint64{n, n + 1} {
			b, err := client.BlockByNumber(t.Context(), new(big.Int).SetUint64(n))
			if err != nil {
				t.Fatal(err)
			}
			if b.Hash() != w.Blocks[n].Hash || b.Header().Hash() != w.Blocks[n].Hash || b.ParentHash() != w.Blocks[n-1].Hash || b.Time() != w.Blocks[n].Time {
				t.Fatalf("block %d is %s after %s, want %s after %s", n, b.Hash(), b.ParentHash(), w.Blocks[n].Hash, w.Blocks[n-1].Hash)
			}
			if got := types.DeriveSha(b.Transactions(), trie.NewListHasher()); got != b.TxHash() {
				t.Errorf("block %d: transactions root is %s, header says %s", n, got, b.TxHash())
			}
			rs, err := client.BlockReceipts(t.Context(), rpc.BlockNumberOrHashWithHash(b.Hash(), false))
			if err != nil {
				t.Fatal(err)
			}
			if got := types.DeriveSha(types.Receipts(rs), trie.NewListHasher()); got != b.ReceiptHash() {
				t.Errorf("block %d: receipts root is %s, header says %s", n, got, b.ReceiptHash())
			}
			if got := types.MergeBloom(rs); got != b.Bloom() {
				t.Errorf("block %d: bloom differs from that of its receipts", n)
			}
			used := uint64(0)
			for i, r := range rs {
				used += r.GasUsed
				one, err := client.TransactionReceipt(t.Context(), r.TxHash)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(r, one, cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })); diff != "" {
					t.Errorf("receipt %s differs alone and in its block: %s", r.TxHash, diff)
				}
				tx, _, err := client.TransactionByHash(t.Context(), r.TxHash)
				if err != nil {
					t.Fatal(err)
				}
				if tx.Hash() != r.TxHash || b.Transactions()[i].Hash() != r.TxHash {
					t.Errorf("transaction %s hashes to %s alone and %s in its block", r.TxHash, tx.Hash(), b.Transactions()[i].Hash())
				}
				seen++
			}
			if used != b.GasUsed() {
				t.Errorf("block %d used %d gas, its receipts say %d", n, b.GasUsed(), used)
			}
		}
	}
	if seen < 60 {
		t.Errorf("saw %d transactions, too few", seen)
	}
}

// TestErrors holds the node to the texts and codes of real ones.
func TestErrors(t *testing.T) {
	w := made(Config{})
	limited := dial(t, w, NodeOptions{MaxRange: 500, MaxTraceRange: 100, NoArchive: true, NoFinalized: true})
	capped := dial(t, w, NodeOptions{MaxLogs: 50})
	bare := dial(t, w, NodeOptions{NoTraces: true, NoBlockReceipts: true})
	past := dial(t, w, NodeOptions{Head: 20_000})
	many := func(n int, width int) []string {
		s := make([]string, n)
		for i := range s {
			s[i] = fmt.Sprintf("0x%0*x", width, i)
		}
		return s
	}
	logs := func(more map[string]any) map[string]any {
		q := map[string]any{"fromBlock": "0x1", "toBlock": "0x2"}
		maps.Copy(q, more)
		return q
	}
	tests := []struct {
		client *rpc.Client
		method string
		args   []any
		code   int
		text   string
	}{
		{limited, "eth_getLogs", []any{logs(map[string]any{"toBlock": "0x300"})}, -32602, "exceed maximum block range 500"},
		{limited, "eth_getLogs", []any{logs(map[string]any{"toBlock": "finalized"})}, -32000, "finalized block not found"},
		{limited, "eth_getBlockByNumber", []any{"finalized", false}, -32000, "finalized block not found"},
		{limited, "eth_getBalance", []any{common.Address{1}, "0x10"}, -32000, "missing trie node"},
		{limited, "trace_filter", []any{map[string]any{"fromBlock": "0x1", "toBlock": "0x80"}}, -32602, "Block range too large; currently limited to 100 blocks"},
		{capped, "eth_getLogs", []any{logs(map[string]any{"toBlock": "latest"})}, -32602, "query exceeds max results 50, retry with the range 1-"},
		{bare, "trace_filter", []any{map[string]any{}}, -32601, "the method trace_filter does not exist/is not available"},
		{bare, "eth_getBlockReceipts", []any{"0x1"}, -32601, "the method eth_getBlockReceipts does not exist/is not available"},
		{bare, "ots_getApiLevel", nil, -32601, "the method ots_getApiLevel does not exist/is not available"},
		{past, "eth_getLogs", []any{logs(map[string]any{"toBlock": "0x4e21"})}, -32602, "block range extends beyond current head block"},
		{past, "eth_getBalance", []any{common.Address{1}, "0x4e21"}, -32000, "header not found"},
		{bare, "eth_getLogs", []any{logs(map[string]any{"fromBlock": "0x3"})}, -32602, "invalid block range params"},
		{bare, "eth_getLogs", []any{logs(map[string]any{"fromBlock": "pending"})}, -32602, "pending logs are not supported"},
		{bare, "eth_getLogs", []any{map[string]any{"blockHash": common.Hash{1}}}, -32000, "unknown block"},
		{bare, "eth_getLogs", []any{logs(map[string]any{"blockHash": common.Hash{1}})}, -32602, "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"},
		{bare, "eth_getLogs", []any{logs(map[string]any{"topics": []any{many(1001, 64)}})}, -32602, "invalid argument 0: exceed max topics"},
		{bare, "eth_getLogs", []any{logs(map[string]any{"topics": []any{nil, nil, nil, nil, nil}})}, -32602, "invalid argument 0: exceed max topics"},
		{bare, "eth_getLogs", []any{logs(map[string]any{"address": many(1001, 40)})}, -32000, "exceed max addresses or topics per search position"},
		{bare, "eth_getLogs", []any{logs(map[string]any{"topics": []any{"0x12"}})}, -32602, "invalid argument 0: hex has invalid length 1 after decoding; expected 32 for topic"},
		{bare, "eth_getLogs", []any{logs(map[string]any{"topics": []any{7}})}, -32602, "invalid argument 0: invalid topic(s)"},
		{bare, "eth_getLogs", []any{logs(map[string]any{"address": "0x12"})}, -32602, "invalid argument 0: invalid address at index 0: hex has invalid length 1 after decoding; expected 20 for address"},
		{bare, "eth_getLogs", []any{"latest"}, -32602, "invalid argument 0: json: cannot unmarshal"},
	}
	for _, tt := range tests {
		var got json.RawMessage
		err := tt.client.CallContext(t.Context(), &got, tt.method, tt.args...)
		e, ok := errors.AsType[rpc.Error](err)
		if !ok || e.ErrorCode() != tt.code || !strings.HasPrefix(e.Error(), tt.text) {
			t.Errorf("%s %.80v: error %v, want %d %q", tt.method, tt.args, err, tt.code, tt.text)
		}
	}
}

// TestSuggestedRange asks again as the node says, until the whole chain is read.
func TestSuggestedRange(t *testing.T) {
	w := made(Config{})
	client := dial(t, w, NodeOptions{MaxLogs: 300})
	from, n, asked := uint64(0), 0, 0
	to := w.Head()
	for from <= w.Head() {
		var logs []types.Log
		asked++
		err := client.CallContext(t.Context(), &logs, "eth_getLogs", map[string]any{"fromBlock": hexutil.Uint64(from), "toBlock": hexutil.Uint64(to)})
		if err != nil {
			var limit int
			var a, b uint64
			if _, scan := fmt.Sscanf(err.Error(), "query exceeds max results %d, retry with the range %d-%d", &limit, &a, &b); scan != nil || a != from || b >= to || b < a {
				t.Fatalf("from %d to %d: %v (%v)", from, to, err, scan)
			}
			to = b
			continue
		}
		n += len(logs)
		from, to = to+1, w.Head()
	}
	if n != len(w.chain.events) || asked < 20 {
		t.Errorf("read %d logs in %d requests, want %d", n, asked, len(w.chain.events))
	}
}

// TestTags moves the head and watches the tags follow.
func TestTags(t *testing.T) {
	w := made(Config{})
	n := NewNode(w, NodeOptions{Head: 1000, Finality: 32})
	url, stop, err := n.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	client, err := ethclient.DialContext(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, head := range []uint64{1000, 5000, w.Head() + 7} {
		n.SetHead(head)
		head = min(head, w.Head())
		for _, tt := range []struct {
			tag  rpc.BlockNumber
			want uint64
		}{
			{rpc.EarliestBlockNumber, 0}, {rpc.LatestBlockNumber, head},
			{rpc.FinalizedBlockNumber, head - 32}, {rpc.SafeBlockNumber, head - 16},
		} {
			h, err := client.HeaderByNumber(t.Context(), big.NewInt(tt.tag.Int64()))
			if err != nil {
				t.Fatal(err)
			}
			if got := h.Number.Uint64(); got != tt.want || h.Hash() != w.Blocks[got].Hash {
				t.Errorf("with head %d, %s is block %d %s, want %d", head, tt.tag, got, h.Hash(), tt.want)
			}
		}
	}
	n.SetHead(1000)
	if _, err := client.BlockByNumber(t.Context(), big.NewInt(1001)); !errors.Is(err, ethereum.NotFound) {
		t.Errorf("a block after the head: error %v, want not found", err)
	}
	if _, err := client.TransactionReceipt(t.Context(), w.chain.txs[len(w.chain.txs)-1].hash); !errors.Is(err, ethereum.NotFound) {
		t.Errorf("a receipt after the head: error %v, want not found", err)
	}
	id, err := client.ChainID(t.Context())
	if err != nil || id.Uint64() != ChainID {
		t.Errorf("chain id %v, %v, want %d", id, err, ChainID)
	}
	if n.Requests() < 15 {
		t.Errorf("the node counted %d requests", n.Requests())
	}
}
