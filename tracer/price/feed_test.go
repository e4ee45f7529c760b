package price_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/price"

	"github.com/ethereum/go-ethereum/common"
)

// A node is a JSON-RPC endpoint of a chain on which nothing is but a feed of
// Chainlink: a proxy (EACAggregatorProxy) in front of one aggregator a phase. It
// answers as go-ethereum does.
type node struct {
	feed   price.Feed
	head   uint64
	keep   uint64 // states of that many blocks; 0: of all
	noCall bool   // it has no eth_call
	arrays bool   // it takes no lists
	pair   string
	digits uint8
	born   uint64 // the block in which the proxy was made
	phases []aggregator
}

type aggregator struct {
	from   uint64 // the block from which on the proxy asks it
	rounds []fakeRound
}

type fakeRound struct {
	answer           int64
	started, updated uint64
	answeredIn       uint64 // 0: in itself
}

const (
	genesis = 1_767_225_600 - 3*3600 // three hours before 2026-01-01
	slot    = 12
	day     = 86_400
)

// timeOf is the time of a block; that of block 0 is zero, as on Ethereum.
func timeOf(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	return genesis + n*slot + n/100%7*slot // some slots are empty
}

// newNode is a feed in good health over some days: it speaks each hour, and when
// the price moves.
func newNode(days int, seed uint64) *node {
	rng := rand.New(rand.NewPCG(seed, 1))
	feed, _ := price.FeedOf(1)
	n := &node{feed: feed, head: uint64(days*day/slot) + 300, pair: "ETH / USD", digits: 8, born: 2}
	n.phases = []aggregator{{from: 2}, {from: n.head / 3}, {from: n.head * 2 / 3}}
	usd := int64(3000e8)
	for t := uint64(genesis + 100); t < timeOf(n.head); t += 60 + rng.Uint64N(3500) {
		usd += rng.Int64N(usd/100) - usd/200
		for p := range n.phases {
			a := &n.phases[p]
			// An aggregator is tried out before it is used, and goes on for a while.
			if t+40_000 < timeOf(a.from) || p+1 < len(n.phases) && t > timeOf(n.phases[p+1].from)+20_000 {
				continue
			}
			a.rounds = append(a.rounds, fakeRound{answer: usd + int64(p), started: t - 5, updated: t})
		}
	}
	return n
}

// seen are the rounds of a phase that are there at a block.
func (n *node) seen(p int, block uint64) []fakeRound {
	rs := n.phases[p].rounds
	for i, r := range rs {
		if max(r.updated, r.started) > timeOf(block) {
			return rs[:i]
		}
	}
	return rs
}

// phaseAt is the phase of a block, from 0 on.
func (n *node) phaseAt(block uint64) int {
	p := 0
	for i := range n.phases {
		if n.phases[i].from <= block {
			p = i
		}
	}
	return p
}

func words(vs ...*big.Int) string {
	var b []byte
	for _, v := range vs {
		b = append(b, common.BigToHash(new(big.Int).And(v, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)))).Bytes()...)
	}
	return "0x" + hex.EncodeToString(b)
}

func idOf(phase, index uint64) *big.Int {
	return new(big.Int).Or(new(big.Int).Lsh(new(big.Int).SetUint64(phase), 64), new(big.Int).SetUint64(index))
}

func (r fakeRound) words(phase, index uint64) string {
	in := idOf(phase, index)
	if r.answeredIn != 0 {
		in = idOf(phase, r.answeredIn)
	}
	return words(idOf(phase, index), big.NewInt(r.answer), new(big.Int).SetUint64(r.started), new(big.Int).SetUint64(r.updated), in)
}

var errRevert = fmt.Errorf("execution reverted: No data present")

