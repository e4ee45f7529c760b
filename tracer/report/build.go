package report

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/label"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/price"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Input is what a [Report] is built from.
type Input struct {
	Walk      *walk.Result
	Labels    *label.Set
	Prices    *price.Book
	Version   string // of the tool
	Reference string // of the case
	Source    string // what was read, in words
	Since     uint64 // Unix seconds, as asked for
	Until     uint64
	Notes     []string // what the source could not do, in sentences
}

// Build writes a walk down as a report. It is pure: the same input gives the
// same report.
func Build(in Input) *Report {
	b := &builder{Input: in, w: in.Walk, chain: &in.Walk.Chain}
	r := &Report{
		Schema: Schema,
		Tool:   Tool{"scamtrace", in.Version},
		Case:   Case{tracer.CleanText(in.Reference, 80)},
		Chains: []Chain{{
			ID: b.chainID(), Name: b.chain.Name, Title: b.chain.Title, Symbol: b.chain.Symbol,
			Pinned: Block{b.w.Pinned.Number, hash(b.w.Pinned.Hash), stamp(b.w.Pinned.Time)},
			Source: in.Source,
		}},
		Parameters: Parameters{
			Policy: b.w.Policy.String(), Since: stamp(in.Since), Until: stamp(in.Until),
			MaxRequests: b.w.Limits.Requests, MaxWallets: b.w.Limits.Wallets,
			MinUSD: b.w.Limits.MinUSD.Decimal(), HubTransfers: b.w.Limits.Hub,
			Labels: LabelSet{label.Version, in.Labels.SHA256(), in.Labels.Len()},
		},
	}
	r.Clusters = b.who()
	b.clusters = r.Clusters
	b.graph()
	r.Seeds = b.seeds()
	r.Exits = b.exits()
	r.Gaps = b.gaps()
	r.Totals = b.totals()
	r.Wallets = b.wallets()
	r.Transfers, r.Flows = b.transfers()
	r.Conversions = b.conversions()
	r.Policies = []Policy{{Name: r.Parameters.Policy, Exited: b.exited.list(b), Held: b.held.list(b)}}
	r.Notes = b.notes()
	r.Outcome.Status = "complete"
	if s := b.w.Stopped; s.Reason != "" {
		r.Outcome.Status = "partial"
		r.Outcome.Reasons = []string{strings.ToUpper(s.Detail[:1]) + s.Detail[1:] + "."}
	}
	r.Outcome.Sentence = Sentence(r)
	return r
}

type builder struct {
	Input
	w     *walk.Result
	chain *tracer.Chain

	deposits map[common.Address]Label // of addresses that forward only to one service
	clusters []Cluster

	hop    map[tracer.Wallet]int
	view   *graphstore.View
	exited money // of Arrivals that are not burned
	held   money
	burned money
	gap    money
}

// money is amounts by asset, with their dollars.
type money map[uint32]*sum

type sum struct {
	amount uint256.Int
	usd    tracer.Micros
	priced bool // all of it
}

func (m money) add(b *builder, asset uint32, amount *uint256.Int, at uint64) {
	s := m[asset]
	if s == nil {
		s = &sum{priced: true}
		m[asset] = s
	}
	s.amount.Add(&s.amount, amount)
	usd, _, ok := b.price(asset, amount, at)
	s.usd += usd
	s.priced = s.priced && ok
}

func (m money) usd() (total tracer.Micros, priced bool) {
	priced = true
	for _, s := range m {
		total += s.usd
		priced = priced && s.priced
	}
	return total, priced
}

// dollars is empty where no part has a price.
func (m money) dollars() string {
	total, priced := m.usd()
	if total == 0 && !priced {
		return ""
	}
	return total.Decimal()
}

