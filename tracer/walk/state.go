package walk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"scamtrace/graphstore"
	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
	"github.com/klauspost/compress/zstd"
)

// ErrOther reports a saved state that is not of this trace: another chain,
// other seeds or options, or another pinned block.
var ErrOther = errors.New("the saved state is of another trace")

// A saved walk is stateMagic; the version, the length of the lines and their
// CRC-32C, 4 bytes little endian each; lines of JSON compressed with zstd: a
// stateHead, then the stateWallets by address, then the hashes of the
// transactions that were fetched whole; and the snapshot of the store.
//
// A reader makes room for maxRatio times the length of the lines at most.
const (
	stateMagic   = "STWALK\r\n"
	stateVersion = 2 // 1 had no states of wallets
	maxRatio     = 128
	maxLine      = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type stateHead struct {
	Chain        uint64
	Pinned       tracer.Block
	Policy       string
	Since, Until uint64 // Unix seconds, as asked for
	MinUSD       tracer.Micros
	Hub          int
	Drift        int
	Unseen       bool
	From, To     uint64 // blocks
	Asked        []tracer.Seed
	Seeds        []tracer.Seed // resolved: each with its wallet
	Requests     int
	Steps        int
	Stopped      Stopped
	Done         bool
	Plan         *statePlan `json:",omitempty"`
	Quiet        bool       `json:",omitempty"`
	At, After    uint64     `json:",omitempty"` // blocks of the states of wallets
	Wallets, Txs int        // lines that follow
}

type statePlan struct {
	Spans   []planned
	Seeds   bool
	Looked  bool
	Txs     []common.Hash
	Learned bool
}

// A stateWallet is what is known of one wallet beside its transfers.
type stateWallet struct {
	Wallet    common.Address
	Contract  *bool         `json:",omitempty"` // nil: not asked
	Spans     [][2]uint64   `json:",omitempty"`
	Windows   int           `json:",omitempty"`
	Window    uint64        `json:",omitempty"`
	Transfers int           `json:",omitempty"`
	Hub       bool          `json:",omitempty"`
	Pool      bool          `json:",omitempty"`
	Judged    int           `json:",omitempty"`
	Failed    tracer.Reason `json:",omitempty"`
	Detail    string        `json:",omitempty"`
	Native    string        `json:",omitempty"`
	Blind     bool          `json:",omitempty"`
	Internal  string        `json:",omitempty"`
	Unchecked bool          `json:",omitempty"`
	Doubtful  [][2]uint64   `json:",omitempty"`
	State     *stateState   `json:",omitempty"`
}

// A stateState is the state of a watched wallet.
type stateState struct {
	Nonce   uint64
	Balance uint256.Int
	Plain   bool `json:",omitempty"`
	Quiet   bool `json:",omitempty"`
}

// Save writes the walk down, so that [Load] or [Extend] can go on with it in
// another process. The same state gives the same bytes. It holds what the
// chain says and the seeds, and nothing of the source or the labels.
func (w *Walk) Save(out io.Writer) error {
	var lines bytes.Buffer
	if err := w.saveLines(&lines); err != nil {
		return fmt.Errorf("save the walk: %w", err)
	}
	head := binary.LittleEndian.AppendUint32([]byte(stateMagic), stateVersion)
	head = binary.LittleEndian.AppendUint32(head, uint32(lines.Len()))
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(lines.Bytes(), castagnoli))
	if _, err := out.Write(append(head, lines.Bytes()...)); err != nil {
		return fmt.Errorf("save the walk: %w", err)
	}
	return w.store.WriteSnapshot(out)
}