// call runs a call at a block.
func (n *node) call(to common.Address, data []byte, block uint64) (string, error) {
	if block < n.born {
		return "0x", nil
	}
	arg := make([]byte, 32)
	copy(arg, data[4:])
	phase, index := binary.BigEndian.Uint64(arg[16:24]), binary.BigEndian.Uint64(arg[24:])
	if to != n.feed.Address { // an aggregator: its address is its phase
		p := int(to[19])
		if to != (common.Address{19: byte(p)}) || p == 0 || p > len(n.phases) {
			return "0x", nil
		}
		rs := n.seen(p-1, block)
		if len(rs) == 0 {
			return "", errRevert
		}
		return rs[len(rs)-1].words(0, uint64(len(rs))), nil
	}
	for name, sel := range price.Selectors {
		if string(sel) != string(data[:4]) {
			continue
		}
		p := n.phaseAt(block)
		switch name {
		case "decimals()":
			return words(big.NewInt(int64(n.digits))), nil
		case "description()":
			text := make([]byte, 32)
			copy(text, n.pair)
			return words(big.NewInt(32), big.NewInt(int64(len(n.pair))), new(big.Int).SetBytes(text)), nil
		case "phaseId()":
			return words(big.NewInt(int64(p) + 1)), nil
		case "phaseAggregators(uint16)":
			return words(new(big.Int).SetUint64(index)), nil
		case "latestRoundData()":
			rs := n.seen(p, block)
			if len(rs) == 0 {
				return "", errRevert
			}
			return rs[len(rs)-1].words(uint64(p)+1, uint64(len(rs))), nil
		case "getRoundData(uint80)":
			if phase == 0 || phase > uint64(p)+1 {
				return "", fmt.Errorf("execution reverted")
			}
			rs := n.seen(int(phase)-1, block)
			if index == 0 || index > uint64(len(rs)) {
				return "", errRevert
			}
			return rs[index-1].words(phase, index), nil
		}
	}
	return "", fmt.Errorf("execution reverted")
}

type ask struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

func (n *node) answer(q ask) string {
	refuse := func(code int, text string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, q.ID, code, text)
	}
	result := func(v any) string {
		b, _ := json.Marshal(v)
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, b)
	}
	number := func(raw json.RawMessage) uint64 {
		switch s := strings.Trim(string(raw), `"`); s {
		case "latest":
			return n.head
		case "finalized":
			return n.head - 64
		default:
			v, _ := strconv.ParseUint(s, 0, 64)
			return v
		}
	}
	switch {
	case q.Method == "eth_chainId":
		return result("0x1")
	case q.Method == "eth_getBlockByNumber":
		b := number(q.Params[0])
		if b > n.head {
			return result(nil)
		}
		return result(map[string]any{"number": fmt.Sprintf("0x%x", b), "hash": common.BigToHash(new(big.Int).SetUint64(b + 1)), "timestamp": fmt.Sprintf("0x%x", timeOf(b)), "transactions": []any{}})
	case q.Method == "eth_call" && !n.noCall:
		var c struct{ To, Data string }
		json.Unmarshal(q.Params[0], &c)
		at := number(q.Params[1])
		if n.keep > 0 && at+n.keep < n.head {
			return refuse(-32000, fmt.Sprintf("missing trie node %x (path ) state 0x%x is not available", at, at))
		}
		out, err := n.call(common.HexToAddress(c.To), common.FromHex(c.Data), at)
		if err != nil {
			return refuse(3, err.Error())
		}
		return result(out)
	}
	return refuse(-32601, "the method "+q.Method+" does not exist/is not available")
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var raw json.RawMessage
	if json.NewDecoder(r.Body).Decode(&raw) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var qs []ask
	if json.Unmarshal(raw, &qs) != nil {
		var q ask
		json.Unmarshal(raw, &q)
		fmt.Fprint(w, n.answer(q))
		return
	}
	if n.arrays {
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch requests are not supported"}}`)
		return
	}
	var parts []string
	for _, q := range qs {
		parts = append(parts, n.answer(q))
	}
	fmt.Fprintf(w, "[%s]", strings.Join(parts, ","))
}

// open connects to the node.
func (n *node) open(t testing.TB) *ethsource.Source {
	t.Helper()
	srv := httptest.NewServer(n)
	t.Cleanup(srv.Close)
	eth, _ := tracer.ChainNamed("ethereum")
	src, err := ethsource.Open(t.Context(), eth, srv.URL, ethsource.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// truth is the round that the proxy showed at a time: its phase and number, both
// from 1 on, and its answer.
func (n *node) truth(at uint64) (phase, index uint64, r fakeRound) {
	block := n.head
	for timeOf(block) > at {
		block--
	}
	p := n.phaseAt(block)
	index = n.last(p, at)
	return uint64(p) + 1, index, n.phases[p].rounds[index-1]
}

// older is the last round at a time of the oldest aggregator that ran then.
func (n *node) older(at uint64) (phase, index uint64, r fakeRound) {
	p := 0
	for rs := n.phases[p].rounds; rs[len(rs)-1].updated+4*3600 < at; rs = n.phases[p].rounds {
		p++
	}
	index = n.last(p, at)
	return uint64(p) + 1, index, n.phases[p].rounds[index-1]
}

// last is the number of the last round of a phase at a time.
func (n *node) last(p int, at uint64) (index uint64) {
	for i, r := range n.phases[p].rounds {
		if r.updated <= at {
			index = uint64(i) + 1
		}
	}
	return index
}
