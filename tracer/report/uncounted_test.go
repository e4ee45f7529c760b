package report

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/label"
	"scamtrace/tracer/price"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// A listed is a source of some transfers, with tokens that say what they are.
type listed struct {
	ts      []tracer.Transfer
	symbols map[common.Address]string
}

func (l *listed) Pin(context.Context) (tracer.Block, error) {
	return tracer.Block{Number: 1000, Time: 1740960000 + 12_000}, nil
}

func (l *listed) BlockAt(context.Context, uint64) (uint64, error) { return 0, nil }

func (l *listed) Transfers(_ context.Context, q tracer.Query) (tracer.Answer, error) {
	ans := tracer.Answer{Requests: 1}
	for _, s := range q.Spans {
		for _, t := range l.ts {
			if (t.From == s.Wallet || t.To == s.Wallet) && s.From <= t.Block && t.Block <= s.To {
				ans.Transfers = append(ans.Transfers, t)
			}
		}
	}
	ans.Transfers = tracer.SortTransfers(ans.Transfers)
	return ans, nil
}

func (l *listed) Transactions(_ context.Context, txs []common.Hash, _ int) (tracer.Answer, error) {
	ans := tracer.Answer{Requests: 1}
	for _, t := range l.ts {
		if slices.Contains(txs, t.Tx) {
			ans.Transfers = append(ans.Transfers, t)
		}
	}
	return ans, nil
}

func (l *listed) Times(context.Context, []uint64, int) ([]uint64, int, error) { return nil, 0, nil }

// Calls answers symbol() in bytes32, and decimals() with 6.
func (l *listed) Calls(_ context.Context, calls []tracer.Call, _ int) ([]tracer.Reply, int, error) {
	out := make([]tracer.Reply, len(calls))
	for i, c := range calls {
		symbol, ok := l.symbols[c.To]
		switch {
		case !ok:
		case bytes.Equal(c.Data, common.FromHex("95d89b41")):
			out[i].Data = common.RightPadBytes([]byte(symbol), 32)
		case bytes.Equal(c.Data, common.FromHex("313ce567")):
			out[i].Data = common.LeftPadBytes([]byte{6}, 32)
		default:
			out[i].Refusal = tracer.RefusedReverted
		}
	}
	return out, 1, nil
}

// add adds a transfer of a token in the nth transaction.
func (l *listed) add(n int, asset tracer.Asset, from, to common.Address, amount uint64) {
	kind := tracer.KindToken
	switch asset.Kind {
	case tracer.NFT:
		kind = tracer.KindNFT
	case tracer.Native:
		kind = tracer.KindNative
	}
	t := tracer.Transfer{
		Asset: asset, From: from, To: to, Amount: *uint256.NewInt(amount), Kind: kind,
		Block: uint64(n), Time: 1740960000 + uint64(n)*12, Tx: common.Hash(crypto.Keccak256(binary.BigEndian.AppendUint64(nil, uint64(n)))),
	}
	if kind != tracer.KindNative {
		t.Position = fmt.Sprint(len(l.ts))
	}
	l.ts = append(l.ts, t)
}

func somebody(name string) common.Address {
	return common.BytesToAddress(crypto.Keccak256([]byte(name)))
}

// alike is another address that shows the same digits.
func alike(a common.Address, n byte) common.Address { a[9] ^= n; return a }

var (
	realUSDT = tracer.TokenOf(devnet.ChainID, devnet.Chain().Tokens[0].Address)
	coin     = tracer.NativeOf(devnet.ChainID)
)

// report traces the payment to the seed and builds the report.
func (l *listed) report(t *testing.T, seeds ...tracer.Seed) *Report {
	t.Helper()
	o := walk.Options{Chain: devnet.Chain()}
	labels, prices := new(label.Set), price.New(devnet.Chain())
	prices.Set(coin, 1740960000, 2000*tracer.Dollar)
	o.Know(labels, prices)
	res, err := walk.Run(t.Context(), l, seeds, o)
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Walk: res, Labels: labels, Prices: prices, Version: "test"}
	in.LookInto(t.Context(), l)
	r, _ := Settle(t.Context(), in)
	if slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "could not") }) {
		t.Errorf("the notes are %q", r.Notes)
	}
	return r
}