func (w *Walk) saveLines(out io.Writer) error {
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	read := maps.Clone(w.read)
	for _, a := range slices.Concat(slices.Collect(maps.Keys(w.code)), slices.Collect(maps.Keys(w.watch.of))) {
		if read[a] == nil {
			read[a] = new(reading)
		}
	}
	h := stateHead{
		Chain: w.o.Chain.ID, Pinned: w.pinned, Policy: w.o.Policy.String(), Since: w.o.Since, Until: w.o.Until,
		MinUSD: w.o.Limits.MinUSD, Hub: w.o.Limits.Hub, Drift: w.o.Drift, Unseen: w.o.Unseen, From: w.since, To: w.until, Asked: w.asked,
		Requests: w.requests, Steps: w.steps, Stopped: w.stopped, Done: w.done, Wallets: len(read), Txs: len(w.whole),
		Quiet: w.quiet, At: w.watch.at, After: w.watch.after,
	}
	for _, s := range w.seeds {
		h.Seeds = append(h.Seeds, tracer.Seed{Wallet: s.Wallet.Address, Tx: s.Tx})
	}
	if p := w.plan; p != nil {
		h.Plan = &statePlan{p.spans, p.seeds, p.looked, p.txs, p.learned}
	}
	lines := json.NewEncoder(z)
	if err := lines.Encode(&h); err != nil {
		return err
	}
	for _, a := range slices.SortedFunc(maps.Keys(read), common.Address.Cmp) {
		r := read[a]
		s := stateWallet{
			Wallet: a, Windows: r.windows, Window: r.window, Transfers: r.transfers, Hub: r.hub, Pool: r.pool, Judged: r.judged,
			Failed: r.failed, Detail: r.detail, Native: r.native, Blind: r.blind, Internal: r.internal, Unchecked: r.unchecked,
		}
		if code, ok := w.code[a]; ok {
			s.Contract = &code
		}
		for _, d := range r.doubtful {
			s.Doubtful = append(s.Doubtful, [2]uint64{d.from, d.to})
		}
		if x, ok := w.watch.of[a]; ok {
			s.State = &stateState{x.Nonce, x.Balance, x.Plain, x.quiet}
		}
		for _, c := range r.covered {
			s.Spans = append(s.Spans, [2]uint64{c.from, c.to})
		}
		if err := lines.Encode(&s); err != nil {
			return err
		}
	}
	for _, tx := range slices.SortedFunc(maps.Keys(w.whole), common.Hash.Cmp) {
		if err := lines.Encode(tx); err != nil {
			return err
		}
	}
	return z.Close()
}

// Load reads what [Walk.Save] wrote, of this version or an earlier one, and
// goes on where it stopped. The chain, the seeds, the policy, the time span,
// the smallest amount and the size of a hub must be those of the saved walk,
// and the source must be pinned at the same block; else the error wraps
// [ErrOther]. The budgets may differ: what was spent counts. A wallet that the
// source could not read is asked for again.
//
// Bytes that are not a saved walk, or were damaged, are an error that wraps
// [graphstore.ErrCorrupt]; a state of a later version is one that wraps
// [graphstore.ErrVersion]. Memory stays below a few hundred times their length.
func Load(ctx context.Context, r io.Reader, src tracer.Source, seeds []tracer.Seed, o Options) (*Walk, error) {
	w, err := resume(ctx, r, src, seeds, o)
	if err != nil {
		return nil, err
	}
	pinned, err := src.Pin(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("find the last final block: %w", err)
	case pinned.Number != w.pinned.Number || !sameHash(pinned.Hash, w.pinned.Hash):
		return nil, fmt.Errorf("%w: it was pinned at block %s, and the source at %s", ErrOther, blockText(w.pinned), blockText(pinned))
	}
	return w, nil
}

// Extend is [Load] for a source that is pinned at a later block: of wallets
// that were read only what came after is read, and nothing of those whose states
// were noted ([Options.Watch]) and of which the source proves that nothing
// happened ([tracer.QuietSource]). The budget of requests begins anew; that of
// wallets counts all that were ever read. That the chain up to the old block is
// still the same is for the source to check.
func Extend(ctx context.Context, r io.Reader, src tracer.Source, seeds []tracer.Seed, o Options) (*Walk, error) {
	w, err := resume(ctx, r, src, seeds, o)
	if err != nil {
		return nil, err
	}
	old := w.pinned
	if err := w.pin(ctx); err != nil {
		return nil, err
	}
	switch {
	case w.pinned.Number < old.Number:
		return nil, fmt.Errorf("%w: it was pinned at block %s, and the source ends before it, at %s", ErrOther, blockText(old), blockText(w.pinned))
	case w.pinned.Number == old.Number && !sameHash(w.pinned.Hash, old.Hash):
		return nil, fmt.Errorf("%w: block %s is now %s", tracer.ErrReorg, blockText(old), blockText(w.pinned))
	}
	w.requests, w.done, w.stopped, w.quiet = 0, false, Stopped{}, true
	maps.DeleteFunc(w.code, func(a common.Address, contract bool) bool {
		_, watched := w.watch.of[a]
		return !contract && !watched // may be one by now
	})
	return w, nil
}

