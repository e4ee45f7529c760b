package report

import (
	"cmp"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/label"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// exits groups arrivals by the address that can be asked about: the deposit
// address where there is one, else the service's own wallet.
func (b *builder) exits() []Exit {
	type exit struct {
		Exit
		wallet  uint32
		money   money
		usd     tracer.Micros
		entries []int // that brought traced money to the address
	}
	var list []*exit
	by := make(map[uint32]*exit)
	for i := range b.w.Arrivals {
		a := &b.w.Arrivals[i]
		e := &b.w.Entries[a.Entry]
		wallet := b.w.Store.Wallet(a.Wallet)
		usd, _, ok := b.usd(a.Asset, &a.Amount, e.Time)
		l, service := b.Labels.Service(wallet)
		if l.Category.Burn() || wallet.Address == (common.Address{}) {
			b.at(a.Wallet, e.Time).off.add(a.Asset, &a.Amount, usd, ok)
			continue
		}
		b.at(a.Wallet, e.Time).exited.add(a.Asset, &a.Amount, usd, ok)
		b.exited.add(a.Asset, &a.Amount, usd, ok)
		at := a.Wallet
		d, deposit := b.deposits[b.address(e.From)]
		if deposit = deposit && e.To == a.Wallet; deposit {
			at = e.From
		}
		x := by[at]
		if x == nil {
			x = &exit{wallet: at}
			switch {
			case deposit:
				x.Exit = Exit{Service: d.Name, Category: d.Category, Rule: "deposit", Confidence: d.Confidence, Source: d.Source}
			case service:
				x.Exit = Exit{Service: l.Name, Category: string(l.Category), Rule: "label", Confidence: l.Confidence, Source: l.Source}
			default:
				x.Exit = Exit{Service: "unknown service", Category: string(label.Other), Rule: "label"}
			}
			by[at] = x
			list = append(list, x)
		}
		x.money.add(a.Asset, &a.Amount, usd, ok)
		if x.Rule == "label" {
			x.entries = append(x.entries, a.Entry)
		}
	}
	// A customer's credit is the payment into the deposit address, not the
	// service's emptying of it.
	paid := func(wallet uint32, entry int) {
		if x := by[wallet]; x != nil && x.Rule == "deposit" {
			x.entries = append(x.entries, entry)
		}
	}
	for i := range b.w.Books.Receipts {
		paid(b.w.Books.Receipts[i].Wallet, b.w.Books.Receipts[i].Entry)
	}
	for i := range b.w.Books.Moves {
		if e := &b.w.Entries[b.w.Books.Moves[i].Entry]; e.Kind != tracer.KindFee {
			paid(e.To, b.w.Books.Moves[i].Entry)
		}
	}
	for i := range b.w.Books.Conversions {
		paid(b.w.Books.Conversions[i].Receiver, b.w.Books.Conversions[i].Entry)
	}
	for _, x := range list {
		x.Address, x.Chain, x.Path = b.hex(x.wallet), b.chainID(), b.path(x.wallet)
		d := x.money.dollars()
		x.Amounts, x.USD, x.usd = b.list(x.money), d.String(), d.sum
		slices.Sort(x.entries)
		x.Transactions = []string{}
		for i, entry := range x.entries {
			if i == 0 || b.w.Entries[x.entries[i-1]].Tx != b.w.Entries[entry].Tx {
				x.Transactions = append(x.Transactions, b.tx(entry))
			}
		}
		if n := len(x.entries); n > 0 {
			x.First, x.Last = stamp(b.w.Entries[x.entries[0]].Time), stamp(b.w.Entries[x.entries[n-1]].Time)
		}
	}
	slices.SortFunc(list, func(x, y *exit) int { return cmp.Or(cmp.Compare(y.usd, x.usd), cmp.Compare(x.Address, y.Address)) })
	out := []Exit{}
	for _, x := range list {
		out = append(out, x.Exit)
	}
	return out
}

func (b *builder) gaps() []Gap {
	list := slices.Clone(b.w.Gaps)
	at := func(g *walk.Gap) (m money) {
		if l := b.lives[g.Wallet]; l != nil {
			m = l.gap
		}
		return m
	}
	slices.SortFunc(list, func(x, y walk.Gap) int {
		return cmp.Or(cmp.Compare(at(&y).dollars().sum, at(&x).dollars().sum), b.compare(x.Wallet, y.Wallet))
	})
	out := []Gap{}
	for i := range list {
		g := &list[i]
		out = append(out, Gap{
			Address: b.hex(g.Wallet), Chain: b.chainID(), Reason: string(g.Reason),
			Amounts: b.list(at(g)), USD: at(g).dollars().String(), Detail: clean(g.Detail, 400),
		})
	}
	return out
}

func (b *builder) wallets(clusters []Cluster) []Wallet {
	cluster := make(map[string]string)
	for _, c := range clusters {
		for _, w := range c.Wallets {
			cluster[w] = c.ID
		}
	}
	type wallet struct {
		Wallet
		id  uint32
		usd tracer.Micros
	}
	list := []wallet{}
	for id, l := range b.lives {
		if l == nil {
			continue
		}
		id := uint32(id)
		w := b.w.Store.Wallet(id)
		status := b.w.Status(w.Address)
		usd := l.received.dollars()
		x := wallet{Wallet{
			Address: b.hex(id), Chain: b.chainID(), Hop: int(max(b.hop[id], 0)), Labels: []Label{},
			Received: b.list(l.received), Assumed: b.list(l.assumed), Sent: b.list(l.sent), Held: b.list(l.held),
			Exited: b.list(l.exited), WrittenOff: b.list(l.off), Gap: b.list(l.gap),
			USD: usd.String(), First: stamp(l.first), Last: stamp(l.last),
			Contract: status.Contract, Complete: status.Complete, Reason: clean(status.Detail, 400),
		}, id, usd.sum}
		for _, l := range b.Labels.Of(w) {
			x.Labels = append(x.Labels, show(l))
		}
		x.Cluster = cluster[x.Address]
		_, service := b.Labels.Service(w)
		_, deposit := b.deposits[w.Address]
		switch {
		case service:
			x.Role = "service"
		case b.seed[w]:
			x.Role = "seed"
		case status.Hub:
			x.Role = "hub"
		case deposit:
			x.Role = "deposit"
		case len(x.Held) > 0:
			x.Role = "holding"
		default:
			x.Role = "intermediary"
		}
		list = append(list, x)
	}
	slices.SortFunc(list, func(x, y wallet) int {
		return cmp.Or(cmp.Compare(x.Hop, y.Hop), cmp.Compare(y.usd, x.usd), cmp.Compare(x.Address, y.Address))
	})
	shown := make(map[string][]int)
	out := []Wallet{}
	for i, x := range list {
		k := shorten(x.Address)
		shown[k] = append(shown[k], i)
		out = append(out, x.Wallet)
	}
	for _, same := range shown {
		for n, i := range same {
			if len(same) > 1 {
				out[i].LookAlike = out[same[(n+1)%len(same)]].Address
			}
		}
	}
	return out
}

func (b *builder) totals(r *Report) Totals {
	var assumed, off, gap money
	for _, l := range b.lives {
		if l == nil {
			continue
		}
		for i := range l.assumed {
			assumed.add(l.assumed[i].asset, &l.assumed[i].amount, 0, true)
		}
		for i := range l.off {
			off.add(l.off[i].asset, &l.off[i].amount, 0, true)
		}
		for i := range l.gap {
			gap.add(l.gap[i].asset, &l.gap[i].amount, 0, true)
		}
	}
	t := Totals{Assets: []AssetTotal{}}
	for id := range b.w.Books.Totals {
		total := &b.w.Books.Totals[id]
		if *total == (ledger.Total{}) {
			continue
		}
		n := uint32(id)
		a := &b.assets[n]
		row := AssetTotal{Asset: a.id, Symbol: a.symbol,
			Reported: new(uint256.Int).Sub(&total.Reported, assumed.of(n)).Dec(), Assumed: assumed.of(n).Dec(),
			ConvertedIn: total.ConvertedIn.Dec(), ConvertedOut: total.ConvertedOut.Dec(),
			Exited: b.exited.of(n).Dec(), Held: b.held.of(n).Dec(), Gaps: gap.of(n).Dec(), WrittenOff: off.of(n).Dec(),
		}
		if a.known {
			row.Decimals = &a.decimals
		}
		t.Assets = append(t.Assets, row)
	}
	slices.SortFunc(t.Assets, func(x, y AssetTotal) int { return cmp.Compare(x.Asset, y.Asset) })
	t.USD = r.dollars()
	return t
}
