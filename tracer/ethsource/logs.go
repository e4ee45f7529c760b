package ethsource

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// maxTopics is how many values of a topic geth takes, and most others.
const maxTopics = 1000

// A filter says which logs are asked for.
type filter struct {
	address *common.Address
	topics  []any
	matches func(*log) bool
}

// A page is what was in the logs of some blocks.
type page struct {
	ts   []tracer.Transfer
	logs int // in the answer, also those that are no transfers
}

// fetchLogs asks for logs and looks at each: one that was not asked for, one
// that was taken back, one of a block that the node shows otherwise elsewhere,
// and two in one place make the answer unusable.
func (s *Source) fetchLogs(ctx context.Context, p *purse, f *filter, b stretch) (page, error) {
	arg := map[string]any{"fromBlock": hexutil.EncodeUint64(b.from), "toBlock": hexutil.EncodeUint64(b.to), "topics": f.topics}
	if f.address != nil {
		arg["address"] = f.address
	}
	var got page
	err := s.c.call(ctx, p, false, func(sc *scanner) error {
		got = page{ts: got.ts[:0]}
		var last log
		sorted := true
		err := sc.logs(func(l *log) error {
			switch {
			case l.Block < b.from || l.Block > b.to:
				return s.c.unusable("it has logs of blocks that were not asked for")
			case !f.matches(l):
				return s.c.unusable("it has logs that were not asked for")
			case l.Removed:
				return s.c.unusable("it has logs of blocks that are no longer on the chain")
			}
			if got.logs == 0 || l.Block != last.Block || l.Hash != last.Hash {
				if err := s.agree(l.Block, l.Hash); err != nil {
					return err
				}
			}
			sorted = sorted && (got.logs == 0 || l.Block > last.Block || l.Block == last.Block && l.Index > last.Index)
			last.Block, last.Hash, last.Index = l.Block, l.Hash, l.Index
			got.logs++
			if t, ok := s.transfer(l); ok {
				if got.ts == nil {
					got.ts = s.sheet()
				}
				got.ts = append(got.ts, t)
			}
			return nil
		})
		if err == nil && !sorted {
			got.ts, err = s.settle(got.ts)
		}
		return err
	}, "eth_getLogs", arg)
	if err != nil || !round(got.logs) || b.from == b.to {
		return got, err
	}
	return s.compare(ctx, p, f, b, got)
}

// fetchParts is fetchLogs for one of many filters. Where it alone has more
// logs than the endpoint hands out, it is read in parts, most of them at the
// most, so that the others need not be asked again.
func (s *Source) fetchParts(ctx context.Context, p *purse, f *filter, b stretch, most uint64) (page, error) {
	got, err := s.fetchLogs(ctx, p, f, b)
	e, ok := errors.AsType[*nodeError](err)
	if !ok || e.kind != kindDense || b.from == b.to {
		return got, err
	}
	n := e.fewer(b.from, b.to)
	if (b.to-b.from)/n >= most {
		return got, err
	}
	parts := [2]stretch{{b.from, b.from + n - 1}, {b.from + n, b.to}}
	var pages [2]page
	if second := each(len(parts), func(i int) (err error) {
		pages[i], err = s.fetchParts(ctx, p, f, parts[i], most/2)
		return err
	}); second != nil {
		if e, ok := errors.AsType[*nodeError](second); ok && e.kind == kindDense {
			return got, err // which says more of these blocks
		}
		return page{}, second
	}
	pages[0].ts, pages[0].logs = append(pages[0].ts, pages[1].ts...), pages[0].logs+pages[1].logs
	s.reuse(pages[1].ts)
	return pages[0], nil
}

// sheet returns an empty list with room for a page: one that was used before,
// where there is one, for pages come in thousands, and each is copied.
func (s *Source) sheet() []tracer.Transfer {
	if ts, ok := s.sheets.Get().(*[]tracer.Transfer); ok {
		return *ts
	}
	return make([]tracer.Transfer, 0, s.usual.Load())
}

// reuse takes back a list whose transfers were copied.
func (s *Source) reuse(ts []tracer.Transfer) {
	if len(ts) > 0 {
		s.usual.Store(int64(min(len(ts), fewResults*5)))
		ts = ts[:0]
		s.sheets.Put(&ts)
	}
}

