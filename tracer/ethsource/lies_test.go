package ethsource_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// someWallets are the wallets that victims paid and those that these paid, from
// the block of the payment on.
func someWallets(w *devnet.World) tracer.Query {
	var q tracer.Query
	seen := make(map[common.Address]bool)
	add := func(a common.Address, from uint64) {
		if !seen[a] && w.Truth.Owner[a].Role != devnet.RoleToken && a != (common.Address{}) {
			seen[a] = true
			q.Spans = append(q.Spans, tracer.Span{Wallet: a, From: from, To: from + 100_000})
		}
	}
	for _, v := range w.Truth.Victims {
		for _, p := range v.Payments {
			add(p.Wallet, p.Block)
		}
	}
	first := q.Spans
	for _, x := range w.Transfers() {
		for _, s := range first {
			if x.From == s.Wallet && x.Counts() && len(q.Spans) < 100 {
				add(x.To, s.From)
			}
		}
	}
	return q
}

// TestLies has a node that lies, once and for ever. Once must change nothing;
// for ever must end in wallets that are reported as unread.
func TestLies(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	honest, err := open(t, w, devnet.NodeOptions{}).Transfers(t.Context(), q)
	if err != nil || len(honest.Unread) > 0 || len(honest.Transfers) < 100 {
		t.Fatalf("%d transfers, %v, %v", len(honest.Transfers), honest.Unread, err)
	}
	hex := func(n uint64) string { return hexutil.EncodeUint64(n) }
	lastLog := func(change func(map[string]any)) func(*testing.T, json.RawMessage) json.RawMessage {
		return func(t *testing.T, r json.RawMessage) json.RawMessage {
			return rows(t, r, func(l []map[string]any) []map[string]any {
				x := clone(l[len(l)-1])
				change(x)
				return append(l, x)
			})
		}
	}
	null := func(*testing.T, json.RawMessage) json.RawMessage { return json.RawMessage("null") }
	for _, tt := range []struct {
		name   string
		method string
		lie    func(*testing.T, json.RawMessage) json.RawMessage
		says   string // what is reported, when the lie goes on
		part   tracer.Part
	}{
		{"a log of another wallet", "eth_getLogs", lastLog(func(x map[string]any) {
			other := "0x000000000000000000000000" + strings.Repeat("ab", 20)
			x["topics"] = []any{x["topics"].([]any)[0], other, other}
		}), "were not asked for", tracer.PartAll},
		{"another event", "eth_getLogs", lastLog(func(x map[string]any) {
			x["topics"].([]any)[0] = "0x" + strings.Repeat("12", 32)
		}), "were not asked for", tracer.PartAll},
		{"a block before", "eth_getLogs", lastLog(func(x map[string]any) { x["blockNumber"] = hex(1) }), "of blocks that were not asked for", tracer.PartAll},
		{"a block after", "eth_getLogs", lastLog(func(x map[string]any) { x["blockNumber"] = hex(w.Head() - 1) }), "of blocks that were not asked for", tracer.PartAll},
		{"a log taken back", "eth_getLogs", lastLog(func(x map[string]any) { x["removed"] = true; x["logIndex"] = hex(9999) }), "no longer on the chain", tracer.PartAll},
		{"two blocks of one height", "eth_getLogs", lastLog(func(x map[string]any) {
			x["logIndex"], x["blockHash"] = hex(9999), "0x"+strings.Repeat("cd", 32)
		}), "two different blocks", tracer.PartAll},
		{"another amount in the same place", "eth_getLogs", lastLog(func(x map[string]any) { x["data"] = "0x" + strings.Repeat("0", 62) + "07" }), "two logs in one place", tracer.PartAll},
		{"null logs", "eth_getLogs", null, "null", tracer.PartAll},
		{"no list", "eth_getLogs", func(*testing.T, json.RawMessage) json.RawMessage { return json.RawMessage(`{"logs":[]}`) }, "not valid JSON", tracer.PartAll},
		{"logs that leave things out", "eth_getLogs", func(t *testing.T, r json.RawMessage) json.RawMessage {
			return rows(t, r, func(l []map[string]any) []map[string]any { delete(l[0], "blockHash"); return l })
		}, "not complete", tracer.PartAll},
		{"nothing of what was sent", "eth_getLogs", func(*testing.T, json.RawMessage) json.RawMessage { return json.RawMessage("[]") }, "does not fit together", tracer.PartAll},
		{"other amounts of what was sent", "eth_getLogs", func(t *testing.T, r json.RawMessage) json.RawMessage {
			return rows(t, r, func(l []map[string]any) []map[string]any {
				for _, x := range l {
					if d, _ := x["data"].(string); len(d) == 66 {
						x["data"] = d[:65] + map[bool]string{true: "2", false: "1"}[d[65] == '1']
					}
				}
				return l
			})
		}, "does not fit together", tracer.PartAll},
		{"null traces", "trace_filter", null, "null", tracer.PartNative},
		{"traces of another block", "trace_filter", func(t *testing.T, r json.RawMessage) json.RawMessage {
			return rows(t, r, func(l []map[string]any) []map[string]any { l[0]["blockNumber"] = 3; return l })
		}, "were not asked for", tracer.PartNative},
		{"an error among the traces", "trace_filter", func(t *testing.T, r json.RawMessage) json.RawMessage {
			return rows(t, r, func(l []map[string]any) []map[string]any {
				return append(l, map[string]any{"error": map[string]any{"code": -32000, "message": "the method is not available"}})
			})
		}, "not available", tracer.PartNative},
		{"null receipts", "eth_getTransactionReceipt", null, "receipt", tracer.PartNative},
		{"receipts of another transaction", "eth_getTransactionReceipt", func(t *testing.T, r json.RawMessage) json.RawMessage {
			return json.RawMessage(strings.Replace(string(r), `"transactionHash":"0x`, `"transactionHash":"0x0`, 1))
		}, "", tracer.PartNative},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, forever := range []bool{false, true} {
				lied := 0
				l := &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, n int, a *call) {
					// The probe of trace_filter at the start gets the truth.
					if c.Method == tt.method && (forever || n == 0 || n == 1) && len(a.Result) > 10 && (forever || lied == 0) {
						a.Result = tt.lie(t, a.Result)
						lied++
					}
				}}
				s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
				if err != nil {
					t.Fatal(err)
				}
				got, err := s.Transfers(t.Context(), q)
				if err != nil || lied == 0 {
					t.Fatalf("lied %d times: %v", lied, err)
				}
				if !forever {
					if !reflect.DeepEqual(got.Transfers, honest.Transfers) || len(got.Unread) > 0 {
						// An embedded refusal is believed at once.
						if tt.name != "an error among the traces" {
							t.Errorf("after one lie: %d transfers, want %d; unread %v", len(got.Transfers), len(honest.Transfers), got.Unread)
						}
					}
					continue
				}
				covered(t, q, got, honest)
				found := false
				for _, u := range got.Unread {
					if u.Reason == tracer.ReasonSource && u.Part == tt.part {
						found = strings.Contains(u.Detail, tt.says)
					}
				}
				if !found {
					t.Errorf("unread: %v; want %q", got.Unread, tt.says)
				}
			}
		})
	}
}