// TestUncounted has a row for each way in which a transfer is no money: what is
// said of it, and that no sum changes.
func TestUncounted(t *testing.T) {
	victim, seed, next, stranger := somebody("victim"), somebody("seed"), somebody("next"), somebody("stranger")
	token := tracer.TokenOf(devnet.ChainID, somebody("token"))
	said := func(symbol string) func(*listed) {
		return func(l *listed) {
			l.symbols[token.Token] = symbol
			l.add(500, token, stranger, seed, 5_000_000_000)
		}
	}
	many := func(asset tracer.Asset, n int, amount uint64) func(*listed) {
		return func(l *listed) {
			l.symbols[token.Token] = "BONUS"
			l.add(500, asset, stranger, seed, amount)
			for i := range n - 1 {
				l.add(500, asset, stranger, somebody(fmt.Sprint("other", i)), amount)
			}
		}
	}
	one := func(asset tracer.Asset, from, to common.Address, amount uint64) func(*listed) {
		return func(l *listed) { l.add(500, asset, from, to, amount) }
	}
	base := func() *listed {
		l := &listed{symbols: make(map[common.Address]string)}
		l.add(100, realUSDT, victim, seed, 1000_000_000)
		l.add(200, realUSDT, seed, next, 400_000_000)
		return l
	}
	reported := tracer.Seed{Tx: base().ts[0].Tx}
	plain := base().report(t, reported)
	if len(plain.Uncounted) > 0 || len(plain.Tokens) > 0 || plain.Totals.USD.Reported != "1000.00" {
		t.Fatalf("without anything odd: %+v, %+v", plain.Uncounted, plain.Totals.USD)
	}
	for _, tt := range []struct {
		name   string
		add    func(*listed)
		reason string // empty: it is not shown
		alike  common.Address
		claim  string
	}{
		{"of nothing", one(realUSDT, seed, stranger, 0), "zero", common.Address{}, ""},
		{"of nothing, to a look-alike", one(realUSDT, seed, alike(next, 1), 0), "zero", next, ""},
		{"of nothing of no token", one(token, seed, stranger, 0), "zero", common.Address{}, ""},
		{"another USDT", said("USDT"), "counterfeit", common.Address{}, "USDT"},
		{"with a Cyrillic letter", said("USDТ"), "counterfeit", common.Address{}, "USDТ"},
		{"U$DT", said("U$DT"), "counterfeit", common.Address{}, "U$DT"},
		{"passes for the chain's own coin", said("ETH"), "counterfeit", common.Address{}, "ETH"},
		{"says it came from the seed, to a look-alike", func(l *listed) {
			l.symbols[token.Token] = "USDT"
			l.add(500, token, seed, alike(next, 1), 400_000_000)
		}, "counterfeit", next, "USDT"},
		{"a token of no value", said("SHIB"), "token", common.Address{}, "SHIB"},
		{"a token that says nothing", one(token, stranger, seed, 5), "token", common.Address{}, ""},
		{"minted to the seed", one(token, common.Address{}, seed, 5), "token", common.Address{}, ""},
		{"a token to 21 at once", many(token, 21, 5), "airdrop", common.Address{}, "BONUS"},
		{"a token to 20 at once", many(token, 20, 5), "token", common.Address{}, "BONUS"},
		{"a token to 21 at once, also before", func(l *listed) {
			many(token, 21, 5)(l)
			l.add(600, token, stranger, next, 5)
		}, "airdrop", common.Address{}, "BONUS"},
		{"a cent to 21 at once", many(realUSDT, 21, 10_000), "dust", common.Address{}, ""},
		{"a cent to 20 at once", many(realUSDT, 20, 10_000), "", common.Address{}, ""},
		{"wages of 21", many(realUSDT, 21, 100_000_000), "", common.Address{}, ""},
		{"gas for 21", many(coin, 21, 1e15), "", common.Address{}, ""}, // two dollars
		{"a cent", one(realUSDT, stranger, seed, 10_000), "", common.Address{}, ""},
		{"a cent from a look-alike", one(realUSDT, alike(next, 1), seed, 10_000), "lookalike", next, ""},
		{"a little coin from a look-alike", one(coin, alike(next, 1), seed, 1e13), "lookalike", next, ""},
		{"money from a look-alike", one(realUSDT, alike(next, 1), seed, 10_000_000), "", common.Address{}, ""},
		{"a cent from a look-alike of the payer", one(realUSDT, alike(victim, 1), seed, 10_000), "lookalike", common.Address{}, ""},
		{"a collectible", one(tracer.Asset{Chain: devnet.ChainID, Kind: tracer.NFT, Token: token.Token}, stranger, seed, 77), "nft", common.Address{}, ""},
		{"to itself", one(token, seed, seed, 5), "", common.Address{}, ""},
		{"nothing to itself", one(realUSDT, seed, seed, 0), "", common.Address{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := base()
			tt.add(l)
			r := l.report(t, reported)
			for _, want := range []struct{ what, got, want any }{
				{"dollars", r.Totals.USD, plain.Totals.USD},
				{"coins", len(r.Totals.Assets), 1},
				{"held", r.Totals.Assets[0].Held, plain.Totals.Assets[0].Held},
				{"wallets", len(r.Wallets), len(plain.Wallets)},
				{"transfers", len(r.Transfers), len(plain.Transfers)},
				{"gaps", len(r.Gaps), len(plain.Gaps)},
			} {
				if want.got != want.want {
					t.Errorf("%s: %v, want %v", want.what, want.got, want.want)
				}
			}
			if err := r.check(); err != nil {
				t.Error(err)
			}
			b, err := Bundle(t.Context(), r, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range b {
				if bytes.Contains(bytes.ToLower(f.Data), []byte(tracer.Hex(victim)[2:])) {
					t.Errorf("%s names who paid", f.Name)
				}
			}
			if tt.reason == "" {
				if len(r.Uncounted) > 0 {
					t.Errorf("is shown: %+v", r.Uncounted)
				}
				return
			}
			if len(r.Uncounted) == 0 {
				t.Fatal("is not shown")
			}
			u := r.Uncounted[0]
			for _, other := range r.Uncounted[1:] {
				if other.Reason != tt.reason {
					t.Errorf("is shown as %s too", other.Reason)
				}
			}
			s := u.Samples[0]
			lookAlike := ""
			if tt.alike != (common.Address{}) {
				lookAlike = tracer.Hex(tt.alike)
			}
			if u.Address != tracer.Hex(seed) || u.Reason != tt.reason || u.Transfers != 1 || s.LookAlike != lookAlike || s.Claim != tt.claim {
				t.Errorf("is shown as %+v, want %s, %q, %q", u, tt.reason, lookAlike, tt.claim)
			}
			page := string(b[slices.IndexFunc(b, func(f NamedFile) bool { return f.Name == "report.html" })].Data)
			if !strings.Contains(page, why[tt.reason][0]+": 1 transfer") && !strings.Contains(page, why[tt.reason][0]+": 2 transfers") {
				t.Errorf("the page does not say %q", why[tt.reason][0])
			}
		})
	}
}

// TestReportedToken: a token of no known value that is the reported payment itself
// is followed in base units, says of itself what it says, and has no dollars.
func TestReportedToken(t *testing.T) {
	victim, seed, next := somebody("victim"), somebody("seed"), somebody("next")
	fake := tracer.TokenOf(devnet.ChainID, somebody("token"))
	l := &listed{symbols: map[common.Address]string{fake.Token: "USDТ"}}
	l.add(100, fake, victim, seed, 5_000_000_000)
	l.add(200, fake, seed, next, 4_000_000_000)
	r := l.report(t, tracer.Seed{Tx: l.ts[0].Tx})
	if len(r.Tokens) != 1 || !r.Tokens[0].Traced || r.Tokens[0].ReadsAs != "USDT" || r.Tokens[0].Real != realUSDT.String() || *r.Tokens[0].Decimals != 6 {
		t.Fatalf("the tokens are %+v", r.Tokens)
	}
	if a := r.Seeds[0].Amounts[0]; a.Amount != "5000000000" || a.Readable != "" || a.USD != "" || a.Symbol != "token" || r.Totals.USD.Reported != "0.00" {
		t.Errorf("reported is %+v, %+v", a, r.Totals.USD)
	}
	if len(r.Uncounted) > 0 {
		t.Errorf("what is traced is shown as not counted: %+v", r.Uncounted)
	}
	b, err := page(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := "5,000,000,000 base units; the token says this is 5,000 “USDТ”"; !bytes.Contains(b, []byte(want)) {
		t.Errorf("the page does not say %q", want)
	}
}

// TestTokensBounded: however many tokens there are, so many are asked, those seen
// most often first, within the budget.
func TestTokensBounded(t *testing.T) {
	victim, seed := somebody("victim"), somebody("seed")
	l := &listed{symbols: make(map[common.Address]string)}
	l.add(100, realUSDT, victim, seed, 1000_000_000)
	for i := range mostTokens + 100 {
		a := tracer.TokenOf(devnet.ChainID, somebody(fmt.Sprint("token", i)))
		l.symbols[a.Token] = "T"
		for n := range 1 + i/(mostTokens+50) {
			l.add(101+n, a, somebody("stranger"), seed, 1)
		}
	}
	r := l.report(t, tracer.Seed{Tx: l.ts[0].Tx})
	asked, often := 0, 0
	for _, x := range r.Tokens {
		if x.Asked {
			asked++
		} else if x.Transfers > 1 {
			often++
		}
	}
	if len(r.Tokens) != mostTokens+100 || asked != mostTokens || often > 0 || r.Uncounted[0].Transfers != mostTokens+150 || len(r.Uncounted[0].Samples) != mostSamples {
		t.Errorf("%d tokens, %d asked, %d of those seen twice not; %+v", len(r.Tokens), asked, often, r.Uncounted[0])
	}
}
