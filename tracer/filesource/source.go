package filesource

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// A Source answers from lists of transfers that were read into memory. It
// never changes, so it is safe for concurrent use.
type Source struct {
	chain   tracer.Chain
	wallets []common.Address // sorted
	moves   []uint32         // places in rows, by wallet and then in chain order
	from    []uint32         // moves of wallet i are moves[from[i]:from[i+1]]
	blocks  []tracer.Block   // those with transactions, ascending
	txs     []tx             // chain order
	byHash  []uint32         // places in txs
	rows    []row            // chain order; row.tx is a place in txs
	assets  []tracer.Asset
	texts   []string
	names   []Name
	notes   []string
	files   []string // names, for errors
	undated string   // the first file without times that matter

	covered parts            // for every wallet
	exports map[uint32]parts // for the wallets whose exports were given
}

var _ tracer.Source = (*Source)(nil)

// A tx is a transaction; one that moved nothing has no rows.
type tx struct {
	hash  common.Hash
	first uint32 // its rows begin here and end where those of the next begin
	block uint32 // place in blocks
	index uint32
}

// A Name is what a file calls an address: a claim of its author, to be shown
// and never to be trusted.
type Name struct {
	Address common.Address
	Name    string // cleaned with [tracer.CleanText], at most 80 characters
	File    string // base name of the first file that says so
}

// Open reads files as one list of transfers of a chain. In which order they
// are named makes no difference. What cannot be read is an error that wraps
// [tracer.ErrUsage]: a [*RowError], or several joined.
func Open(chain tracer.Chain, files ...string) (*Source, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: no file with transfers was given", tracer.ErrUsage)
	}
	if len(files) > math.MaxUint16 {
		return nil, fmt.Errorf("%w: %d files with transfers are too many; please join some", tracer.ErrUsage, len(files))
	}
	b := newBuilder(chain)
	for _, f := range inOrder(files) {
		if err := b.open(f); err != nil {
			return nil, err
		}
	}
	return b.source()
}

// Read is [Open] for one list that is not a file. The name stands for it in
// errors and notes.
func Read(chain tracer.Chain, name string, r io.Reader) (*Source, error) {
	b := newBuilder(chain)
	if err := b.read(newFile(name), r); err != nil {
		return nil, err
	}
	return b.source()
}

// inOrder sorts by base name, so that a result does not depend on the folder.
func inOrder(files []string) []*file {
	var fs []*file
	for _, path := range files {
		fs = append(fs, newFile(path))
	}
	slices.SortStableFunc(fs, func(a, b *file) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.path, b.path)) })
	return slices.CompactFunc(fs, func(a, b *file) bool { return a.path == b.path })
}

func newFile(path string) *file {
	return &file{
		name: cmp.Or(tracer.CleanText(filepath.Base(path), 80), "list"), path: path,
		unknown: make(map[common.Address]int), bare: make(map[common.Address]int),
	}
}

func (b *builder) open(f *file) error {
	in, err := os.Open(f.path)
	if err != nil {
		reason := "cannot be opened"
		if os.IsNotExist(err) {
			reason = "there is no such file"
		}
		return &RowError{File: f.name, Reason: reason}
	}
	defer in.Close()
	if st, err := in.Stat(); err == nil && st.IsDir() {
		return &RowError{File: f.name, Reason: "this is a folder; name the files in it"}
	}
	return b.read(f, in)
}

// Pin returns the last block that any row is of, without its hash. It never fails.
func (s *Source) Pin(context.Context) (tracer.Block, error) { return s.blocks[len(s.blocks)-1], nil }

// BlockAt finds the block among those in the files. Where a file has no times,
// that is an error that wraps [tracer.ErrUsage], except for time 0.
func (s *Source) BlockAt(_ context.Context, time uint64) (uint64, error) {
	if time == 0 {
		return s.blocks[0].Number, nil
	}
	if s.undated != "" {
		return 0, fmt.Errorf("%w: a date cannot be found in %s, which has no times; leave the dates out, or add the list of its blocks with their times", tracer.ErrUsage, s.undated)
	}
	for _, b := range s.blocks {
		if b.Time >= time {
			return b.Number, nil
		}
	}
	return s.blocks[len(s.blocks)-1].Number + 1, nil
}

// Transfers answers from memory. Beside the wallets that are crowded, it
// reports as unread what the files do not hold: an explorer's export covers one
// wallet and one part of its movements.
func (s *Source) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	if err := context.Cause(ctx); err != nil {
		var ans tracer.Answer
		for _, p := range q.Spans {
			ans.Unread = append(ans.Unread, tracer.Unread{Span: p, Reason: tracer.ReasonStopped, Detail: "the run was interrupted"})
		}
		sortUnread(ans.Unread)
		return ans, err
	}
	spans := make(map[common.Address][]tracer.Span)
	for _, p := range q.Spans {
		spans[p.Wallet] = append(spans[p.Wallet], p)
	}
	var ans tracer.Answer
	var take []uint32
	for wallet, all := range spans { // what is taken is sorted below
		for _, p := range all {
			ans.Unread = append(ans.Unread, s.gaps(p)...)
		}
		took, stop := s.take(wallet, all, q.MaxTransfers)
		take = append(take, took...)
		if stop == nil {
			continue
		}
		for _, p := range all {
			if p.From = max(p.From, *stop); p.From <= p.To {
				ans.Unread = append(ans.Unread, tracer.Unread{Span: p, Reason: tracer.ReasonCrowded,
					Detail: fmt.Sprintf("more than %d transfers up to block %d", q.MaxTransfers, *stop)})
			}
		}
	}
	ans.Transfers = s.transfers(take)
	sortUnread(ans.Unread)
	return ans, nil
}