// TestMended has nodes that leave out, time and again, what nothing but balances
// contradicts. All of it must be found by other ways, where there are some.
func TestMended(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	honest, err := open(t, w, devnet.NodeOptions{}).Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	victims := make(map[common.Address]bool) // who are not asked for: nothing else is known of what they sent
	for _, v := range w.Truth.Victims {
		victims[v.Wallet] = !slices.ContainsFunc(q.Spans, func(p tracer.Span) bool { return p.Wallet == v.Wallet })
	}
	every := func(n int) func(l []map[string]any) []map[string]any {
		return func(l []map[string]any) (kept []map[string]any) {
			for i, x := range l {
				if i%n != n-1 {
					kept = append(kept, x)
				}
			}
			return kept
		}
	}
	chain := devnet.Chain()
	money := func(a tracer.Answer) []tracer.Transfer {
		return slices.DeleteFunc(slices.Clone(a.Transfers), func(x tracer.Transfer) bool { return !chain.Known(x.Asset) || !x.Counts() })
	}
	for _, tt := range []struct {
		name string
		node devnet.NodeOptions
		lie  func(c call, a *call)
	}{
		{"logs of what arrives", devnet.NodeOptions{}, func(c call, a *call) {
			if c.Method == "eth_getLogs" && strings.Contains(string(c.Params[0]), "null") {
				a.Result = rows(t, a.Result, every(7))
			}
		}},
		{"all logs of what arrives, and there are no receipts of blocks", devnet.NodeOptions{NoBlockReceipts: true, NoMulticall: true}, func(c call, a *call) {
			if c.Method == "eth_getLogs" && strings.Contains(string(c.Params[0]), "null") {
				a.Result = rows(t, a.Result, every(11))
			}
		}},
		{"amounts of what arrives", devnet.NodeOptions{}, func(c call, a *call) {
			if c.Method == "eth_getLogs" && strings.Contains(string(c.Params[0]), "null") {
				a.Result = rows(t, a.Result, func(l []map[string]any) []map[string]any {
					for _, x := range l {
						from, _ := x["topics"].([]any)[1].(string)
						if d, _ := x["data"].(string); len(d) == 66 && victims[common.HexToAddress(from)] {
							x["data"] = d[:40] + "7" + d[41:]
						}
					}
					return l
				})
			}
		}},
		{"traces", devnet.NodeOptions{}, func(c call, a *call) {
			if c.Method == "trace_filter" && len(a.Result) > 10 {
				a.Result = rows(t, a.Result, every(13))
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &liar{node: devnet.NewNode(w, tt.node), lie: func(c call, _ int, a *call) { tt.lie(c, a) }}
			s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Transfers(t.Context(), q)
			if err != nil || len(got.Unread) > 0 || len(got.Unchecked) > 0 {
				t.Errorf("unread %v, unchecked %v, %v", got.Unread, got.Unchecked, err)
			}
			want := honest
			got.Transfers, want.Transfers = money(got), money(honest)
			covered(t, q, got, want)
			t.Logf("%d requests, of an honest node %d", got.Requests, honest.Requests)

			// With a budget too small to mend, what is wrong is reported and not told.
			q := q
			q.MaxRequests = honest.Requests + 60
			if got, err = s.Transfers(t.Context(), q); err != nil || got.Requests > q.MaxRequests {
				t.Errorf("%d requests of %d, %v", got.Requests, q.MaxRequests, err)
			}
			got.Transfers = money(got)
			covered(t, q, got, want)
		})
	}
}

// covered checks that an answer has what the honest one has, wherever it does
// not say that it was not read, and nothing else.
func covered(t *testing.T, q tracer.Query, got, honest tracer.Answer) {
	t.Helper()
	have := make(map[tracer.TransferID]tracer.Transfer)
	for _, x := range honest.Transfers {
		have[x.ID()] = x
	}
	for _, x := range got.Transfers {
		if have[x.ID()] != x {
			t.Errorf("never happened: %+v", x)
		}
	}
	got1 := make(map[tracer.TransferID]bool)
	for _, x := range got.Transfers {
		got1[x.ID()] = true
	}
	unread := func(a common.Address, x *tracer.Transfer) bool {
		for _, u := range got.Unread {
			if u.Wallet == a && u.From <= x.Block && x.Block <= u.To && (u.Part == tracer.PartAll || u.Part == partOf(x)) {
				return true
			}
		}
		return false
	}
	for i := range honest.Transfers {
		x := &honest.Transfers[i]
		for _, p := range q.Spans {
			if (p.Wallet == x.From || p.Wallet == x.To && x.Kind != tracer.KindFee) && p.From <= x.Block && x.Block <= p.To && !got1[x.ID()] && !unread(p.Wallet, x) {
				t.Errorf("missed and not reported: %s %s in block %d", x.Kind, x.Tx, x.Block)
			}
		}
	}
}

func partOf(x *tracer.Transfer) tracer.Part {
	switch x.Kind {
	case tracer.KindToken, tracer.KindNFT:
		return tracer.PartTokens
	case tracer.KindInternal:
		return tracer.PartInternal
	}
	return tracer.PartNative
}

// TestSilentCap has nodes that stop at some number of logs and say nothing.
func TestSilentCap(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	honest, err := open(t, w, devnet.NodeOptions{}).Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, most := range []int{100, 200} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			cut := 0
			l := &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, n int, a *call) {
				if c.Method == "eth_getLogs" {
					a.Result = rows(t, a.Result, func(l []map[string]any) []map[string]any {
						if len(l) > most {
							cut++
							l = l[:most]
						}
						return l
					})
				}
			}}
			s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Transfers(t.Context(), q)
			if err != nil || cut == 0 || len(got.Unread) > 0 || !reflect.DeepEqual(got.Transfers, honest.Transfers) {
				t.Errorf("%d answers were cut: %d transfers, want %d; unread %v, %v", cut, len(got.Transfers), len(honest.Transfers), got.Unread, err)
			}
		})
	}
}

