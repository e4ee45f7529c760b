package filesource

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// source makes the Source of all that was read.
func (b *builder) source() (*Source, error) {
	s := &Source{chain: b.chain, assets: b.assets}
	for _, f := range b.files {
		s.files = append(s.files, f.name)
	}
	if len(b.txs) == 0 {
		return nil, &RowError{File: list(s.files), Reason: "there are no rows below the header, so there is nothing to follow"}
	}
	b.owners()
	rows, first, err := b.settle()
	if err != nil {
		return nil, err
	}
	ids, blocks, unordered, err := b.order(rows, first)
	if err != nil {
		return nil, err
	}
	s.texts = b.texts
	rank := b.sortWallets()
	s.wallets = b.wallets
	if err := b.lay(s, ids, rows, first, rank); err != nil {
		return nil, err
	}
	s.index()
	b.cover(s, rank)
	s.names = b.cleanNames()
	s.notes = b.notes(s, blocks, unordered)
	return s, nil
}

// sortWallets sorts the wallets and returns the new number of each.
func (b *builder) sortWallets() []uint32 {
	sorted := make([]uint32, len(b.wallets))
	for i := range sorted {
		sorted[i] = uint32(i)
	}
	slices.SortFunc(sorted, func(x, y uint32) int { return b.wallets[x].Cmp(b.wallets[y]) })
	rank, wallets := make([]uint32, len(sorted)), make([]common.Address, len(sorted))
	for n, old := range sorted {
		rank[old], wallets[n] = uint32(n), b.wallets[old]
	}
	b.wallets = wallets
	return rank
}

// lay copies transactions, blocks and rows in chain order, and checks that
// time runs forward in it.
func (b *builder) lay(s *Source, ids []uint32, rows []raw, first, rank []uint32) error {
	s.txs, s.rows = make([]tx, len(ids)), make([]row, 0, len(rows))
	var before tracer.Block // the last one with a time
	for n, id := range ids {
		t := &b.txs[id]
		if k := len(s.blocks); k == 0 || s.blocks[k-1].Number != t.block {
			block := tracer.Block{Number: t.block, Time: b.times[t.block].time}
			s.blocks = append(s.blocks, block)
			if block.Time == 0 {
				b.files[t.file].undated = true
				s.undated = cmp.Or(s.undated, b.files[t.file].name)
			} else if before.Time > block.Time {
				return &RowError{File: b.files[b.times[block.Number].file].name, Reason: fmt.Sprintf(
					"block %d is dated %s, before block %d (%s in %s); a time may be in another zone",
					block.Number, stamp(block.Time), before.Number, stamp(before.Time), b.files[b.times[before.Number].file].name)}
			} else {
				before = block
			}
		}
		s.txs[n] = tx{hash: t.hash, first: uint32(len(s.rows)), block: uint32(len(s.blocks) - 1), index: t.index}
		for i := first[id]; i < first[id+1]; i++ {
			r := rows[i].row
			r.tx, r.from, r.to = uint32(n), rank[r.from], rank[r.to]
			s.rows = append(s.rows, r)
		}
	}
	s.byHash = make([]uint32, len(s.txs))
	for i := range s.byHash {
		s.byHash[i] = uint32(i)
	}
	slices.SortFunc(s.byHash, func(x, y uint32) int { return s.txs[x].hash.Cmp(s.txs[y].hash) })
	return nil
}

// index finds the rows of each wallet. The zero address of a fee took no part.
func (s *Source) index() {
	s.from = make([]uint32, len(s.wallets)+1)
	each := func(f func(wallet, row uint32)) {
		for i := range s.rows {
			r := &s.rows[i]
			f(r.from, uint32(i))
			if r.to != r.from && r.kind != tracer.KindFee {
				f(r.to, uint32(i))
			}
		}
	}
	each(func(w, _ uint32) { s.from[w+1]++ })
	for i := range s.wallets {
		s.from[i+1] += s.from[i]
	}
	s.moves = make([]uint32, s.from[len(s.wallets)])
	next := slices.Clone(s.from)
	each(func(w, row uint32) {
		s.moves[next[w]] = row
		next[w]++
	})
}

// owners finds out whose exports the files are. Where two wallets take part in
// every row, the name of the file decides, or else the other files.
func (b *builder) owners() {
	sure := make(map[common.Address]bool)
	for _, f := range b.files {
		named, ok := addressIn(&b.chain, f.path)
		if f.rows == 0 && ok || len(f.either) == 2 && slices.Contains(f.either, named) {
			f.either = []common.Address{named}
		}
		if f.format.wallet && len(f.either) == 1 {
			sure[f.either[0]] = true
			b.wallet(f.either[0]) // it may have nothing but rows that were left out
		}
	}
	for _, f := range b.files {
		if len(f.either) == 2 && sure[f.either[0]] != sure[f.either[1]] {
			f.either = slices.DeleteFunc(f.either, func(a common.Address) bool { return !sure[a] })
		}
	}
}

// addressIn returns the address in the name of a file, as explorers write it there.
func addressIn(chain *tracer.Chain, path string) (common.Address, bool) {
	name := filepath.Base(path)
	if tracer.Tron(chain.ID) {
		a, err := chain.ParseAddress(inBase58.FindString(name))
		return a, err == nil
	}
	name = strings.ToLower(name)
	i := strings.Index(name, "0x")
	if i < 0 || len(name) < i+42 {
		return common.Address{}, false
	}
	a, err := chain.ParseAddress(name[i : i+42])
	return a, err == nil
}

// inBase58 finds an address of Tron.
var inBase58 = regexp.MustCompile(`T[1-9A-HJ-NP-Za-km-z]{33}`)

// pageful is how many rows explorers export at most.
const pageful = 5000

