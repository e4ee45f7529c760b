package filesource

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// parts is a set of the parts of a wallet's movements.
type parts uint8

const (
	tokenPart parts = 1 << iota
	nativePart
	internalPart
	allParts = tokenPart | nativePart | internalPart
)

// A builder gathers the rows of all files, in numbers instead of hashes and
// addresses.
type builder struct {
	chain     tracer.Chain
	files     []*file
	txs       []txInfo
	txIDs     map[common.Hash]uint32
	wallets   []common.Address
	walletIDs map[common.Address]uint32
	assets    []tracer.Asset
	assetIDs  map[tracer.Asset]uint32
	texts     []string // positions that are no log index
	textIDs   map[string]uint32
	times     map[uint64]dated
	names     map[nameKey]uint16 // the first file that says so
	raws      []raw
	repeated  int // rows that were counted before
	fees      bool
}

func newBuilder(chain tracer.Chain) *builder {
	return &builder{
		chain: chain, txIDs: make(map[common.Hash]uint32), walletIDs: make(map[common.Address]uint32),
		assetIDs: make(map[tracer.Asset]uint32), textIDs: make(map[string]uint32),
		times: make(map[uint64]dated), names: make(map[nameKey]uint16),
	}
}

// A txInfo is what the files say of one transaction.
type txInfo struct {
	hash  common.Hash
	block uint64
	index uint32
	line  uint32 // where it came first
	file  uint16
	known bool // index is
}

// dated is the time of a block, and the file that told it.
type dated struct {
	time uint64
	file uint16
}

type nameKey struct {
	wallet uint32
	name   string // as in the file
}

// A row is a transfer in numbers.
type row struct {
	amount          uint256.Int
	from, to, asset uint32
	tx              uint32
	pos             uint32 // the log index, or which text, or 0
	kind            tracer.Kind
	how             uint8
}

// How pos is meant.
const (
	noPosition uint8 = iota
	logIndex
	textPosition
)

// content is the row without its position.
func (r row) content() row {
	r.pos, r.how = 0, noPosition
	return r
}

// A raw is a row as it was read.
type raw struct {
	row
	line  uint32
	file  uint16
	exact bool // the amount was not rounded
}

// A move is what a row of a file says, before it becomes numbers.
type move struct {
	tx       uint32
	kind     tracer.Kind
	asset    tracer.Asset
	from, to common.Address
	amount   uint256.Int
	position string
	exact    bool
}

// madeUp reports whether a position was made up by [builder.settle].
func madeUp(position string) bool { return strings.HasPrefix(position, "row.") }

func decimal(d uint8) string { return strconv.Itoa(int(d)) }

// tx returns the number of a transaction and checks that the files agree on it.
func (r *reader) tx(hash common.Hash, block, sec uint64, index uint32, known bool) uint32 {
	if r.err != nil {
		return 0
	}
	line := uint32(r.line())
	id, ok := r.txIDs[hash]
	if !ok {
		id = uint32(len(r.txs))
		r.txIDs[hash] = id
		r.txs = append(r.txs, txInfo{hash: hash, block: block, index: index, line: line, file: r.id, known: known})
	}
	t := &r.txs[id]
	switch {
	case t.block != block:
		r.bad(fBlock, "transaction %s is in block %d here and in block %d in %s, line %d", tracer.ShowTx(r.chain.ID, hash), block, t.block, r.files[t.file].name, t.line)
	case known && t.known && t.index != index:
		r.bad(fIndex, "transaction %s has index %d here and %d in %s, line %d; leave the cell empty where it is not known", tracer.ShowTx(r.chain.ID, hash), index, t.index, r.files[t.file].name, t.line)
	case known:
		t.index, t.known = index, true
	}
	r.date(block, sec)
	f := r.file
	if f.last != 0 {
		f.descends = f.descends || block < f.last
		f.ascends = f.ascends || block > f.last
	}
	f.last = block
	return id
}

// date keeps the time of a block and checks that the files agree on it.
func (r *reader) date(block, sec uint64) {
	if r.err != nil || sec == 0 {
		return
	}
	d, ok := r.times[block]
	switch {
	case !ok:
		r.times[block] = dated{sec, r.id}
	case d.time != sec:
		r.bad(fTime, "block %d is dated %s here and %s in %s", block, stamp(sec), stamp(d.time), r.files[d.file].name)
	}
}

func (b *builder) wallet(a common.Address) uint32 {
	id, ok := b.walletIDs[a]
	if !ok {
		id = uint32(len(b.wallets))
		b.walletIDs[a] = id
		b.wallets = append(b.wallets, a)
	}
	return id
}

