package report

import (
	"context"

	"scamtrace/tracer"
	"scamtrace/tracer/cluster"
	"scamtrace/tracer/label"
	"scamtrace/tracer/token"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Unfinished is the note of a report whose clusters rest on less than they could.
const Unfinished = "Who acts as one could not be looked into to the end."

// Unlooked is the note of a report whose source was interrupted before it said
// all that there is to say of what is not counted.
const Unlooked = "What is not counted could not be looked into to the end."

// LookInto reads what the report says beside the money, as far as the walk's
// budget of requests goes, and notes it where src or ctx ends that early: the whole
// histories that the clusters and deposit addresses rest on, and to how many
// wallets odd things came at once, into in.Known; and what tokens say of
// themselves into in.Tokens.
func (in *Input) LookInto(ctx context.Context, src tracer.Source) {
	in.Known = walk.NewBackground(in.Walk)
	in.Tokens = token.NewBook(in.Walk.Chain, src, in.Walk.Pinned.Number)
	for more := true; more; {
		var err error
		if more, err = in.Known.Read(ctx, src, wanted(*in)); err != nil {
			in.Notes = append(in.Notes, Unfinished)
			break
		}
	}
	l := newBuilder(*in).lookout()
	err := in.Known.Look(ctx, src, l.crowds())
	if err == nil {
		_, err = in.Tokens.Ask(ctx, l.unlisted(), in.left())
	}
	if err != nil {
		in.Tokens = token.NewBook(in.Walk.Chain, src, in.Walk.Pinned.Number) // all or nothing, so that it can be repeated
		in.Notes = append(in.Notes, Unlooked)
	}
}

// left is what is left of the budget of requests.
func (in *Input) left() int {
	n := in.Walk.Limits.Requests - in.Walk.Requests - in.Tokens.Requests()
	if in.Known != nil {
		n -= in.Known.Requests
	}
	return max(n, 0)
}

// wanted returns the wallets whose whole histories the clusters and deposit
// addresses of a report rest on, and which in.Known does not have yet, sorted.
// Who has read them asks again, until there is nothing new.
func wanted(in Input) []tracer.Wallet {
	b := newBuilder(in)
	return cluster.Wanted(b.people())
}

// people returns what is asked about the wallets that received traced money.
func (b *builder) people() (cluster.Graph, cluster.Input) {
	store, whole := b.w.Store, b.w.Whole
	if b.Known != nil {
		store, whole = b.Known.Store, b.Known.Whole
	}
	in := cluster.Input{
		Chain:   *b.chain,
		Service: func(w tracer.Wallet) (string, bool) { l, ok := b.Labels.Service(w); return l.Name, ok },
		Custodian: func(w tracer.Wallet) bool {
			l, _ := b.Labels.Service(w)
			return l.Category == label.Exchange || l.Category == label.Payment || l.Category == label.Gambling
		},
		Hub:      func(w tracer.Wallet) bool { return b.w.Status(w.Address).Hub },
		Contract: func(w tracer.Wallet) bool { return b.w.Status(w.Address).Contract },
		Account:  func(w tracer.Wallet) bool { return b.w.Account(w.Address) },
		Complete: func(w tracer.Wallet) bool { return whole(w.Address) },
		USD: func(a tracer.Asset, amount *uint256.Int, time uint64) (tracer.Micros, bool) {
			usd, _, ok := b.Prices.Given(a, amount, time)
			return usd, ok
		},
	}
	for _, s := range b.w.Seeds {
		in.Seeds = append(in.Seeds, s.Wallet)
	}
	seen := make(map[uint32]bool)
	add := func(id uint32) {
		if !seen[id] {
			seen[id] = true
			in.Wallets = append(in.Wallets, b.w.Store.Wallet(id))
		}
	}
	for _, m := range b.w.Books.Moves {
		if e := &b.w.Entries[m.Entry]; e.Kind != tracer.KindFee {
			add(e.To)
		}
	}
	for _, c := range b.w.Books.Conversions {
		add(c.Receiver)
	}
	return store, in
}

// who finds deposit addresses and clusters among the wallets that received
// traced money.
func (b *builder) who() []Cluster {
	g, in := b.people()
	b.deposits = make(map[common.Address]Label)
	for _, d := range cluster.Deposits(g, in) {
		l, _ := b.Labels.Service(d.To[0])
		b.deposits[d.Wallet.Address] = Label{
			Name: d.Service, Category: string(l.Category), Confidence: d.Confidence,
			Source: "forwards only to " + wallets(d) + " (" + l.Source + ")",
		}
	}
	out := []Cluster{}
	for _, c := range cluster.Find(g, in) {
		x := Cluster{ID: c.ID}
		for _, w := range c.Wallets {
			x.Wallets = append(x.Wallets, w.Text())
		}
		for _, l := range c.Links {
			link := Link{
				A: l.A.Text(), B: l.B.Text(), Rule: string(l.Rule), Confidence: l.Confidence,
				Precision: cluster.Measured(l.Rule).String(), Detail: l.Detail,
			}
			for _, tx := range l.Evidence {
				link.Evidence = append(link.Evidence, tracer.ShowTx(b.chain.ID, tx))
			}
			x.Links = append(x.Links, link)
		}
		out = append(out, x)
	}
	return out
}

// wallets names those that a deposit address forwards to, three of them at most.
func wallets(d cluster.Deposit) string {
	var names []string
	for _, w := range d.To[:min(len(d.To), 3)] {
		names = append(names, w.Show())
	}
	if len(d.To) == 1 {
		return names[0]
	}
	if n := len(d.To) - len(names); n > 0 {
		names = append(names, count(n, "other", "others"))
	}
	return "wallets of " + d.Service + ": " + and(names)
}

// show writes a label in the form of a report.
func show(l label.Label) Label {
	return Label{Name: l.Name, Category: string(l.Category), Confidence: l.Confidence, Source: l.Source}
}
