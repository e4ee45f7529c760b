package report

import (
	"cmp"
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