func (b *builder) asset(a tracer.Asset) uint32 {
	id, ok := b.assetIDs[a]
	if !ok {
		id = uint32(len(b.assets))
		b.assetIDs[a] = id
		b.assets = append(b.assets, a)
	}
	return id
}

func (b *builder) text(s string) uint32 {
	id, ok := b.textIDs[s]
	if !ok {
		s = strings.Clone(s) // not the line it was cut from
		id = uint32(len(b.texts))
		b.textIDs[s] = id
		b.texts = append(b.texts, s)
	}
	return id
}

// label keeps a name as it stands; it is cleaned once, at the end.
func (r *reader) label(a common.Address, name string) {
	if name == "" || name == "-" {
		return
	}
	k := nameKey{r.wallet(a), name}
	if _, ok := r.names[k]; !ok {
		k.name = strings.Clone(name)
		r.names[k] = r.id
	}
}

// add keeps a transfer.
func (r *reader) add(m move) {
	w := raw{row: row{amount: m.amount, from: r.wallet(m.from), to: r.wallet(m.to), asset: r.asset(m.asset), tx: m.tx, kind: m.kind},
		line: uint32(r.line()), file: r.id, exact: m.exact}
	r.fees = r.fees || m.kind == tracer.KindFee
	if m.position != "" {
		n, err := strconv.ParseUint(m.position, 10, 32)
		if err == nil && (m.position[0] != '0' || len(m.position) == 1) {
			w.how, w.pos = logIndex, uint32(n)
		} else {
			w.how, w.pos = textPosition, r.text(m.position)
		}
	}
	r.raws = append(r.raws, w)
}

// settle counts every transfer once and gives a position to those without
// one. It groups the rows by transaction; those of transaction i are
// out[first[i]:first[i+1]], in the order of kind and position.
func (b *builder) settle() (out []raw, first []uint32, err error) {
	first = make([]uint32, len(b.txs)+1)
	for i := range b.raws {
		first[b.raws[i].tx+1]++
	}
	for i := range b.txs {
		first[i+1] += first[i]
	}
	out = make([]raw, len(b.raws))
	next := slices.Clone(first)
	for i := range b.raws {
		t := b.raws[i].tx
		out[next[t]] = b.raws[i]
		next[t]++
	}
	b.raws = nil
	var errs []error
	n := uint32(0)
	for t := range b.txs {
		rows := out[first[t]:first[t+1]]
		kept, err := b.settleTx(rows)
		if err != nil {
			errs = append(errs, err)
			if len(errs) == maxErrors {
				break
			}
		}
		b.repeated += len(rows) - len(kept)
		first[t] = n
		n += uint32(copy(out[n:], kept))
	}
	first[len(b.txs)] = n
	if len(errs) > 0 {
		return nil, nil, join(errs)
	}
	return out[:n:n], first, nil
}

// settleTx settles the rows of one transaction, in place.
func (b *builder) settleTx(rows []raw) ([]raw, error) {
	if len(rows) == 1 && rows[0].how != noPosition {
		return rows, nil
	}
	slices.SortFunc(rows, b.compare)
	kept := rows[:0]
	for i := 0; i < len(rows); {
		j := i + 1
		for j < len(rows) && rows[i].kind == rows[j].kind && (rows[i].how == noPosition) == (rows[j].how == noPosition) &&
			(rows[i].how == noPosition || rows[i].pos == rows[j].pos && rows[i].how == rows[j].how) {
			j++
		}
		same := rows[i:j]
		i = j
		if same[0].how == noPosition && same[0].kind != tracer.KindNative && same[0].kind != tracer.KindFee {
			kept = b.count(kept, same)
			continue
		}
		w, err := b.one(same)
		if err != nil {
			return nil, err
		}
		kept = append(kept, w)
	}
	logged := func(w raw) bool { return w.kind == tracer.KindToken && b.assets[w.asset].Kind == tracer.Native }
	if slices.ContainsFunc(kept, logged) { // then all moves of native coin are there
		kept = slices.DeleteFunc(kept, func(w raw) bool { return w.kind == tracer.KindNative || w.kind == tracer.KindInternal })
	}
	slices.SortFunc(kept, b.compare)
	return kept, nil
}

