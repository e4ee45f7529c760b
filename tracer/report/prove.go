package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Cited returns the transfers of the report in the order of [Report.Transfers],
// without the places of their transactions in the blocks, which a report does
// not have.
func (r *Report) Cited() ([]tracer.Transfer, error) {
	out := make([]tracer.Transfer, len(r.Transfers))
	for i := range r.Transfers {
		row, t := &r.Transfers[i], &out[i]
		kind, ok := tracer.ParseKind(row.Kind)
		asset, err := tracer.ParseAsset(row.Asset)
		if !ok || err != nil {
			return nil, fmt.Errorf("transfer %d: it is of no known kind or asset", i+1)
		}
		chain := tracer.Chain{ID: asset.Chain}
		from, err1 := chain.ParseAddress(row.From)
		to, err2 := chain.ParseAddress(row.To)
		if err := cmp.Or(err1, err2); err != nil {
			return nil, fmt.Errorf("transfer %d: %w", i+1, err)
		}
		*t = tracer.Transfer{Asset: asset, Kind: kind, Block: row.Block, BlockHash: common.HexToHash(row.BlockHash), Tx: common.HexToHash(row.Tx),
			Position: row.Position, From: from, To: to}
		amount, err := uint256.FromDecimal(row.Amount)
		if err != nil {
			return nil, fmt.Errorf("transfer %d: the amount: %w", i+1, err)
		}
		t.Amount = *amount
		if at, err := time.Parse(time.RFC3339, row.Time); err == nil {
			t.Time = uint64(at.Unix())
		}
	}
	return out, nil
}

// What a transfer rests on, where indexers were asked: see [Transfer.Basis].
const (
	BasisNode      = "node"
	BasisConfirmed = "confirmed"
	BasisIndexer   = "indexer"
	BasisDenied    = "denied"
)

// Confirm asks a node for the transfers of a report that indexers showed, those
// with the most dollars first, for at most most requests, and notes what each
// rests on. own says which the node itself was read for; nil: of none it is known.
// denied is how many the node shows otherwise or not at all: the money of such a
// report is not to be relied on. Trouble with the node is said in the notes.
func (r *Report) Confirm(ctx context.Context, node tracer.Source, own func(*tracer.Transfer) bool, most int) (denied, requests int, err error) {
	cited, err := r.Cited()
	if err != nil {
		return 0, 0, err
	}
	count := make(map[string]int)
	mark := func(i int, basis string) {
		r.Transfers[i].Basis = basis
		count[basis]++
	}
	var rows []int // of those to ask for
	for i := range cited {
		if own != nil && own(&cited[i]) {
			mark(i, BasisNode)
		} else {
			rows = append(rows, i)
		}
	}
	usd := func(i int) tracer.Micros {
		v, _ := parseUSD(r.Transfers[i].USD)
		return v
	}
	slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(usd(b), usd(a)) })
	ask := make([]tracer.Transfer, len(rows))
	for k, i := range rows {
		ask[k] = cited[i]
	}
	verdicts := make([]tracer.Verdict, len(rows))
	var trouble error
	if most > 0 && len(rows) > 0 {
		verdicts, requests, trouble = tracer.Confirm(ctx, node, ask, most)
	}
	for k, i := range rows {
		mark(i, [...]string{tracer.Untold: BasisIndexer, tracer.Confirmed: BasisConfirmed, tracer.Denied: BasisDenied}[verdicts[k]])
	}
	if len(cited) == 0 {
		return 0, requests, nil
	}
	note := fmt.Sprintf("Of %d transfers, the node itself was read for %d, and confirmed %d that an indexer showed.", len(cited), count[BasisNode], count[BasisConfirmed])
	if n := count[BasisIndexer]; n > 0 {
		note += fmt.Sprintf(" For %d there is only an indexer's word: the node does not show them to whoever asks, or was not asked any more.", n)
	}
	if n := count[BasisDenied]; n > 0 {
		note += fmt.Sprintf(" %d are not what the node shows.", n)
	}
	r.Notes = append(r.Notes, note)
	if trouble != nil {
		r.Notes = append(r.Notes, clean("The node could not be asked to the end what it thinks of transfers: "+trouble.Error()+".", 1000))
	}
	return count[BasisDenied], requests, nil
}

// Prove notes which transfers are proven: those of [Report.Cited] for which why
// has nothing. Why the others are not is said in the notes.
func (r *Report) Prove(why []string) {
	reasons := make(map[string]int)
	for i, w := range why {
		r.Transfers[i].Verified = w == ""
		if w != "" {
			reasons[w]++
		}
	}
	for _, w := range slices.Sorted(maps.Keys(reasons)) {
		s := "s are"
		if reasons[w] == 1 {
			s = " is"
		}
		r.Notes = append(r.Notes, clean(fmt.Sprintf("%d transfer%s not proven: %s.", reasons[w], s, strings.TrimSuffix(w, ".")), 1000))
	}
	r.Notes = append(r.Notes, "Of a proven transfer the block's hash is all that has to be believed: it can be looked up at any node or explorer of the chain.")
}

// Agree notes what became of asking several endpoints for the transfers of
// [Report.Cited]: disputes says how one of them differs, for each transfer, or
// nothing, and a transfer in dispute is not verified; alone is how many no two
// endpoints have shown.
func (r *Report) Agree(disputes []string, alone int) {
	count := make(map[string]int)
	for i, why := range disputes {
		if why != "" {
			r.Transfers[i].Verified = false
			count[why]++
		}
	}
	for _, why := range slices.Sorted(maps.Keys(count)) {
		r.Notes = append(r.Notes, clean(fmt.Sprintf("In dispute: of %d of %d transfers, %s. They do not count as verified.", count[why], len(disputes), why), 1000))
	}
	if n := len(disputes) - alone; len(count) == 0 && n > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("Two endpoints were asked for the transactions of the transfers, and agree on %d of %d.", n, len(disputes)))
	}
	if alone > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("No second endpoint shows %d of %d transfers, or the budget of requests did not reach them.", alone, len(disputes)))
	}
}