func sortUnread(us []tracer.Unread) {
	slices.SortFunc(us, func(a, b tracer.Unread) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.Part, b.Part), cmp.Compare(a.To, b.To), cmp.Compare(a.Reason, b.Reason))
	})
}

// take returns the transactions in which a wallet takes part, in its spans.
// If there are more than limit transfers of the wallet, it returns those before the
// block in which there are too many, and that block.
func (s *Source) take(wallet common.Address, spans []tracer.Span, limit int) (txs []uint32, stop *uint64) {
	id, ok := slices.BinarySearchFunc(s.wallets, wallet, common.Address.Cmp)
	if !ok {
		return nil, nil
	}
	moves := s.moves[s.from[id]:s.from[id+1]]
	slices.SortFunc(spans, func(a, b tracer.Span) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	n, next := 0, uint64(0) // the first block not counted yet
	for _, p := range spans {
		lo := sort.Search(len(moves), func(i int) bool { return s.blockOf(moves[i]) >= max(p.From, next) })
		for _, m := range moves[lo:] {
			block := s.blockOf(m)
			if block > p.To {
				break
			}
			if n++; limit > 0 && n > limit {
				for len(txs) > 0 && s.blocks[s.txs[txs[len(txs)-1]].block].Number == block {
					txs = txs[:len(txs)-1]
				}
				return txs, &block
			}
			if t := s.rows[m].tx; len(txs) == 0 || txs[len(txs)-1] != t {
				txs = append(txs, t)
			}
		}
		if p.To >= p.From {
			next = max(next, p.To+1)
		}
	}
	return txs, nil
}

func (s *Source) blockOf(row uint32) uint64 { return s.blocks[s.txs[s.rows[row].tx].block].Number }

// Transactions returns the transfers of transactions that the files name,
// also of those that failed or moved nothing, which have none.
func (s *Source) Transactions(ctx context.Context, txs []common.Hash, _ int) (tracer.Answer, error) {
	if err := context.Cause(ctx); err != nil {
		return tracer.Answer{}, err
	}
	var take []uint32
	var missing error
	for _, h := range txs {
		i, ok := slices.BinarySearchFunc(s.byHash, h, func(t uint32, h common.Hash) int { return s.txs[t].hash.Cmp(h) })
		if ok {
			take = append(take, s.byHash[i])
		} else if missing == nil {
			missing = fmt.Errorf("transaction %s is not in %s: %w", tracer.ShowTx(s.chain.ID, h), list(s.files), tracer.ErrNotFound)
		}
	}
	return tracer.Answer{Transfers: s.transfers(take)}, missing
}

// transfers returns all transfers of transactions, in chain order.
func (s *Source) transfers(txs []uint32) []tracer.Transfer {
	slices.Sort(txs)
	txs = slices.Compact(txs)
	n := 0
	for _, t := range txs {
		first, end := s.span(t)
		n += int(end - first)
	}
	if n == 0 {
		return nil
	}
	out := make([]tracer.Transfer, 0, n)
	for _, i := range txs {
		t := &s.txs[i]
		block := &s.blocks[t.block]
		first, end := s.span(i)
		for r := range s.rows[first:end] {
			r := &s.rows[int(first)+r]
			out = append(out, tracer.Transfer{
				Asset: s.assets[r.asset], From: s.wallets[r.from], To: s.wallets[r.to], Amount: r.amount,
				Block: block.Number, Time: block.Time, Tx: t.hash, TxIndex: t.index, Kind: r.kind, Position: positionOf(s.texts, r),
			})
		}
	}
	return out
}

// span returns where the rows of a transaction begin and end.
func (s *Source) span(t uint32) (first, end uint32) {
	first, end = s.txs[t].first, uint32(len(s.rows))
	if int(t)+1 < len(s.txs) {
		end = s.txs[t+1].first
	}
	return first, end
}

// gaps returns which parts of a span the files do not hold.
func (s *Source) gaps(p tracer.Span) []tracer.Unread {
	have := s.covered
	if id, ok := slices.BinarySearchFunc(s.wallets, p.Wallet, common.Address.Cmp); ok {
		have |= s.exports[uint32(id)]
	}
	if have == 0 {
		return []tracer.Unread{{Span: p, Reason: tracer.ReasonSource, Detail: "none of the files is an export of this wallet; add its exports"}}
	}
	var us []tracer.Unread
	for _, m := range missingParts {
		if have&m.part == 0 {
			us = append(us, tracer.Unread{Span: p, Part: m.is, Reason: m.reason, Detail: m.detail})
		}
	}
	return us
}

var missingParts = []struct {
	part   parts
	is     tracer.Part
	reason tracer.Reason
	detail string
}{
	{tokenPart, tracer.PartTokens, tracer.ReasonSource, "the files hold no token transfers of it"},
	{nativePart, tracer.PartNative, tracer.ReasonSource, "the files hold no transactions of it"},
	{internalPart, tracer.PartInternal, tracer.ReasonNoTraces, "the files hold no internal transfers of it"},
}

// Names returns what the files call addresses, sorted by address and name. The
// caller owns the slice.
func (s *Source) Names() []Name { return slices.Clone(s.names) }

// Notes returns what was assumed and what was left out, one sentence each, in
// an order that does not depend on the order of the files. The caller owns the slice.
func (s *Source) Notes() []string { return slices.Clone(s.notes) }

// list writes names in a row: a, b and c.
func list(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}