// cover notes what the files hold of which wallets. A file that may be the
// export of one wallet or of another is complete for neither, and one that is
// full for nobody.
func (b *builder) cover(s *Source, rank []uint32) {
	s.exports = make(map[uint32]parts)
	for _, f := range b.files {
		switch {
		case !f.format.wallet:
			s.covered |= f.format.parts
		case len(f.either) == 1 && f.rows != pageful:
			s.exports[rank[b.walletIDs[f.either[0]]]] |= f.format.parts
		}
	}
}

// cleanNames returns the names, each pair of address and name once.
func (b *builder) cleanNames() []Name {
	var names []Name
	back := make(map[uint32]common.Address, len(b.walletIDs))
	for a, id := range b.walletIDs {
		back[id] = a
	}
	for k, f := range b.names {
		if name := tracer.CleanText(k.name, 80); name != "" {
			names = append(names, Name{back[k.wallet], name, b.files[f].name})
		}
	}
	slices.SortFunc(names, func(x, y Name) int {
		return cmp.Or(x.Address.Cmp(y.Address), cmp.Compare(x.Name, y.Name), cmp.Compare(x.File, y.File))
	})
	return slices.CompactFunc(names, func(x, y Name) bool { return x.Address == y.Address && x.Name == y.Name })
}

// notes says what was assumed and what was left out.
func (b *builder) notes(s *Source, blocks int, unordered []uint16) []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	for _, f := range b.files {
		if f.failed > 0 {
			note("In %s, %s failed and moved nothing but a fee.", f.name, count(f.failed, "row"))
		}
		if f.zero > 0 {
			note("In %s, %s of value zero, which never counts as money.", f.name, verb(f.zero, "row is", "rows are"))
		}
		if f.equal > 0 {
			note("In %s, %s not counted: without log indexes, two equal transfers look like one that is listed twice.",
				f.name, verb(f.equal, "row that repeats another of its transaction was", "rows that repeat others of their transactions were"))
		}
		if f.rewards > 0 {
			note("In %s, %s of block rewards and the like, which nobody sent, left out.", f.name, verb(f.rewards, "row was", "rows were"))
		}
		if f.negative > 0 {
			note("In %s, %s below zero, and taken as a move the other way.", f.name, verb(f.negative, "value is", "values are"))
		}
		if f.rounded > 0 {
			note("In %s, %s rounded to whole cents, half up.", f.name, verb(f.rounded, "value was", "values were"))
		}
		if f.zoneless && !f.format.rounded {
			note("The times in %s name no zone and were taken as UTC.", f.name)
		}
		if f.undated {
			note("%s has no times for some of its blocks, so their transfers are undated; add the list of its blocks with their times.", f.name)
		}
		if f.format.rounded {
			note("%s is a page of a list, so there may be more, and its amounts may be rounded; the CSV export with the column UnixTimestamp has all of it, exact.", f.name)
		} else if f.format.wallet && f.rows > 0 {
			switch {
			case f.rows == pageful:
				note("%s has %d rows, the most that explorers export at once, so there may be more; export the later ones, too.", f.name, pageful)
			case len(f.either) == 0:
				note("%s is not the export of one wallet, so it is not known what it is complete for; give each wallet's export in a file of its own.", f.name)
			case len(f.either) == 2:
				note("%s can be the export of %s or of %s, so it is not known for which of them it is complete; put the address into the name of the file.",
					f.name, b.show(f.either[0]), b.show(f.either[1]))
			}
		}
		for _, token := range slices.SortedFunc(maps.Keys(f.unknown), common.Address.Cmp) {
			note("In %s, %s of the token %s left out: its decimals are not known, and anybody can make a token of any name.",
				f.name, verb(f.unknown[token], "transfer", "transfers"), b.show(token))
		}
		notes = append(notes, b.bareNote(f)...)
	}
	if b.repeated > 0 {
		note("%s found more than once and counted once.", verb(b.repeated, "row was", "rows were"))
	}
	if !b.fees && slices.ContainsFunc(b.assets, func(a tracer.Asset) bool { return a.Kind == tracer.Native }) {
		note("No file holds fees, so what wallets paid for their transactions seems to be with them still.")
	}
	if blocks > 0 {
		var names []string
		for _, id := range unordered {
			names = append(names, b.files[id].name)
		}
		note("The order of transactions inside a block is not in %s; in %s they were put in an order in which money arrives before it leaves, where there is one.",
			list(names), count(blocks, "block"))
	}
	return shorten(notes)
}

// bareNote names the tokens of a file whose decimals nobody knows.
func (b *builder) bareNote(f *file) []string {
	if len(f.bare) == 0 {
		return nil
	}
	tokens := slices.SortedFunc(maps.Keys(f.bare), common.Address.Cmp)
	if len(tokens) == 1 {
		return []string{fmt.Sprintf("In %s, the token %s has no decimals; its amounts are in base units.", f.name, b.show(tokens[0]))}
	}
	return []string{fmt.Sprintf("In %s, %d tokens have no decimals, %s the first of them; their amounts are in base units.", f.name, len(tokens), b.show(tokens[0]))}
}

// maxNotes bounds the notes: a file can name any number of tokens.
const maxNotes = 100

func shorten(notes []string) []string {
	if n := len(notes); n > maxNotes {
		return append(notes[:maxNotes:maxNotes], fmt.Sprintf("There are %d more notes of these kinds.", n-maxNotes))
	}
	return notes
}

func count(n int, what string) string { return verb(n, what, what+"s") }

func verb(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// stamp writes a time for people and for files, empty where it is not known.
func stamp(sec uint64) string {
	if sec == 0 {
		return ""
	}
	return time.Unix(int64(sec), 0).UTC().Format(time.RFC3339)
}