// sameHash reports whether two hashes do not contradict each other: a source
// may not know them.
func sameHash(a, b common.Hash) bool {
	return a == b || a == common.Hash{} || b == common.Hash{}
}

func blockText(b tracer.Block) string {
	if b.Hash == (common.Hash{}) {
		return fmt.Sprint(b.Number)
	}
	return fmt.Sprintf("%d (%s)", b.Number, b.Hash.Hex())
}

// resume reads a saved walk and checks that it is of the trace asked for.
func resume(ctx context.Context, r io.Reader, src tracer.Source, seeds []tracer.Seed, o Options) (*Walk, error) {
	w := newWalk(src, o)
	h, err := w.decode(r)
	if err != nil {
		return nil, fmt.Errorf("read the saved walk: %w", err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"chain", h.Chain, w.o.Chain.ID},
		{"accounting rule", h.Policy, w.o.Policy.String()},
		{"first time", h.Since, w.o.Since},
		{"last time", h.Until, w.o.Until},
		{"smallest amount followed", h.MinUSD, w.o.Limits.MinUSD},
		{"size of a hub", h.Hub, w.o.Limits.Hub},
		{"drift of prices", h.Drift, w.o.Drift},
		{"money not seen to come", h.Unseen, w.o.Unseen},
	} {
		if c.got != c.want {
			return nil, fmt.Errorf("%w: its %s is %v, not %v", ErrOther, c.what, c.got, c.want)
		}
	}
	if !slices.Equal(w.asked, sortSeeds(seeds)) {
		return nil, fmt.Errorf("%w: its %d seeds are not the %d given", ErrOther, len(w.asked), len(seeds))
	}
	for _, r := range w.read {
		r.failed, r.detail = "", ""
	}
	return w, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", graphstore.ErrCorrupt, fmt.Sprintf(format, args...))
}

// decode fills w, but for its options, from a saved walk.
func (w *Walk) decode(r io.Reader) (*stateHead, error) {
	head := make([]byte, len(stateMagic)+12)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(stateMagic)]) != stateMagic {
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, err
		}
		return nil, corrupt("it does not begin like one")
	}
	switch v := binary.LittleEndian.Uint32(head[len(stateMagic):]); {
	case v > stateVersion:
		return nil, fmt.Errorf("%w: version %d, and this program reads up to %d; please update it", graphstore.ErrVersion, v, stateVersion)
	case v == 0:
		return nil, corrupt("version 0")
	}
	n := binary.LittleEndian.Uint32(head[len(stateMagic)+4:])
	packed, err := io.ReadAll(io.LimitReader(r, int64(n)))
	switch {
	case err != nil:
		return nil, err
	case len(packed) < int(n):
		return nil, corrupt("it ends early")
	case crc32.Checksum(packed, castagnoli) != binary.LittleEndian.Uint32(head[len(stateMagic)+8:]):
		return nil, corrupt("the checksum is wrong")
	}
	h, err := w.decodeLines(packed)
	if err != nil {
		return nil, err
	}
	if w.store, err = graphstore.ReadSnapshot(r); err != nil {
		return nil, err
	}
	for id := range uint32(w.store.Wallets()) {
		if x := w.store.Wallet(id); x.Chain != h.Chain {
			return nil, corrupt("it holds transfers of another chain than its own")
		}
	}
	for row := range w.store.Len() {
		if w.store.Row(row).Block > w.pinned.Number {
			return nil, corrupt("it holds a transfer after its last block")
		}
	}
	return h, nil
}

func (w *Walk) decodeLines(packed []byte) (*stateHead, error) {
	z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	lines := bufio.NewScanner(io.LimitReader(z, maxRatio*int64(len(packed))+64<<10))
	lines.Buffer(nil, maxLine)
	next := func(into any) error {
		if !lines.Scan() {
			return corrupt("it ends early")
		}
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			return corrupt("%v", err)
		}
		if _, err := d.Token(); err != io.EOF {
			return corrupt("a line goes on after its end")
		}
		return nil
	}
	var h stateHead
	if err := next(&h); err != nil {
		return nil, err
	}
	if err := w.takeHead(&h); err != nil {
		return nil, err
	}
	var last common.Address
	for i := range h.Wallets {
		var s stateWallet
		if err := next(&s); err != nil {
			return nil, err
		}
		if i > 0 && last.Cmp(s.Wallet) >= 0 {
			return nil, corrupt("wallet %d is out of order", i)
		}
		last = s.Wallet
		if err := w.takeWallet(&s); err != nil {
			return nil, err
		}
	}
	var lastTx common.Hash
	for i := range h.Txs {
		var tx common.Hash
		if err := next(&tx); err != nil {
			return nil, err
		}
		if i > 0 && lastTx.Cmp(tx) >= 0 {
			return nil, corrupt("transaction %d is out of order", i)
		}
		lastTx = tx
		w.whole[tx] = true
	}
	if lines.Scan() || lines.Err() != nil {
		return nil, corrupt("it goes on after its end")
	}
	return &h, nil
}