// settle sorts transfers and drops those that are there twice. One transfer
// cannot be told in two ways.
func (s *Source) settle(ts []tracer.Transfer) ([]tracer.Transfer, error) {
	slices.SortFunc(ts, func(a, b tracer.Transfer) int { return a.Compare(&b) })
	for i := 1; i < len(ts); i++ {
		if ts[i].ID() == ts[i-1].ID() && ts[i] != ts[i-1] {
			return nil, s.c.unusable("it has two logs in one place")
		}
	}
	return tracer.SortTransfers(ts), nil
}

// round reports whether a number of logs looks like a limit: 100, 1,000,
// 10,000 and the like, two times and five times these. Some endpoints stop
// there and say nothing.
func round(n int) bool {
	if n < 100 {
		return false
	}
	for n%10 == 0 {
		n /= 10
	}
	return n == 1 || n == 2 || n == 5
}

// compare asks for the two halves of blocks whose page may have been cut. When
// these have more, it was.
func (s *Source) compare(ctx context.Context, p *purse, f *filter, b stretch, whole page) (page, error) {
	mid := b.from + (b.to-b.from)/2
	halves, err := s.fetchLogs(ctx, p, f, stretch{b.from, mid})
	if err != nil {
		return halves, err
	}
	second, err := s.fetchLogs(ctx, p, f, stretch{mid + 1, b.to})
	if err != nil {
		return second, err
	}
	halves.ts, halves.logs = append(halves.ts, second.ts...), halves.logs+second.logs
	have := make(map[tracer.TransferID]bool, len(halves.ts))
	for i := range halves.ts {
		have[halves.ts[i].ID()] = true
	}
	if slices.ContainsFunc(whole.ts, func(t tracer.Transfer) bool { return !have[t.ID()] }) {
		return page{}, s.c.unusable("it has logs that are missing when fewer blocks are asked for")
	}
	return halves, nil
}

// groups hands read the wallets in as large groups as the endpoint takes, and
// a group that is refused in halves. It returns what read does, in order.
func groups[T any](ctx context.Context, s *Source, wallets []common.Address, read func([]common.Address) ([]T, error)) ([]T, error) {
	s.mu.Lock()
	size := s.group
	s.mu.Unlock()
	parts := slices.Collect(slices.Chunk(wallets, size))
	got := make([][]T, len(parts))
	err := each(len(parts), func(i int) (err error) {
		got[i], err = read(parts[i])
		e, ok := errors.AsType[*nodeError](err)
		if !ok || e.kind != kindTopics && e.kind != kindBatch || len(parts[i]) == 1 {
			return err
		}
		s.mu.Lock()
		s.group = min(s.group, (len(parts[i])+1)/2)
		s.mu.Unlock()
		got[i], err = groups(ctx, s, parts[i], read)
		return err
	})
	return slices.Concat(got...), err
}

// tokens reads the logs of wallets in both directions.
func (s *Source) tokens(ctx context.Context, p *purse, wallets []common.Address, b stretch) (page, error) {
	out := []common.Hash{topicTransfer}
	if slices.ContainsFunc(s.chain.Tokens, func(t tracer.Token) bool { return t.Wrapped }) {
		out = append(out, topicDeposit, topicWithdrawal)
	}
	pages, err := groups(ctx, s, wallets, func(group []common.Address) ([]page, error) {
		topics := make([]common.Hash, len(group))
		asked := make(map[common.Hash]bool, len(group))
		for i, w := range group {
			topics[i] = common.BytesToHash(w[:])
			asked[topics[i]] = true
		}
		filters := []filter{
			{topics: []any{out, topics}, matches: func(l *log) bool {
				return l.NumTopics > 1 && slices.Contains(out, l.Topics[0]) && asked[l.Topics[1]]
			}},
			{topics: []any{out[:1], nil, topics}, matches: func(l *log) bool {
				return l.NumTopics > 2 && l.Topics[0] == topicTransfer && asked[l.Topics[2]]
			}},
		}
		most := uint64(1)
		if len(group) < len(wallets) {
			most = 4
		}
		pages := make([]page, len(filters))
		return pages, each(len(filters), func(i int) (err error) {
			pages[i], err = s.fetchParts(ctx, p, &filters[i], b, most)
			return err
		})
	})
	if err != nil {
		return page{}, err
	}
	var sum page
	for _, g := range pages {
		sum.logs += g.logs
		if len(g.ts) > len(sum.ts) {
			sum.ts, g.ts = g.ts, sum.ts
		}
		sum.ts = append(sum.ts, g.ts...)
		s.reuse(g.ts)
	}
	// What went from one wallet to another is in both directions.
	if sum.ts, err = s.settle(sum.ts); err != nil {
		return page{}, fmt.Errorf("%w: two logs are in one place", errDiffers)
	}
	return sum, nil
}
