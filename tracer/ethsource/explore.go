package ethsource

import (
	"context"
	"errors"
	"math"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// never is later than every block.
const never = math.MaxUint64

// traceMethods trace a transaction, blockMethods a block; better ones first.
var (
	traceMethods = []string{"trace_transaction", "debug_traceTransaction", ""}
	blockMethods = []string{"trace_block", "debug_traceBlockByNumber"}
)

// explore finds out what the nodes can do: what earlier runs have learnt, and
// else by asking each.
func (s *Source) explore(ctx context.Context, p *purse, o *Options) error {
	if err := each(len(s.c.nodes), func(i int) error {
		n := s.c.nodes[i]
		a, ok := s.known(n, o)
		if !ok {
			var err error
			if a, err = s.of(n).ask(ctx, p); err != nil {
				return err
			}
			a.Asked = time.Now().Unix()
		}
		s.adopt(n, a)
		return nil
	}); err != nil {
		return err
	}
	s.unite()
	can := s.abilities()
	if !can.Archive {
		text := "The node keeps no old balances to compare with: transfers that it leaves out of its logs would not be noticed."
		if len(s.c.nodes) > 1 {
			text = "None of the nodes keeps old balances to compare with: transfers that they leave out of their logs would not be noticed."
		}
		s.notes = append(s.notes, text)
	}
	if !can.Traces {
		if err := s.findTold(ctx, p, o); err != nil {
			return err
		}
		if s.blindness() != nil {
			s.notes = append(s.notes, tronNote)
		} else if can.ByBlock == "" && s.told == never {
			text := "The node cannot list internal transfers (it has no trace methods): coins that contracts passed on are not seen."
			if len(s.c.nodes) > 1 {
				text = "None of the nodes can list internal transfers (they have no trace methods): coins that contracts passed on are not seen."
			}
			s.notes = append(s.notes, text)
		}
	}
	for _, n := range s.c.nodes {
		a := s.learned(n)
		a.Asked = 0
		s.setup[n.index].Known = &a
	}
	return nil
}

// ask finds out what the one node of a source can do, by asking: Reth lists
// methods that it does not have.
func (s *Source) ask(ctx context.Context, p *purse) (a Ability, err error) {
	at := hexutil.EncodeUint64(s.pinned.Number)
	var busy common.Address // somebody with transfers, so that an index can answer at once
	if len(s.chain.Tokens) > 0 {
		busy = s.chain.Tokens[0].Address
	}
	can := func(method string, args ...any) (bool, error) {
		var got any
		err := s.c.probe(ctx, p, &got, method, args...)
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		e, refused := errors.AsType[*nodeError](err)
		a.unsure = a.unsure || err == nil && got == nil || refused && (e.passes() || e.late || e.kind == kindDenied)
		return err == nil && got != nil, nil
	}
	if a.Traces, err = can("trace_filter", map[string]any{"fromBlock": at, "toBlock": at, "toAddress": []common.Address{busy}}); err != nil {
		return a, err
	}
	if a.Archive, err = can("eth_getBalance", busy, hexutil.EncodeUint64(min(s.pinned.Number, 1))); err != nil {
		return a, err
	}
	if a.Traces {
		a.ByBlock = blockMethods[0] // they come together
		return a, nil
	}
	if a.Index, err = can("ots_searchTransactionsBefore", busy, 0, 1); err != nil {
		return a, err
	}
	for _, m := range blockMethods {
		args := []any{at}
		if m == blockMethods[1] {
			args = append(args, callTracer)
		}
		ok, err := can(m, args...)
		if err != nil {
			return a, err
		}
		if ok {
			a.ByBlock = m
			break
		}
	}
	return a, nil
}

// findTold finds the first block known to tell moves of native coin in logs.
// What earlier runs have found is looked up there.
func (s *Source) findTold(ctx context.Context, p *purse, o *Options) error {
	for _, n := range s.c.nodes {
		a, ok := s.known(n, o)
		if !ok || a.Told == nil {
			continue
		}
		told := *a.Told
		if told != never && !o.Recorded {
			if told > s.pinned.Number {
				continue
			}
			if told, _ = s.firstLogged(ctx, p, stretch{told, told}); told == never {
				continue
			}
		}
		s.told = told
		return context.Cause(ctx)
	}
	return s.findLogged(ctx, p)
}

// looks are in how many of the newest blocks moves of native coin are looked
// for: few at first, because a busy chain has thousands of them in ten blocks.
var looks = []uint64{10, 100, 1000, 10_000}

// findLogged finds the first block known to tell moves of native coin in logs,
// if the newest blocks do. It halves the chain; where nothing moved for long it
// errs towards a later block, and blocks before that are read the other way.
func (s *Source) findLogged(ctx context.Context, p *purse) error {
	if s.blindness() != nil {
		return nil
	}
	width := uint64(0)
	for _, width = range looks {
		s.told, _ = s.firstLogged(ctx, p, stretch{s.pinned.Number - min(s.pinned.Number, width-1), s.pinned.Number})
		if s.told != never || ctx.Err() != nil {
			break
		}
	}
	if s.told == never || s.told == 0 {
		return context.Cause(ctx)
	}
	for low := uint64(0); low < s.told; {
		at := low + (s.told-low)/2
		found, err := s.firstLogged(ctx, p, stretch{at, min(at+width, s.told) - 1})
		if err != nil {
			break
		}
		if found == never {
			low = min(at+width, s.told)
		} else {
			s.told = found
		}
	}
	// On a busy chain there are none before; on a quiet one there are few.
	if s.told > 0 && ctx.Err() == nil {
		if found, err := s.firstLogged(ctx, p, stretch{0, s.told - 1}); err == nil {
			s.told = min(s.told, found)
		}
	}
	return context.Cause(ctx)
}

// firstLogged returns the first block of some that has a log of native coin.
func (s *Source) firstLogged(ctx context.Context, p *purse, b stretch) (uint64, error) {
	page, err := s.fetchLogs(ctx, p, &filter{address: &tracer.NativeLogs, topics: []any{topicTransfer},
		matches: func(l *log) bool {
			return l.Address == tracer.NativeLogs && l.NumTopics > 0 && l.Topics[0] == topicTransfer
		}}, b)
	if e, ok := errors.AsType[*nodeError](err); ok && b.from < b.to && (e.kind == kindRange || e.kind == kindDense) {
		s.logs.refused(e, b)
	}
	first := uint64(never)
	for i := range page.ts {
		first = min(first, page.ts[i].Block)
	}
	return first, err
}