// TestWitness has a pool that, in the midst of a reading, turns to a node of
// another chain, to one where the pinned block is gone, and to one that is
// behind it.
func TestWitness(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	var txs []common.Hash
	for _, p := range w.Truth.Victims[0].Payments {
		txs = append(txs, p.Tx)
	}
	pinned := w.Head() - 64
	for _, tt := range []struct {
		name string
		lie  func(c call, a *call)
		want error
		says string
	}{
		{"another chain", func(c call, a *call) {
			if c.Method == "eth_chainId" {
				a.Result = json.RawMessage(`"0x1"`)
			}
		}, tracer.ErrWrongChain, "serves Ethereum"},
		{"a reorg", func(c call, a *call) {
			if c.Method == "eth_getBlockByNumber" && strings.Contains(string(c.Params[0]), hexutil.EncodeUint64(pinned)) {
				a.Result = json.RawMessage(strings.Replace(string(a.Result), `"hash":"0x`, `"hash":"0x00`, 1)[:0] + fmt.Sprintf(`{"number":%q,"hash":"0x%064x","timestamp":"0x1"}`, hexutil.EncodeUint64(pinned), 7))
			}
		}, tracer.ErrReorg, "is now 0x00000000"},
		{"a node that is behind", func(c call, a *call) {
			if c.Method == "eth_getBlockByNumber" {
				a.Result = json.RawMessage("null")
			}
		}, nil, "no longer shows block"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			turned := false
			l := &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, _ int, a *call) {
				if turned {
					tt.lie(c, a)
				}
			}}
			s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			turned = true
			ans, err := s.Transfers(t.Context(), q)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Transfers says %v", err)
			}
			covered(t, q, ans, tracer.Answer{})
			if len(ans.Transfers) > 0 || len(ans.Unread) != len(q.Spans) {
				t.Errorf("%d transfers are kept, %d of %d spans unread", len(ans.Transfers), len(ans.Unread), len(q.Spans))
			}
			if ans, err := s.Transactions(t.Context(), txs, 0); err == nil || tt.want != nil && !errors.Is(err, tt.want) || len(ans.Transfers) > 0 {
				t.Errorf("Transactions says %d transfers, %v", len(ans.Transfers), err)
			}
			turned = false
			if ans, err := s.Transfers(t.Context(), q); err != nil || len(ans.Unread) > 0 {
				t.Errorf("back again: %v, %v", ans.Unread, err)
			}
		})
	}
}

// TestBehind has a node that falls behind the block that is read up to.
func TestBehind(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	n := devnet.NewNode(w, devnet.NodeOptions{})
	s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, n), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	n.SetHead(w.Head() - 100)
	ans, err := s.Transfers(t.Context(), q)
	if err == nil || !strings.Contains(err.Error(), "does not have the newest blocks") && !strings.Contains(err.Error(), "no longer shows block") {
		t.Errorf("Transfers says %v", err)
	}
	if len(ans.Transfers) > 0 || len(ans.Unread) != len(q.Spans) {
		t.Errorf("%d transfers, %d unread", len(ans.Transfers), len(ans.Unread))
	}
	n.SetHead(w.Head())
	if ans, err := s.Transfers(t.Context(), q); err != nil || len(ans.Unread) > 0 {
		t.Errorf("when it has caught up: %v, %v", ans.Unread, err)
	}
}