// compare orders the rows of a transaction: by kind, those with a position
// before those without, by position, by content, by file and line.
func (b *builder) compare(x, y raw) int {
	if c := cmp.Compare(x.kind, y.kind); c != 0 {
		return c
	}
	if c := cmp.Compare(min(y.how, 1), min(x.how, 1)); c != 0 {
		return c
	}
	switch {
	case x.how == logIndex && y.how == logIndex:
		if c := cmp.Compare(x.pos, y.pos); c != 0 {
			return c
		}
	case x.how != noPosition:
		if c := tracer.ComparePositions(b.position(&x.row), b.position(&y.row)); c != 0 {
			return c
		}
	}
	return cmp.Or(b.compareContent(&x.row, &y.row), cmp.Compare(x.file, y.file), cmp.Compare(x.line, y.line))
}

func (b *builder) compareContent(x, y *row) int {
	if c := cmp.Or(b.assets[x.asset].Compare(b.assets[y.asset]), b.wallets[x.from].Cmp(b.wallets[y.from]), b.wallets[x.to].Cmp(b.wallets[y.to])); c != 0 {
		return c
	}
	return x.amount.Cmp(&y.amount)
}

func (b *builder) position(r *row) string { return positionOf(b.texts, r) }

func positionOf(texts []string, r *row) string {
	switch r.how {
	case logIndex:
		return strconv.FormatUint(uint64(r.pos), 10)
	case textPosition:
		return texts[r.pos]
	}
	return ""
}

// one makes one transfer of several readings of it. An amount that a page or
// an explorer rounded gives way to an exact one.
func (b *builder) one(same []raw) (raw, error) {
	best := same[0]
	for _, w := range same[1:] {
		if w.exact && !best.exact || w.exact == best.exact && !w.exact && w.amount.Gt(&best.amount) {
			best = w
		}
	}
	for _, w := range same {
		if b.compareContent(&w.row, &best.row) == 0 {
			continue
		}
		who := w
		who.amount = best.amount
		if !w.exact && b.compareContent(&who.row, &best.row) == 0 {
			continue
		}
		what, rule := "the "+w.kind.String()+" transfer", "a transaction has one value and one fee, and its other moves are of kind internal"
		if p := b.position(&w.row); p != "" {
			what, rule = w.kind.String()+" transfer "+p, "a log index or a trace path may stand once in a transaction"
		}
		later, earlier := w, best
		if cmp.Or(cmp.Compare(later.file, earlier.file), cmp.Compare(later.line, earlier.line)) < 0 {
			later, earlier = earlier, later
		}
		return raw{}, &RowError{File: b.files[later.file].name, Line: int(later.line), Reason: fmt.Sprintf(
			"%s of transaction %s is another one here than in %s, line %d; %s",
			what, b.showTx(b.txs[w.tx].hash), b.files[earlier.file].name, earlier.line, rule)}
	}
	return best, nil
}

// count adds to kept the transfers among rows, all of one kind, sorted by
// content and without a position. Equal rows are one transfer, and one that is
// in kept already if a file knows its position: a row that stands twice where
// two transfers happened is the lesser evil.
func (b *builder) count(kept, rows []raw) []raw {
	known := make(map[row]bool)
	for _, w := range kept {
		known[w.content()] = true
	}
	for i := range rows {
		w := rows[i]
		if i > 0 && b.compareContent(&rows[i-1].row, &w.row) == 0 {
			if rows[i-1].file == w.file {
				b.files[w.file].equal++
				b.repeated-- // has a note of its own
			}
			continue
		}
		if known[w.content()] {
			continue
		}
		w.how, w.pos = textPosition, b.text(b.fingerprint(&w.row))
		kept = append(kept, w)
	}
	return kept
}

func (b *builder) show(a common.Address) string { return tracer.Show(b.chain.ID, a) }
func (b *builder) showTx(h common.Hash) string  { return tracer.ShowTx(b.chain.ID, h) }

// fingerprint makes up the position of a transfer whose log index is not
// known, from what the transfer is. It is the same whatever other files there are.
func (b *builder) fingerprint(r *row) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %s %s", b.assets[r.asset], tracer.Hex(b.wallets[r.from]), tracer.Hex(b.wallets[r.to]), r.amount.Dec())
	s := []byte("row.")
	for _, c := range h.Sum(nil)[:8] {
		s = append(s, 'a'+c>>4, 'a'+c&15) // letters only, so that it never looks like a number
	}
	return string(s)
}

// place orders transactions as their files do, oldest first whichever way a
// file runs.
func (b *builder) place(t *txInfo) uint64 {
	line := t.line
	if f := b.files[t.file]; f.descends && !f.ascends {
		line = ^line
	}
	return uint64(t.file)<<32 | uint64(line)
}