func (m money) list(b *builder) []Amount {
	list := []Amount{}
	for id, s := range m {
		if s.amount.IsZero() {
			continue
		}
		a := b.amount(id, &s.amount)
		if s.priced {
			a.USD = s.usd.Decimal()
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(x, y Amount) int { return cmp.Compare(x.Asset, y.Asset) })
	return list
}

func (b *builder) price(asset uint32, amount *uint256.Int, at uint64) (tracer.Micros, string, bool) {
	return b.Prices.USD(b.w.Store.Asset(asset), amount, at)
}

func (b *builder) amount(asset uint32, v *uint256.Int) Amount {
	a := b.w.Store.Asset(asset)
	symbol, decimals, ok := b.chain.Describe(a)
	out := Amount{Asset: a.String(), Symbol: symbol, Amount: v.Dec()}
	if ok {
		out.Readable = tracer.Readable(v, decimals)
	} else {
		out.Symbol = "token"
	}
	return out
}

func (b *builder) chainID() string { return fmt.Sprintf("eip155:%d", b.chain.ID) }

func (b *builder) address(wallet uint32) common.Address { return b.w.Store.Wallet(wallet).Address }

func hash(h common.Hash) string {
	if h == (common.Hash{}) {
		return ""
	}
	return h.Hex()
}

func stamp(t uint64) string {
	if t == 0 || t > math.MaxInt32*1000 {
		return ""
	}
	return time.Unix(int64(t), 0).UTC().Format(time.RFC3339)
}

// graph builds the graph of traced flows, for hops and paths.
func (b *builder) graph() {
	s := graphstore.New()
	s.AddFlows(func(yield func(graphstore.Pair, graphstore.Flow) bool) {
		for from, to := range b.steps() {
			if !yield(graphstore.Pair{From: b.w.Store.Wallet(from), To: b.w.Store.Wallet(to)}, graphstore.Flow{Transfers: 1}) {
				return
			}
		}
	})
	b.view = s.Freeze()
	b.hop = make(map[tracer.Wallet]int)
	var seeds []tracer.Wallet
	for _, s := range b.w.Seeds {
		seeds = append(seeds, s.Wallet)
		b.hop[s.Wallet] = 0
	}
	maps.Insert(b.hop, b.view.Reach(seeds, math.MaxInt32))
}

// steps yields where traced money went, wallet to wallet.
func (b *builder) steps() iter.Seq2[uint32, uint32] {
	return func(yield func(uint32, uint32) bool) {
		for _, m := range b.w.Books.Moves {
			if e := &b.w.Entries[m.Entry]; e.Kind != tracer.KindFee && !yield(e.From, e.To) {
				return
			}
		}
		for _, c := range b.w.Books.Conversions {
			if c.Payer != c.Receiver && !yield(c.Payer, c.Receiver) {
				return
			}
		}
	}
}

// path is the shortest way from a seed to a wallet, in addresses.
func (b *builder) path(to tracer.Wallet) []string {
	var best []tracer.Wallet
	for _, s := range b.w.Seeds {
		if s.Wallet == to {
			return []string{tracer.Hex(to.Address)}
		}
		if p := b.view.Path(s.Wallet, to); p != nil && (best == nil || len(p) < len(best)) {
			best = p
		}
	}
	out := []string{}
	for _, w := range best {
		out = append(out, tracer.Hex(w.Address))
	}
	return out
}

func (b *builder) seeds() []Seed {
	out := []Seed{}
	for _, s := range b.w.Seeds {
		got := money{}
		for _, r := range b.w.Books.Receipts {
			e := &b.w.Entries[r.Entry]
			if b.w.Store.Wallet(r.Wallet) == s.Wallet && (s.Tx == (common.Hash{}) || b.w.Store.Tx(e.Tx) == s.Tx) {
				got.add(b, r.Asset, &r.Amount, e.Time)
			}
		}
		out = append(out, Seed{
			Address: tracer.Hex(s.Wallet.Address), Chain: b.chainID(), Tx: hash(s.Tx),
			Amounts: got.list(b), USD: got.dollars(),
		})
	}
	return out
}

// exits groups arrivals by the address that can be asked about: the deposit
// address where there is one, else the service's own wallet.
func (b *builder) exits() []Exit {
	type exit struct {
		Exit
		money money
		usd   tracer.Micros
		times []uint64
	}
	b.exited, b.burned = money{}, money{}
	by := make(map[common.Address]*exit)
	for _, a := range b.w.Arrivals {
		e := &b.w.Entries[a.Entry]
		at := b.w.Store.Wallet(a.Wallet)
		l, ok := b.Labels.Service(at)
		if l.Category.Burn() || at.Address == (common.Address{}) {
			b.burned.add(b, a.Asset, &a.Amount, e.Time)
			continue
		}
		b.exited.add(b, a.Asset, &a.Amount, e.Time)
		x := Exit{Service: l.Name, Category: string(l.Category), Rule: "label", Confidence: l.Confidence, Source: l.Source}
		if !ok {
			x.Service, x.Category = "unknown service", "other"
		}
		if d, ok := b.deposits[b.address(e.From)]; ok && e.To == a.Wallet {
			at = b.w.Store.Wallet(e.From)
			x = Exit{Service: d.Name, Category: d.Category, Rule: "deposit", Confidence: d.Confidence, Source: d.Source}
		}
		g := by[at.Address]
		if g == nil {
			x.Address, x.Chain = tracer.Hex(at.Address), b.chainID()
			x.Path = b.path(at)
			g = &exit{Exit: x, money: money{}}
			by[at.Address] = g
		}
		g.money.add(b, a.Asset, &a.Amount, e.Time)
		g.times = append(g.times, e.Time)
		if tx := b.w.Store.Tx(e.Tx).Hex(); !slices.Contains(g.Transactions, tx) {
			g.Transactions = append(g.Transactions, tx)
		}
	}
	var list []*exit
	for _, g := range by {
		g.Amounts, g.USD = g.money.list(b), g.money.dollars()
		g.usd, _ = g.money.usd()
		g.First, g.Last = stamp(slices.Min(g.times)), stamp(slices.Max(g.times))
		list = append(list, g)
	}
	slices.SortFunc(list, func(x, y *exit) int { return cmp.Or(cmp.Compare(y.usd, x.usd), cmp.Compare(x.Address, y.Address)) })
	out := []Exit{}
	for _, g := range list {
		out = append(out, g.Exit)
	}
	return out
}

func (b *builder) gaps() []Gap {
	type gap struct {
		Gap
		usd tracer.Micros
	}
	b.gap = money{}
	var list []gap
	for _, g := range b.w.Gaps {
		m := money{}
		for _, p := range g.Money {
			m.add(b, p.Asset, &p.Amount, p.Time)
			b.gap.add(b, p.Asset, &p.Amount, p.Time)
		}
		usd, _ := m.usd()
		list = append(list, gap{Gap{
			Address: tracer.Hex(b.address(g.Wallet)), Chain: b.chainID(), Reason: string(g.Reason),
			Amounts: m.list(b), USD: m.dollars(), Detail: tracer.CleanText(g.Detail, 400),
		}, usd})
	}
	slices.SortFunc(list, func(x, y gap) int { return cmp.Or(cmp.Compare(y.usd, x.usd), cmp.Compare(x.Address, y.Address)) })
	out := []Gap{}
	for _, g := range list {
		out = append(out, g.Gap)
	}
	return out
}

func (b *builder) totals() Totals {
	b.held = money{}
	for _, h := range b.w.Held {
		b.held.add(b, h.Asset, &h.Amount, h.Time)
	}
	reported, fees := money{}, money{}
	for _, r := range b.w.Books.Receipts {
		reported.add(b, r.Asset, &r.Amount, b.w.Entries[r.Entry].Time)
	}
	for _, m := range b.w.Books.Moves {
		if e := &b.w.Entries[m.Entry]; e.Kind == tracer.KindFee {
			fees.add(b, e.Asset, &m.Traced, e.Time)
		}
	}
	of := func(m money, id uint32) *uint256.Int {
		if s := m[id]; s != nil {
			return &s.amount
		}
		return new(uint256.Int)
	}
	t := Totals{Assets: []AssetTotal{}}
	for id := range b.w.Books.Totals {
		total := &b.w.Books.Totals[id]
		if *total == (ledger.Total{}) {
			continue
		}
		n := uint32(id)
		a := b.w.Store.Asset(n)
		row := AssetTotal{Asset: a.String(), Symbol: b.amount(n, new(uint256.Int)).Symbol,
			Reported: total.Reported.Dec(), ConvertedIn: total.ConvertedIn.Dec(), ConvertedOut: total.ConvertedOut.Dec(),
			Exited: of(b.exited, n).Dec(), Held: of(b.held, n).Dec(), Gaps: of(b.gap, n).Dec(),
			WrittenOff: new(uint256.Int).Add(of(fees, n), of(b.burned, n)).Dec(),
		}
		if _, decimals, ok := b.chain.Describe(a); ok {
			row.Decimals = &decimals
		}
		t.Assets = append(t.Assets, row)
	}
	slices.SortFunc(t.Assets, func(x, y AssetTotal) int { return cmp.Compare(x.Asset, y.Asset) })
	in, p1 := reported.usd()
	exited, p2 := b.exited.usd()
	held, p3 := b.held.usd()
	fee, p4 := fees.usd()
	burned, p5 := b.burned.usd()
	gap, p6 := b.gap.usd()
	// In whole cents, so that what is printed adds up.
	cents := func(m tracer.Micros) tracer.Micros { return (m + 5_000) / 10_000 * 10_000 }
	in, exited, held, off, gap := cents(in), cents(exited), cents(held), cents(fee+burned), cents(gap)
	t.USD = USDTotal{
		Reported: in.Decimal(), Exited: exited.Decimal(), Held: held.Decimal(), WrittenOff: off.Decimal(), Gaps: gap.Decimal(),
		PriceChange: (exited + held + off + gap - in).Decimal(),
		Unpriced:    !(p1 && p2 && p3 && p4 && p5 && p6),
	}
	return t
}

// a life is what traced money did at one wallet.
type life struct {
	received, sent, held money
	first, last          uint64
}

func (b *builder) wallets() []Wallet {
	lives := make(map[uint32]*life)
	at := func(w uint32, t uint64) *life {
		l := lives[w]
		if l == nil {
			l = &life{money{}, money{}, money{}, t, t}
			lives[w] = l
		}
		l.first, l.last = min(l.first, t), max(l.last, t)
		return l
	}
	for _, r := range b.w.Books.Receipts {
		t := b.w.Entries[r.Entry].Time
		at(r.Wallet, t).received.add(b, r.Asset, &r.Amount, t)
	}
	for _, m := range b.w.Books.Moves {
		e := &b.w.Entries[m.Entry]
		at(e.From, e.Time).sent.add(b, e.Asset, &m.Traced, e.Time)
		if e.Kind != tracer.KindFee {
			at(e.To, e.Time).received.add(b, e.Asset, &m.Traced, e.Time)
		}
	}
	for _, c := range b.w.Books.Conversions {
		t := b.w.Entries[c.Entry].Time
		for _, p := range c.Out {
			at(c.Payer, t).sent.add(b, p.Asset, &p.Amount, t)
		}
		for _, p := range c.In {
			at(c.Receiver, t).received.add(b, p.Asset, &p.Amount, t)
		}
	}
	for _, h := range b.w.Held {
		at(h.Wallet, h.Time).held.add(b, h.Asset, &h.Amount, h.Time)
	}
	seeds := make(map[tracer.Wallet]bool)
	for _, s := range b.w.Seeds {
		seeds[s.Wallet] = true
	}
	clusters := make(map[string]string)
	for _, c := range b.clusters {
		for _, w := range c.Wallets {
			clusters[w] = c.ID
		}
	}
	type wallet struct {
		Wallet
		usd tracer.Micros
		a   common.Address
	}
	var list []wallet
	for id, l := range lives {
		w := b.w.Store.Wallet(id)
		status := b.w.Status(w.Address)
		usd, _ := l.received.usd()
		x := wallet{Wallet{
			Address: tracer.Hex(w.Address), Chain: b.chainID(), Hop: b.hop[w], Labels: []Label{},
			Received: l.received.list(b), Sent: l.sent.list(b), Held: l.held.list(b), USD: l.received.dollars(),
			First: stamp(l.first), Last: stamp(l.last),
			Contract: status.Contract, Complete: status.Complete, Reason: tracer.CleanText(status.Detail, 400),
		}, usd, w.Address}
		for _, l := range b.Labels.Of(w) {
			x.Labels = append(x.Labels, show(l))
		}
		x.Cluster = clusters[x.Address]
		_, service := b.Labels.Service(w)
		_, deposit := b.deposits[w.Address]
		switch {
		case service:
			x.Role = "service"
		case seeds[w]:
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
	shown := make(map[[4]byte][]int)
	out := []Wallet{}
	for i, x := range list {
		k := [4]byte{x.a[0], x.a[1], x.a[18], x.a[19]}
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

// transfers lists the transfers that moved traced money, and their flows.
func (b *builder) transfers() ([]Transfer, []Flow) {
	type key struct{ from, to, asset uint32 }
	type flow struct {
		traced money
		n      int
		first  uint64
		last   uint64
	}
	flows := make(map[key]*flow)
	transfers := []Transfer{}
	for _, m := range b.w.Books.Moves {
		e := &b.w.Entries[m.Entry]
		t := b.w.Store.Transfer(b.w.Rows[m.Entry])
		amount := b.amount(e.Asset, &e.Amount)
		usd, source, ok := b.price(e.Asset, &m.Traced, e.Time)
		row := Transfer{
			Chain: b.chainID(), Block: t.Block, BlockHash: hash(t.BlockHash), Time: stamp(t.Time), Tx: t.Tx.Hex(),
			Position: t.Position, Kind: t.Kind.String(), Asset: amount.Asset, Symbol: amount.Symbol,
			From: tracer.Hex(t.From), To: tracer.Hex(t.To), Amount: amount.Amount, Readable: amount.Readable, Traced: m.Traced.Dec(),
		}
		if ok {
			row.USD, row.PriceSource = usd.Decimal(), source
		}
		transfers = append(transfers, row)
		if e.Kind == tracer.KindFee {
			continue
		}
		k := key{e.From, e.To, e.Asset}
		f := flows[k]
		if f == nil {
			f = &flow{traced: money{}, first: e.Time, last: e.Time}
			flows[k] = f
		}
		f.traced.add(b, e.Asset, &m.Traced, e.Time)
		f.n++
		f.first, f.last = min(f.first, e.Time), max(f.last, e.Time)
	}
	list := []Flow{}
	for k, f := range flows {
		traced := f.traced.list(b)[0]
		row := Flow{
			From: tracer.Hex(b.address(k.from)), To: tracer.Hex(b.address(k.to)), Chain: b.chainID(),
			Asset: traced.Asset, Symbol: traced.Symbol, Traced: traced.Amount, Readable: traced.Readable, USD: traced.USD,
			Transfers: f.n, First: stamp(f.first), Last: stamp(f.last), Amount: traced.Amount,
		}
		for to, all := range b.w.Store.Out(b.w.Store.Wallet(k.from)) {
			if to == b.w.Store.Wallet(k.to) && all.Asset == b.w.Store.Asset(k.asset) {
				row.Amount = all.Amount.Dec()
			}
		}
		list = append(list, row)
	}
	slices.SortFunc(list, func(x, y Flow) int {
		return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To), cmp.Compare(x.Asset, y.Asset))
	})
	return transfers, list
}

func (b *builder) conversions() []Conversion {
	out := []Conversion{}
	for _, c := range b.w.Books.Conversions {
		e := &b.w.Entries[c.Entry]
		gave, got := money{}, money{}
		for _, p := range c.Out {
			gave.add(b, p.Asset, &p.Amount, e.Time)
		}
		for _, p := range c.In {
			got.add(b, p.Asset, &p.Amount, e.Time)
		}
		out = append(out, Conversion{
			Chain: b.chainID(), Block: e.Block, Time: stamp(e.Time), Tx: b.w.Store.Tx(e.Tx).Hex(),
			Wallet: tracer.Hex(b.address(c.Payer)), Receiver: tracer.Hex(b.address(c.Receiver)),
			Out: gave.list(b), In: got.list(b),
		})
	}
	return out
}

// notes says what the report assumes and what it leaves out.
func (b *builder) notes() []string {
	notes := []string{}
	for _, n := range b.Notes {
		notes = append(notes, tracer.CleanText(n, 400))
	}
	if n := b.w.Blind; n > 0 {
		notes = append(notes, fmt.Sprintf("Coins that contracts pay out (internal transfers) could not be read for %d wallets: money that such a wallet received that way is not in this report.", n))
	}
	unseen := money{}
	for _, r := range b.w.Books.Receipts {
		if r.Unseen {
			unseen.add(b, r.Asset, &r.Amount, b.w.Entries[r.Entry].Time)
		}
	}
	for _, a := range unseen.list(b) {
		notes = append(notes, fmt.Sprintf("The reported wallets paid out %s %s more than they were seen to receive; it is counted as reported.", cmp.Or(a.Readable, a.Amount), a.Symbol))
	}
	for _, m := range []money{b.exited, b.held, b.gap} {
		if _, priced := m.usd(); !priced {
			notes = append(notes, "Some amounts have no known dollar price and are in no dollar sum.")
			break
		}
	}
	return notes
}
