package functions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/report"

	"github.com/ethereum/go-ethereum/common"
)

// DiffSchema is the version of [Diff].
const DiffSchema = "scamtrace-diff/1"

// A Diff says what changed between two reports of a case: diffs/<block>.json.
// Lists have the order of the later report.
type Diff struct {
	Schema    string              `json:"schema"`
	Case      string              `json:"case"`
	From      report.Block        `json:"from"`
	To        report.Block        `json:"to"`
	Sentence  string              `json:"sentence"`
	USD       DiffUSD             `json:"usd"`
	Moved     []report.Transfer   `json:"moved"`     // traced transfers that the earlier report does not have
	Converted []report.Conversion `json:"converted"` // conversions that it does not have
	Reached   []Reached           `json:"reached"`   // arrived at services since
	Frozen    []Frozen            `json:"frozen"`    // by the issuer of the token
	Held      []Held              `json:"held"`      // still, and where
}

// DiffUSD are the sums of a [Diff] in dollars.
type DiffUSD struct {
	Moved   string `json:"moved"`   // out of wallets where the earlier report left it, each dollar once
	Reached string `json:"reached"` // services
	Frozen  string `json:"frozen"`  // since the earlier report
	Held    string `json:"held"`
	Lost    string `json:"lost"` // more in gaps than before
}

// Reached is what an exit has that the earlier report's does not.
type Reached struct {
	Address      string   `json:"address"`
	Service      string   `json:"service"`
	Category     string   `json:"category"`
	USD          string   `json:"usd"`
	Transactions []string `json:"transactions"`
}

// Frozen is a wallet whose tokens the issuer froze.
type Frozen struct {
	Address string        `json:"address"`
	Amount  report.Amount `json:"amount"` // traced, held there
	New     bool          `json:"new"`    // not in the diff before
}

// Held is a wallet that holds traced money at the block of the later report.
type Held struct {
	Address string          `json:"address"`
	Amounts []report.Amount `json:"amounts"`
	USD     string          `json:"usd"`
	Since   string          `json:"since"` // of the last movement there
	New     bool            `json:"new"`   // it held nothing in the earlier report
}

// A freezer is a source that can tell which wallets an issuer froze.
type freezer interface {
	Frozen(ctx context.Context, token common.Address, wallets []common.Address) ([]bool, error)
}

// compare writes down, once, what changed since the last report; nil for the
// first report.
func (a *App) compare(ctx context.Context, c *Case, rep *report.Report, src tracer.Source) (*Diff, error) {
	if len(c.Reports) == 0 {
		return nil, nil
	}
	key := c.key("diffs/%d.json", c.Pinned.Number)
	if d, err := a.readDiff(ctx, key); !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	old, before, err := a.last(ctx, c)
	if err != nil {
		return nil, err
	}
	d := Compare(old, rep)
	d.Case = c.ID
	if f, ok := tracer.As[freezer](src); ok {
		if err := d.freeze(ctx, f, before); err != nil {
			return nil, node(err)
		}
	}
	d.Sentence = d.say()
	if _, err := a.Bucket.Create(ctx, key, encode(d)); errors.Is(err, graphstore.ErrExists) {
		return a.readDiff(ctx, key)
	} else if err != nil {
		return nil, err
	}
	return d, nil
}

func (a *App) readDiff(ctx context.Context, key string) (*Diff, error) {
	data, _, err := a.Bucket.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	d := new(Diff)
	if err := json.Unmarshal(data, d); err != nil || d.Schema != DiffSchema {
		return nil, fmt.Errorf("read what changed: %w", errDamaged)
	}
	return d, nil
}

