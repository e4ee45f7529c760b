package report

import (
	"cmp"
	"net/url"
	"slices"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/cluster"
	"scamtrace/tracer/label"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/price"
	"scamtrace/tracer/token"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Input is what a [Report] is built from.
type Input struct {
	Walk      *walk.Result
	Known     *walk.Background // what was read of [Wanted] wallets; nil: nothing, and so there are no clusters
	Labels    *label.Set
	Prices    *price.Book
	Tokens    *token.Book // what tokens say of themselves; nil: nobody was asked
	Version   string      // of the tool
	Reference string      // of the case
	Source    string      // what was read, in words
	Endpoints []string    // the URLs that were asked; only their hosts are kept
	Since     uint64      // Unix seconds, as asked for
	Until     uint64
	Compared  bool     // the source holds what it reads against the wallets' balances
	Notes     []string // what the source could not do, in sentences
}

// Build writes a walk down as a report. It is pure: the same input gives the
// same report.
func Build(in Input) *Report {
	b := newBuilder(in)
	r := &Report{
		Schema: Schema,
		Tool:   Tool{"scamtrace", in.Version},
		Case:   Case{clean(in.Reference, 80)},
		Chains: []Chain{{
			ID: b.chainID(), Name: b.chain.Name, Title: b.chain.Title, Symbol: b.chain.Symbol,
			Pinned: Block{b.w.Pinned.Number, hash(b.w.Pinned.Hash), stamp(b.w.Pinned.Time)},
			Source: clean(in.Source, 200), Endpoints: hosts(in.Endpoints),
		}},
		Parameters: Parameters{
			Policy: b.w.Policy.String(), Since: stamp(in.Since), Until: stamp(in.Until),
			MaxRequests: b.w.Limits.Requests, MaxWallets: b.w.Limits.Wallets,
			MinUSD: b.w.Limits.MinUSD.Decimal(), HubTransfers: b.w.Limits.Hub,
			Labels: LabelSet{label.Version, in.Labels.SHA256(), in.Labels.Len(), services(in.Labels, in.Walk.Chain.ID)},
			Prices: PriceSet{in.Prices.SHA256()},
		},
	}
	r.Clusters = b.who()
	b.names()
	b.play()
	b.reach()
	r.Seeds = b.seeds()
	r.Transfers, r.Flows = b.transfers, b.flows()
	r.Conversions = b.conversions()
	r.Exits = b.exits()
	r.Gaps = b.gaps()
	r.Wallets = b.wallets(r.Clusters)
	r.Totals = b.totals(r)
	b.uncounted(r)
	r.Policies = b.policies()
	for _, rule := range cluster.Rules() {
		r.Rules = append(r.Rules, Rule{string(rule), rule.Method(), cluster.Measured(rule).String()})
	}
	r.Notes = b.notes(r)
	r.Outcome.Status = "complete"
	if s := b.w.Stopped; s.Reason != "" {
		r.Outcome.Status = "partial"
		r.Outcome.Reasons = []string{sentence(cmp.Or(clean(s.Detail, 390), string(s.Reason)))}
	}
	r.Outcome.Sentence = Sentence(r)
	return r
}

// services counts the labels of a chain that say where a trail ends: what coins
// pass through, and what nobody has the key of, can be asked for nothing.
func services(s *label.Set, chain uint64) (n int) {
	for l := range s.All() {
		if l.Wallet.Chain == chain && l.Category.Service() && !l.Category.Burn() && l.Category != label.Swap {
			n++
		}
	}
	return n
}

// blind reports whether no service is known on the chain of the report.
func (r *Report) blind() bool { return len(r.Chains) > 0 && r.Parameters.Labels.Services == 0 }

// builder holds what the parts of a report are made from. Wallets and assets
// are the numbers of the walk's store.
type builder struct {
	Input
	w     *walk.Result
	chain *tracer.Chain

	seed     map[tracer.Wallet]bool
	deposits map[common.Address]Label // of addresses that forward only to one service
	assets   []asset
	hexes    []string // of wallets that were named, by wallet

	lives     []*life // by wallet; nil: not touched
	transfers []Transfer
	moved     []flow
	hop       []int32  // by wallet; -1: not reached
	parent    []uint32 // by wallet: where the shortest way from a seed comes from

	exited, held money
}

// An asset is one of the store, in the words of a report.
type asset struct {
	id, symbol string
	decimals   uint8
	known      bool // its decimals are
}

// a life is what traced money did at one wallet.
type life struct {
	received, assumed, sent, held, exited, off, gap money
	first, last                                     uint64
}

// A flow is all traced transfers of one asset between two wallets.
type flow struct {
	from, to, asset uint32
	amount          uint256.Int
	usd             dollars
	n               int
	first, last     uint64
}

func newBuilder(in Input) *builder {
	b := &builder{Input: in, w: in.Walk, chain: &in.Walk.Chain, seed: make(map[tracer.Wallet]bool)}
	for _, s := range b.w.Seeds {
		b.seed[s.Wallet] = true
	}
	return b
}

// usd is the value of an amount in whole cents.
func (b *builder) usd(asset uint32, amount *uint256.Int, at uint64) (tracer.Micros, string, bool) {
	usd, source, ok := b.Prices.USD(b.w.Store.Asset(asset), amount, at)
	return (min(usd, mostUSD-1) + 5_000) / 10_000 * 10_000, source, ok
}

func (b *builder) list(m money) []Amount {
	list := []Amount{}
	for i := range m {
		s := &m[i]
		if s.amount.IsZero() {
			continue
		}
		a := b.amount(s.asset, &s.amount)
		if !s.usd.missing {
			a.USD = s.usd.String()
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(x, y Amount) int { return cmp.Compare(x.Asset, y.Asset) })
	return list
}

func (b *builder) amount(n uint32, v *uint256.Int) Amount {
	a := &b.assets[n]
	out := Amount{Asset: a.id, Symbol: a.symbol, Amount: v.Dec()}
	if a.known {
		out.Readable = tracer.Readable(v, a.decimals)
	}
	return out
}

func (b *builder) chainID() string { return tracer.ChainID(b.chain.ID) }

func (b *builder) address(wallet uint32) common.Address { return b.w.Store.Wallet(wallet).Address }

// hex is a wallet's address for machines, made once.
func (b *builder) hex(wallet uint32) string {
	s := &b.hexes[wallet]
	if *s == "" {
		*s = b.w.Store.Wallet(wallet).Text()
	}
	return *s
}

func (b *builder) compare(x, y uint32) int { return b.address(x).Cmp(b.address(y)) }

func (b *builder) tx(entry int) string {
	return tracer.ShowTx(b.chain.ID, b.w.Store.Tx(b.w.Entries[entry].Tx))
}

// seedTx is the hash of a reported payment, or nothing.
func (b *builder) seedTx(h common.Hash) string {
	if h == (common.Hash{}) {
		return ""
	}
	return tracer.ShowTx(b.chain.ID, h)
}

// hash is that of a block, or nothing.
func hash(h common.Hash) string {
	if h == (common.Hash{}) {
		return ""
	}
	return h.Hex()
}

// stamp writes a time, or nothing for zero and what RFC 3339 cannot say.
func stamp(t uint64) string {
	const year10000 = 253402300800
	if t == 0 || t >= year10000 {
		return ""
	}
	return time.Unix(int64(t), 0).UTC().Format(time.RFC3339)
}

// hosts are the hosts of URLs, sorted, each once. Keys are often in the rest.
func hosts(urls []string) []string {
	out := []string{}
	for _, s := range urls {
		if u, err := url.Parse(s); err == nil && u.Hostname() != "" && all(u.Hostname(), isWord) {
			out = append(out, u.Hostname())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (b *builder) names() {
	s := b.w.Store
	b.hexes = make([]string, s.Wallets())
	for n := range s.Assets() {
		a := s.Asset(uint32(n))
		x := asset{id: a.String()}
		if x.symbol, x.decimals, x.known = b.chain.Describe(a); !x.known {
			x.symbol = "token"
		}
		b.assets = append(b.assets, x)
	}
}

// at returns the life of a wallet, which had traced money at a time.
func (b *builder) at(wallet uint32, time uint64) *life {
	l := b.lives[wallet]
	if l == nil {
		l = &life{first: time, last: time}
		b.lives[wallet] = l
	}
	l.first, l.last = min(l.first, time), max(l.last, time)
	return l
}

// play goes through the books once and writes down what happened at every
// wallet, every transfer and every flow.
func (b *builder) play() {
	b.lives = make([]*life, b.w.Store.Wallets())
	books := b.w.Books
	for i := range books.Receipts {
		r := &books.Receipts[i]
		t := b.w.Entries[r.Entry].Time
		usd, _, ok := b.usd(r.Asset, &r.Amount, t)
		b.at(r.Wallet, t).received.add(r.Asset, &r.Amount, usd, ok)
		if b.assumed(r) {
			b.at(r.Wallet, t).assumed.add(r.Asset, &r.Amount, usd, ok)
		}
	}
	b.transfers = make([]Transfer, 0, len(books.Moves))
	flows := make(map[[3]uint32]int)
	for i := range books.Moves {
		m := &books.Moves[i]
		e := &b.w.Entries[m.Entry]
		usd, source, ok := b.usd(e.Asset, &m.Traced, e.Time)
		b.transfer(m, usd, source, ok)
		if e.Kind == tracer.KindFee {
			b.at(e.From, e.Time).off.add(e.Asset, &m.Traced, usd, ok)
			continue
		}
		b.at(e.From, e.Time).sent.add(e.Asset, &m.Traced, usd, ok)
		b.at(e.To, e.Time).received.add(e.Asset, &m.Traced, usd, ok)
		k := [3]uint32{e.From, e.To, e.Asset}
		n, seen := flows[k]
		if !seen {
			n = len(b.moved)
			flows[k] = n
			b.moved = append(b.moved, flow{from: e.From, to: e.To, asset: e.Asset, first: e.Time})
		}
		f := &b.moved[n]
		f.amount.Add(&f.amount, &m.Traced)
		f.usd.add(usd, ok)
		f.n++
		f.last = e.Time
	}
	for i := range books.Conversions {
		c := &books.Conversions[i]
		t := b.w.Entries[c.Entry].Time
		for _, p := range c.Out {
			usd, _, ok := b.usd(p.Asset, &p.Amount, t)
			b.at(c.Payer, t).sent.add(p.Asset, &p.Amount, usd, ok)
		}
		for _, p := range c.In {
			usd, _, ok := b.usd(p.Asset, &p.Amount, t)
			b.at(c.Receiver, t).received.add(p.Asset, &p.Amount, usd, ok)
		}
	}
	for i := range b.w.Held {
		h := &b.w.Held[i]
		usd, _, ok := b.usd(h.Asset, &h.Amount, h.Time)
		b.at(h.Wallet, h.Time).held.add(h.Asset, &h.Amount, usd, ok)
		b.held.add(h.Asset, &h.Amount, usd, ok)
	}
	for i := range b.w.Gaps {
		g := &b.w.Gaps[i]
		for n := range g.Money {
			p := &g.Money[n]
			usd, _, ok := b.usd(p.Asset, &p.Amount, p.Time)
			b.at(g.Wallet, p.Time).gap.add(p.Asset, &p.Amount, usd, ok)
		}
	}
}

// assumed reports whether a receipt is money that nobody reported.
func (b *builder) assumed(r *ledger.Receipt) bool {
	return r.Tainted || r.Unseen && !b.seed[b.w.Store.Wallet(r.Wallet)]
}

// transfer writes down one move. Neighbors share what they have in common.
func (b *builder) transfer(m *ledger.Move, usd tracer.Micros, source string, ok bool) {
	t := b.w.Store.Transfer(b.w.Rows[m.Entry])
	e := &b.w.Entries[m.Entry]
	amount := b.amount(e.Asset, &e.Amount)
	row := Transfer{
		Block: t.Block, Position: t.Position, Kind: t.Kind.String(), Asset: amount.Asset, Symbol: amount.Symbol,
		From: b.hex(e.From), To: b.hex(e.To), Amount: amount.Amount, Readable: amount.Readable,
		Traced: amount.Amount, TracedReadable: amount.Readable,
	}
	if !m.Traced.Eq(&e.Amount) {
		part := b.amount(e.Asset, &m.Traced)
		row.Traced, row.TracedReadable = part.Amount, part.Readable
	}
	if ok {
		row.USD, row.PriceSource = usd.Decimal(), source
	}
	if n := len(b.transfers); n > 0 && b.transfers[n-1].Block == t.Block {
		last := &b.transfers[n-1]
		row.Chain, row.BlockHash, row.Time = last.Chain, last.BlockHash, last.Time
		if b.w.Entries[b.w.Books.Moves[n-1].Entry].Tx == e.Tx {
			row.Tx = last.Tx
		}
	} else {
		row.Chain, row.BlockHash, row.Time = b.chainID(), hash(t.BlockHash), stamp(t.Time)
	}
	if row.Tx == "" {
		row.Tx = tracer.ShowTx(b.chain.ID, t.Tx)
	}
	b.transfers = append(b.transfers, row)
}

// reach finds the fewest hops from a seed to every wallet, and a way. Of
// several ways it takes the one over the lowest addresses.
func (b *builder) reach() {
	next := make(map[uint32][]uint32)
	for i := range b.moved {
		f := &b.moved[i]
		next[f.from] = append(next[f.from], f.to)
	}
	for i := range b.w.Books.Conversions {
		if c := &b.w.Books.Conversions[i]; c.Payer != c.Receiver {
			next[c.Payer] = append(next[c.Payer], c.Receiver)
		}
	}
	b.hop = make([]int32, b.w.Store.Wallets())
	for i := range b.hop {
		b.hop[i] = -1
	}
	b.parent = make([]uint32, len(b.hop))
	var level []uint32
	for _, s := range b.w.Seeds {
		if id, ok := b.w.Store.WalletID(s.Wallet); ok && b.hop[id] < 0 {
			b.hop[id] = 0
			level = append(level, id)
		}
	}
	for hop := int32(1); len(level) > 0; hop++ {
		slices.SortFunc(level, b.compare)
		var found []uint32
		for _, from := range level {
			for _, to := range next[from] {
				if b.hop[to] < 0 {
					b.hop[to], b.parent[to] = hop, from
					found = append(found, to)
				}
			}
		}
		level = found
	}
}

// path is the shortest way from a seed to a wallet, in addresses.
func (b *builder) path(to uint32) []string {
	out := []string{b.hex(to)}
	for b.hop[to] > 0 {
		to = b.parent[to]
		out = append(out, b.hex(to))
	}
	slices.Reverse(out)
	return out
}

func (b *builder) seeds() []Seed {
	at := make(map[walk.Seed]int)
	seeds := []Seed{}
	sums := make([]money, len(b.w.Seeds))
	for n, s := range b.w.Seeds {
		at[s] = n
		seeds = append(seeds, Seed{Address: s.Wallet.Text(), Chain: b.chainID(), Tx: b.seedTx(s.Tx), Payments: []Payment{}})
	}
	for i := range b.w.Books.Receipts {
		r := &b.w.Books.Receipts[i]
		if b.assumed(r) {
			continue
		}
		e := &b.w.Entries[r.Entry]
		seed := walk.Seed{Wallet: b.w.Store.Wallet(r.Wallet), Tx: b.w.Store.Tx(e.Tx)}
		n, ok := at[seed]
		if !ok {
			seed.Tx = common.Hash{}
			n = at[seed]
		}
		usd, _, ok := b.usd(r.Asset, &r.Amount, e.Time)
		a := b.amount(r.Asset, &r.Amount)
		p := Payment{Block: e.Block, Time: stamp(e.Time), Tx: b.tx(r.Entry),
			Asset: a.Asset, Symbol: a.Symbol, Amount: a.Amount, Readable: a.Readable, Unseen: r.Unseen}
		if ok {
			p.USD = usd.Decimal()
		}
		seeds[n].Payments = append(seeds[n].Payments, p)
		sums[n].add(r.Asset, &r.Amount, usd, ok)
	}
	for n := range seeds {
		seeds[n].Amounts, seeds[n].USD = b.list(sums[n]), sums[n].dollars().String()
	}
	return seeds
}

func (b *builder) flows() []Flow {
	// What else went the same way, read from each sender once.
	type way struct {
		from, to tracer.Wallet
		asset    tracer.Asset
	}
	all := make(map[way]uint256.Int, len(b.moved))
	senders := make(map[uint32]bool)
	for i := range b.moved {
		f := &b.moved[i]
		from := b.w.Store.Wallet(f.from)
		all[way{from, b.w.Store.Wallet(f.to), b.w.Store.Asset(f.asset)}] = f.amount
		senders[f.from] = true
	}
	for id := range senders {
		from := b.w.Store.Wallet(id)
		for to, f := range b.w.Store.Out(from) {
			if k := (way{from, to, f.Asset}); f.Transfers > 0 {
				if _, ok := all[k]; ok {
					all[k] = f.Amount
				}
			}
		}
	}
	list := make([]Flow, 0, len(b.moved))
	for i := range b.moved {
		f := &b.moved[i]
		whole := all[way{b.w.Store.Wallet(f.from), b.w.Store.Wallet(f.to), b.w.Store.Asset(f.asset)}]
		a := b.amount(f.asset, &f.amount)
		row := Flow{
			From: b.hex(f.from), To: b.hex(f.to), Chain: b.chainID(), Asset: a.Asset, Symbol: a.Symbol,
			Amount: whole.Dec(), Traced: a.Amount, Readable: a.Readable,
			Transfers: f.n, First: stamp(f.first), Last: stamp(f.last),
		}
		if !f.usd.missing {
			row.USD = f.usd.String()
		}
		list = append(list, row)
	}
	slices.SortFunc(list, func(x, y Flow) int {
		return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To), cmp.Compare(x.Asset, y.Asset))
	})
	return list
}

func (b *builder) conversions() []Conversion {
	out := []Conversion{}
	for i := range b.w.Books.Conversions {
		c := &b.w.Books.Conversions[i]
		e := &b.w.Entries[c.Entry]
		side := func(parts []ledger.Part) []Amount {
			var m money
			for _, p := range parts {
				usd, _, ok := b.usd(p.Asset, &p.Amount, e.Time)
				m.add(p.Asset, &p.Amount, usd, ok)
			}
			return b.list(m)
		}
		out = append(out, Conversion{
			Chain: b.chainID(), Block: e.Block, Time: stamp(e.Time), Tx: b.tx(c.Entry),
			Wallet: b.hex(c.Payer), Receiver: b.hex(c.Receiver), Out: side(c.Out), In: side(c.In),
		})
	}
	return out
}