func (w *Walk) takeHead(h *stateHead) error {
	w.pinned, w.since, w.until = h.Pinned, h.From, h.To
	w.asked, w.requests, w.steps, w.stopped, w.done = h.Asked, h.Requests, h.Steps, h.Stopped, h.Done
	switch {
	case len(h.Asked) == 0 || len(h.Seeds) == 0 || !slices.Equal(h.Asked, sortSeeds(h.Asked)):
		return corrupt("its seeds are not in order")
	case h.From > h.To || h.To > h.Pinned.Number:
		return corrupt("its time span is of blocks %d to %d, and block %d is the last", h.From, h.To, h.Pinned.Number)
	case h.Requests < 0 || h.Steps < 0 || h.Wallets < 0 || h.Txs < 0:
		return corrupt("a number is below zero")
	case h.Done && h.Plan != nil:
		return corrupt("it is at its end and has a plan")
	case h.At > h.Pinned.Number || h.After > h.At:
		return corrupt("its states are of blocks %d and %d, and block %d is the last", h.After, h.At, h.Pinned.Number)
	}
	w.quiet, w.watch = h.Quiet, watch{h.At, h.After, make(map[common.Address]watched)}
	for _, s := range h.Seeds {
		w.seeds = append(w.seeds, Seed{Wallet: tracer.Wallet{Chain: h.Chain, Address: s.Wallet}, Tx: s.Tx})
	}
	p := h.Plan
	if p == nil {
		return nil
	}
	if len(p.Spans) == 0 || len(p.Spans) > batch || len(p.Txs) > wholeTransactions {
		return corrupt("its plan is of %d wallets and %d transactions", len(p.Spans), len(p.Txs))
	}
	seen := make(map[common.Address]bool)
	for _, s := range p.Spans {
		if s.From > s.To || s.To > h.Pinned.Number || seen[s.Wallet] {
			return corrupt("its plan is to read %s from block %d to %d", s.Wallet.Hex(), s.From, s.To)
		}
		seen[s.Wallet] = true
	}
	w.plan = &plan{p.Spans, p.Seeds, p.Looked, p.Txs, p.Learned}
	return nil
}

func (w *Walk) takeWallet(s *stateWallet) error {
	if s.Windows < 0 || s.Transfers < 0 || s.Judged < 0 {
		return corrupt("a number of wallet %s is below zero", s.Wallet.Hex())
	}
	r := &reading{
		windows: s.Windows, window: s.Window, transfers: s.Transfers, hub: s.Hub, pool: s.Pool, judged: s.Judged,
		failed: s.Failed, detail: s.Detail, native: s.Native, blind: s.Blind, internal: s.Internal, unchecked: s.Unchecked,
	}
	for i, c := range s.Spans {
		if c[0] > c[1] || c[1] > w.pinned.Number || i > 0 && (c[0] <= s.Spans[i-1][1] || c[0]-s.Spans[i-1][1] == 1) {
			return corrupt("the spans of wallet %s are out of order", s.Wallet.Hex())
		}
		r.covered = append(r.covered, span{c[0], c[1]})
	}
	for _, d := range s.Doubtful {
		if d[0] > d[1] || d[1] > w.pinned.Number {
			return corrupt("the blocks of wallet %s that were not compared are %d to %d", s.Wallet.Hex(), d[0], d[1])
		}
		r.doubtful = append(r.doubtful, span{d[0], d[1]})
	}
	if s.Contract != nil {
		w.code[s.Wallet] = *s.Contract
	}
	if x := s.State; x != nil {
		w.watch.of[s.Wallet] = watched{tracer.State{Wallet: s.Wallet, Nonce: x.Nonce, Balance: x.Balance, Plain: x.Plain}, x.Quiet}
	}
	w.read[s.Wallet] = r
	return nil
}