// Compare returns what a report has that an earlier one of the same case does
// not. It is pure.
func Compare(old, now *report.Report) *Diff {
	d := &Diff{
		Schema: DiffSchema, From: old.Chains[0].Pinned, To: now.Chains[0].Pinned,
		Moved: []report.Transfer{}, Converted: []report.Conversion{}, Reached: []Reached{}, Frozen: []Frozen{}, Held: []Held{},
	}
	was := make(map[string]report.Wallet)
	for _, w := range old.Wallets {
		was[w.Address] = w
	}
	type id struct{ tx, kind, position, asset, from, to string }
	seen := make(map[id]bool)
	of := func(t *report.Transfer) id { return id{t.Tx, t.Kind, t.Position, t.Asset, t.From, t.To} }
	for i := range old.Transfers {
		seen[of(&old.Transfers[i])] = true
	}
	var moved, reached, held, lost tracer.Micros
	left := make(map[string]bool) // wallets that paid since
	for i := range now.Transfers {
		if t := &now.Transfers[i]; !seen[of(t)] {
			d.Moved = append(d.Moved, *t)
			left[t.From] = true
		}
	}
	for _, w := range now.Wallets {
		if left[w.Address] {
			moved += max(0, worth(was[w.Address].Held)-worth(w.Held))
		}
	}
	gap := make(map[string]tracer.Micros)
	for _, g := range old.Gaps {
		gap[g.Address] += dollars(g.USD)
	}
	for _, g := range now.Gaps {
		lost += max(0, dollars(g.USD)-gap[g.Address])
		gap[g.Address] = 0
	}
	swapped := make(map[string]bool)
	for _, v := range old.Conversions {
		swapped[v.Tx+v.Wallet] = true
	}
	for _, v := range now.Conversions {
		if !swapped[v.Tx+v.Wallet] {
			d.Converted = append(d.Converted, v)
		}
	}
	exits := make(map[string]report.Exit)
	for _, x := range old.Exits {
		exits[x.Address] = x
	}
	for _, x := range now.Exits {
		r := Reached{Address: x.Address, Service: x.Service, Category: x.Category}
		for _, tx := range x.Transactions {
			if !slices.Contains(exits[x.Address].Transactions, tx) {
				r.Transactions = append(r.Transactions, tx)
			}
		}
		if len(r.Transactions) > 0 {
			usd := max(0, dollars(x.USD)-dollars(exits[x.Address].USD))
			r.USD = usd.Decimal()
			reached += usd
			d.Reached = append(d.Reached, r)
		}
	}
	for _, w := range now.Wallets {
		if len(w.Held) == 0 {
			continue
		}
		h := Held{Address: w.Address, Amounts: w.Held, Since: w.Last, New: len(was[w.Address].Held) == 0}
		usd := worth(w.Held)
		h.USD = usd.Decimal()
		held += usd
		d.Held = append(d.Held, h)
	}
	d.USD = DiffUSD{Moved: moved.Decimal(), Reached: reached.Decimal(), Frozen: "0.00", Held: held.Decimal(), Lost: lost.Decimal()}
	d.Sentence = d.say()
	return d
}

// worth is the dollar value of amounts.
func worth(list []report.Amount) (sum tracer.Micros) {
	for _, m := range list {
		sum += dollars(m.USD)
	}
	return sum
}

// freeze asks which of the wallets that hold a token were frozen.
func (d *Diff) freeze(ctx context.Context, f freezer, before *Diff) error {
	holders := make(map[string][]common.Address)
	amounts := make(map[string]report.Amount)
	for _, h := range d.Held {
		for _, m := range h.Amounts {
			asset, err := tracer.ParseAsset(m.Asset)
			if err != nil {
				return fmt.Errorf("the report before: %w", err)
			}
			w, err := (&tracer.Chain{ID: asset.Chain}).ParseAddress(h.Address)
			if err != nil {
				return fmt.Errorf("the report before: %w", err)
			}
			holders[m.Asset] = append(holders[m.Asset], w)
			amounts[m.Asset+h.Address] = m
		}
	}
	var sum tracer.Micros
	for _, id := range slices.Sorted(maps.Keys(holders)) {
		asset, err := tracer.ParseAsset(id)
		if err != nil || asset.Kind != tracer.ERC20 {
			continue
		}
		frozen, err := f.Frozen(ctx, asset.Token, holders[id])
		if err != nil {
			return err
		}
		for i, w := range holders[id] {
			if !frozen[i] {
				continue
			}
			x := Frozen{Address: tracer.Text(asset.Chain, w), New: true}
			x.Amount = amounts[id+x.Address]
			if before != nil {
				x.New = !slices.ContainsFunc(before.Frozen, func(y Frozen) bool { return y.Address == x.Address && y.Amount.Asset == id })
			}
			if x.New {
				sum += dollars(x.Amount.USD)
			}
			d.Frozen = append(d.Frozen, x)
		}
	}
	d.USD.Frozen = sum.Decimal()
	return nil
}

// say puts the sums into a sentence.
func (d *Diff) say() string {
	var parts []string
	add := func(usd, what string) {
		if dollars(usd) > 0 {
			parts = append(parts, dollars(usd).String()+" "+what)
		}
	}
	add(d.USD.Moved, "moved on")
	var names []string
	for _, r := range d.Reached {
		if !slices.Contains(names, r.Service) {
			names = append(names, r.Service)
		}
	}
	if len(names) > 3 {
		names = append(names[:3:3], "others")
	}
	add(d.USD.Reached, "reached addresses that look like "+strings.Join(names, ", "))
	add(d.USD.Frozen, "was frozen by the issuer")
	add(d.USD.Lost, "can no longer be followed; the gaps of the report say why")
	since := d.From.Time
	if t, err := time.Parse(time.RFC3339, since); err == nil {
		since = t.Format("2 January 2006 15:04") + " UTC"
	}
	if len(parts) == 0 {
		return "Since " + since + " nothing moved."
	}
	return "Since " + since + ", " + strings.Join(parts, "; ") + "."
}

// largest is the largest of the sums that call for an alert.
func (d *Diff) largest() tracer.Micros {
	return max(dollars(d.USD.Moved), dollars(d.USD.Reached), dollars(d.USD.Frozen))
}

// dollars reads an amount of a report; one that is not known counts nothing.
func dollars(s string) tracer.Micros {
	m, err := tracer.ParseDollars(cmp.Or(s, "0"))
	if err != nil || m > math.MaxInt64/4 {
		return 0
	}
	return m
}
