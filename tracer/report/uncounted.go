package report

import (
	"cmp"
	"maps"
	"slices"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/token"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// What is seen beside the money: transfers that wallets of the report got or
// sent and that are none, or none that can be counted. They are kept apart, so
// that whoever finds one in a block explorer finds here why it is in no sum.

const (
	// mostTokens is how many tokens are asked what they are, some twenty
	// requests.
	mostTokens = 500
	// mostSamples is how many transfers are shown of a wallet and reason.
	mostSamples = 3
	// many is how many receivers of one thing in one transaction are too many
	// to be paid.
	many = 20
	// dust is what a transfer must be worth to be a payment: the least that is
	// followed, and far more than what is sent as bait.
	dust = tracer.Dollar
)

// dustCoin is the same in native coin where it has no price, in wei.
var dustCoin = uint256.NewInt(1e14)

// The reasons, in the order in which the first that holds is taken.
const (
	zeroTransfer  = "zero"
	counterfeit   = "counterfeit"
	airdropped    = "airdrop"
	lookAlike     = "lookalike"
	dusting       = "dust"
	unvaluedToken = "token"
	collectible   = "nft"
)

var uncountedReasons = []string{counterfeit, zeroTransfer, lookAlike, dusting, airdropped, unvaluedToken, collectible}

// A sight is a transfer that a wallet of the report got or sent and that may be
// no money. Numbers are those of the walk's store.
type sight struct {
	wallet uint32
	other  uint32 // whom it came from or went to
	row    int
	move   graphstore.Row
	alike  string // whom other looks like, of those whom the wallet dealt with; see [tracer.LookAlike]
}

// A lookout finds them.
type lookout struct {
	b     *builder
	store *graphstore.Store
	texts []string // addresses of wallets that were named
	sees  []sight  // by wallet, then chain order

	receivers map[gift]map[uint32]bool // of transactions with many transfers
	drops     map[uint32]bool          // assets that one transaction gave to many
	payers    map[string]bool          // of reported money; they are left out, as everywhere in a report
}

// A gift is one thing given away in one transaction.
type gift struct{ tx, asset uint32 }

// lookout finds what the wallets of the report got and sent beside money: of
// those that are people's, not services or others that thousands deal with.
func (b *builder) lookout() *lookout {
	l := &lookout{b: b, store: b.w.Store, receivers: make(map[gift]map[uint32]bool), drops: make(map[uint32]bool), payers: make(map[string]bool)}
	l.texts = make([]string, l.store.Wallets())
	traced := make([]bool, l.store.Len())
	for i := range b.w.Books.Receipts {
		r := &b.w.Books.Receipts[i]
		if traced[b.w.Rows[r.Entry]] = true; !b.assumed(r) && !r.Unseen {
			l.payers[l.text(b.w.Entries[r.Entry].From)] = true
		}
	}
	for i := range b.w.Books.Moves {
		traced[b.w.Rows[b.w.Books.Moves[i].Entry]] = true
	}
	_, in := b.people()
	wallets := slices.Concat(in.Seeds, in.Wallets)
	slices.SortFunc(wallets, tracer.Wallet.Compare)
	for _, w := range slices.Compact(wallets) {
		_, service := b.Labels.Service(w)
		if id, ok := l.store.WalletID(w); ok && !service && !b.w.Status(w.Address).Hub {
			l.watch(id, traced)
		}
	}
	l.count()
	for i := range l.sees {
		g := gift{l.sees[i].move.Tx, l.sees[i].move.Asset}
		l.drops[g.asset] = l.drops[g.asset] || l.crowd(g)
	}
	return l
}

// text is the address of a wallet for machines, made once.
func (l *lookout) text(wallet uint32) string {
	if l.texts[wallet] == "" {
		l.texts[wallet] = l.store.Wallet(wallet).Text()
	}
	return l.texts[wallet]
}

// watch goes through the transfers of one wallet.
func (l *lookout) watch(wallet uint32, traced []bool) {
	first := len(l.sees)
	dealt := make(map[string][]string) // whom it paid or was paid by, by what screens show of them
	for n, r := range l.store.RowsOf(wallet) {
		if r.Kind == tracer.KindFee || r.From == r.To {
			continue
		}
		other := r.From ^ r.To ^ wallet
		asset := l.store.Asset(r.Asset)
		if l.b.chain.Known(asset) && !r.Amount.IsZero() && (traced[n] || !l.b.small(asset, &r.Amount, r.Time)) {
			a := l.text(other)
			if k := shorten(a); !slices.Contains(dealt[k], a) {
				dealt[k] = append(dealt[k], a)
			}
		} else if !traced[n] {
			l.sees = append(l.sees, sight{wallet: wallet, other: other, row: n, move: r})
		}
	}
	for i := first; i < len(l.sees); i++ {
		a := l.text(l.sees[i].other)
		if real := dealt[shorten(a)]; len(real) > 0 && !slices.Contains(real, a) {
			l.sees[i].alike = real[0]
		}
	}
}

// small reports whether an amount is less than a payment. Nobody is asked for a
// price for that.
func (b *builder) small(a tracer.Asset, amount *uint256.Int, time uint64) bool {
	if usd, _, ok := b.Prices.Given(a, amount, time); ok {
		return usd < dust
	}
	return a.Kind == tracer.Native && amount.Lt(dustCoin)
}

// count counts who received something in the transactions that were seen, as far
// as they were read.
func (l *lookout) count() {
	rows := make([]uint32, l.store.Txs())
	for n := range l.store.Len() {
		rows[l.store.Row(n).Tx]++
	}
	for i := range l.sees {
		if m := &l.sees[i].move; rows[m.Tx] > many {
			l.receivers[gift{m.Tx, m.Asset}] = make(map[uint32]bool)
		}
	}
	for n := range l.store.Len() {
		if len(l.receivers) == 0 {
			return
		}
		r := l.store.Row(n)
		if to := l.receivers[gift{r.Tx, r.Asset}]; to != nil && r.Kind != tracer.KindFee && r.From != r.To {
			to[r.To] = true
		}
	}
}

// crowd reports whether too many got something in a transaction to be paid.
func (l *lookout) crowd(g gift) bool {
	return len(l.receivers[g]) > many || l.b.Known != nil && l.b.Known.Receivers(l.store.Tx(g.tx), l.store.Asset(g.asset)) > many
}

// reason says why a transfer is not counted; empty: it is money, if little.
func (l *lookout) reason(s *sight) string {
	asset := l.store.Asset(s.move.Asset)
	claim, _ := l.b.Tokens.Of(asset)
	switch known := l.b.chain.Known(asset); {
	case s.move.Kind == tracer.KindNFT:
		return collectible
	case s.move.Amount.IsZero():
		return zeroTransfer
	case !known && claim.ReadsAs != "":
		return counterfeit
	case !known && l.drops[s.move.Asset]:
		return airdropped
	case !known:
		return unvaluedToken
	case s.alike != "":
		return lookAlike
	case s.move.To == s.wallet && l.crowd(gift{s.move.Tx, s.move.Asset}):
		return dusting
	}
	return ""
}

// unlisted returns the tokens of the report that the chain table does not have, as
// many as are asked what they are: those that traced money is in first, then those
// that its wallets saw most often.
func (l *lookout) unlisted() []tracer.Asset {
	seen := make(map[tracer.Asset]int)
	for i := range l.sees {
		if a := l.store.Asset(l.sees[i].move.Asset); !l.b.chain.Known(a) {
			seen[a]++
		}
	}
	for a := range l.b.tracedTokens() {
		seen[a] = l.store.Len() + 1
	}
	list := slices.SortedFunc(maps.Keys(seen), func(x, y tracer.Asset) int {
		return cmp.Or(cmp.Compare(seen[y], seen[x]), x.Compare(y))
	})
	return list[:min(len(list), mostTokens)]
}

// crowds returns the transactions in which something of no value, or next to none,
// came to a wallet of the report, and in which it may have come to many: the first
// of each token and of each sender of money, but no more than some requests show.
func (l *lookout) crowds() []common.Hash {
	const most = 40
	type from struct {
		sender uint32
		asset  uint32
	}
	seen := make(map[from]bool)
	var out []common.Hash
	for i := range l.sees {
		s := &l.sees[i]
		k := from{asset: s.move.Asset}
		if l.b.chain.Known(l.store.Asset(k.asset)) {
			k.sender = s.other
		}
		tx := l.store.Tx(s.move.Tx)
		if s.move.To == s.wallet && s.move.Kind != tracer.KindNFT && !s.move.Amount.IsZero() && !seen[k] && !slices.Contains(out, tx) && len(out) < most {
			seen[k] = true
			out = append(out, tx)
		}
	}
	return out
}

// tracedTokens are the tokens of the books that the chain table does not have.
func (b *builder) tracedTokens() map[tracer.Asset]bool {
	out := make(map[tracer.Asset]bool)
	for n, t := range b.w.Books.Totals {
		if a := b.w.Store.Asset(uint32(n)); t != (ledger.Total{}) && a.Kind == tracer.ERC20 && !b.chain.Known(a) {
			out[a] = true
		}
	}
	return out
}

// uncounted writes down what was seen beside the money, and the tokens in it.
func (b *builder) uncounted(r *Report) {
	l := b.lookout()
	for id, life := range b.lives {
		if life != nil {
			delete(l.payers, l.text(uint32(id))) // a wallet of the report anyway
		}
	}
	seen, traced := make(map[tracer.Asset]int), b.tracedTokens()
	for a := range traced {
		seen[a] = 0
	}
	var rows []*Uncounted
	var row *Uncounted
	by := make(map[string]*Uncounted) // of one wallet, by reason
	r.Uncounted = []Uncounted{}
	flush := func() {
		for _, reason := range uncountedReasons {
			if row = by[reason]; row != nil {
				rows = append(rows, row)
			}
		}
		clear(by)
	}
	for i := range l.sees {
		s := &l.sees[i]
		if i > 0 && l.sees[i-1].wallet != s.wallet {
			flush()
		}
		reason := l.reason(s)
		if reason == "" {
			continue
		}
		asset := l.store.Asset(s.move.Asset)
		if !b.chain.Known(asset) {
			seen[asset]++
		}
		if row = by[reason]; row == nil {
			row = &Uncounted{Address: l.text(s.wallet), Chain: b.chainID(), Reason: reason, First: stamp(s.move.Time)}
			by[reason] = row
		}
		row.Transfers++
		row.Last = stamp(s.move.Time)
		if len(row.Samples) < mostSamples {
			row.Samples = append(row.Samples, l.sample(s))
		}
	}
	flush()
	hop := make(map[string]int)
	for i := range r.Wallets {
		hop[r.Wallets[i].Address] = r.Wallets[i].Hop
	}
	slices.SortStableFunc(rows, func(x, y *Uncounted) int {
		return cmp.Or(cmp.Compare(hop[x.Address], hop[y.Address]), cmp.Compare(x.Address, y.Address))
	})
	for _, u := range rows {
		r.Uncounted = append(r.Uncounted, *u)
	}
	r.Tokens = []Token{}
	for _, a := range slices.SortedFunc(maps.Keys(seen), tracer.Asset.Compare) {
		t := Token{Asset: a.String(), Transfers: seen[a], Traced: traced[a]}
		claim, asked := b.Tokens.Of(a)
		t.Asked, t.Name, t.Symbol, t.ReadsAs = asked, clean(claim.Name, token.MostText), clean(claim.Symbol, token.MostText), claim.ReadsAs
		if t.ReadsAs != "" {
			t.Real = b.real(t.ReadsAs)
		}
		if claim.Known {
			t.Decimals = &claim.Decimals
		}
		r.Tokens = append(r.Tokens, t)
	}
}

// named is the address, or nothing if it paid reported money.
func (l *lookout) named(a string) string {
	if l.payers[a] {
		return ""
	}
	return a
}

// real is the asset of the chain table with a symbol.
func (b *builder) real(symbol string) string {
	for _, t := range b.chain.Tokens {
		if t.Symbol == symbol {
			return tracer.TokenOf(b.chain.ID, t.Address).String()
		}
	}
	return tracer.NativeOf(b.chain.ID).String()
}

// sample writes down one transfer.
func (l *lookout) sample(s *sight) Sample {
	t := l.store.Transfer(s.row)
	out := Sample{
		Block: t.Block, Time: stamp(t.Time), Tx: tracer.ShowTx(t.Asset.Chain, t.Tx), Position: t.Position, Asset: t.Asset.String(), Symbol: "token",
		From: l.named(l.text(s.move.From)), To: l.named(l.text(s.move.To)), Amount: t.Amount.Dec(), LookAlike: l.named(s.alike),
	}
	if symbol, decimals, ok := l.b.chain.Describe(t.Asset); ok {
		out.Symbol, out.Readable = symbol, tracer.Readable(&t.Amount, decimals)
	}
	if claim, ok := l.b.Tokens.Of(t.Asset); ok {
		out.Claim = clean(claim.Symbol, token.MostText)
	}
	return out
}
