package ethsource

import (
	"context"
	"errors"
	"fmt"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

var _ tracer.CallSource = (*Source)(nil)

// Times asks for the headers of blocks, several in a request.
func (s *Source) Times(ctx context.Context, blocks []uint64, most int) ([]uint64, int, error) {
	spent := new(counter)
	p, err := s.purse(most, spent)
	if err != nil {
		return nil, 0, err
	}
	headers := make([]*header, len(blocks))
	calls := make([]rpc.BatchElem, len(blocks))
	for i, n := range blocks {
		calls[i] = rpc.BatchElem{Method: "eth_getBlockByNumber", Args: []any{hexutil.EncodeUint64(n), false}, Result: &headers[i]}
	}
	out := make([]uint64, len(blocks))
	err = s.c.sure(ctx, p, calls, func(i int) error {
		h := headers[i]
		if h == nil || uint64(h.Number) != blocks[i] {
			return &nodeError{kind: kindBehind, text: fmt.Sprintf("the endpoint does not have block %d", blocks[i])}
		}
		out[i] = uint64(h.Time)
		return nil
	})
	return out, spent.count(), budget(err)
}

// Calls asks for eth_call, several in a request. Calls that a contract or the
// node refuses cost the others nothing.
func (s *Source) Calls(ctx context.Context, calls []tracer.Call, most int) ([]tracer.Reply, int, error) {
	spent := new(counter)
	p, err := s.purse(most, spent)
	if err != nil {
		return nil, 0, err
	}
	out, err := s.calls(ctx, p, calls)
	return out, spent.count(), err
}

// mostCalldata is how many bytes the calls of a request may have in all, when
// they are more than one: geth takes five megabytes.
const mostCalldata = 1 << 20

func (s *Source) calls(ctx context.Context, p *purse, calls []tracer.Call) ([]tracer.Reply, error) {
	out := make([]tracer.Reply, len(calls))
	at := 0
	next := func() (part []int) {
		size := 0
		for most := s.c.batchSize(want{method: "eth_call", role: RoleArchive}); at < len(calls) && len(part) < most; at++ {
			if size += 2 * len(calls[at].Data); size > mostCalldata && len(part) > 0 {
				break
			}
			part = append(part, at)
		}
		return part
	}
	if err := s.some(ctx, p, calls, next(), out); err != nil { // alone, for what it teaches
		return nil, err
	}
	var rest [][]int
	for at < len(calls) {
		rest = append(rest, next())
	}
	if err := each(len(rest), func(i int) error { return s.some(ctx, p, calls, rest[i], out) }); err != nil {
		return nil, err
	}
	return out, context.Cause(ctx)
}

// some makes calls in one request, or in as many as the endpoint wants.
func (s *Source) some(ctx context.Context, p *purse, calls []tracer.Call, todo []int, out []tracer.Reply) error {
	for len(todo) > 0 {
		n := min(len(todo), s.c.batchSize(want{method: "eth_call", role: RoleArchive}))
		left, err := s.run(ctx, p, calls, todo[:n], out)
		switch e, ok := errors.AsType[*nodeError](err); {
		case err == nil:
		case !ok:
			return budget(err)
		case n > 1 && (e.kind == kindBatch || e.kind == kindDense || e.kind == kindUnusable || e.kind == kindUnknown):
			s.c.shrink(e, n)
			todo = append(left, todo[n:]...)
			continue
		default:
			for _, i := range left {
				out[i].Refusal = refusalOf(e)
			}
		}
		todo = todo[n:]
	}
	return nil
}

// run makes some calls in one request, and those with passing trouble again.
// With an error it returns the calls that have no outcome.
func (s *Source) run(ctx context.Context, p *purse, calls []tracer.Call, todo []int, out []tracer.Reply) (left []int, err error) {
	left = append(left, todo...)
	w := want{method: "eth_call", role: RoleArchive, calls: func() int { return len(left) }}
	if calls[todo[0]].Block == tracer.Newest {
		w.role = RolePrimary
	}
	err = s.c.again(ctx, p, false, w, func(node *node) error {
		elems := make([]rpc.BatchElem, len(left))
		data := make([]*hexutil.Bytes, len(left))
		for k, i := range left {
			at := "latest"
			if calls[i].Block != tracer.Newest {
				at = hexutil.EncodeUint64(calls[i].Block)
			}
			elems[k] = rpc.BatchElem{Method: "eth_call", Result: &data[k], Args: []any{
				map[string]any{"to": calls[i].To, "data": hexutil.Bytes(calls[i].Data)}, at,
			}}
		}
		n := &note{batch: len(elems) > 1}
		noted := context.WithValue(ctx, noteKey{}, n)
		var err error
		if len(elems) == 1 { // some endpoints take no lists
			elems[0].Error = node.rpc.CallContext(noted, elems[0].Result, elems[0].Method, elems[0].Args...)
		} else {
			err = node.rpc.BatchCallContext(noted, elems)
		}
		if err != nil {
			e := s.c.classify(err)
			e.after = n.wait
			return e
		}
		var again []int
		var first *nodeError
		for k, i := range left {
			e := s.c.unusable("it shows null for a call")
			if err := elems[k].Error; err != nil {
				e = s.c.classify(err)
			} else if data[k] != nil {
				out[i] = tracer.Reply{Data: *data[k]}
				continue
			}
			final := e.kind == kindPruned || e.kind == kindMissing || e.kind == kindDenied
			if e.kind == kindOther || final && len(s.c.nodes) == 1 {
				out[i] = tracer.Reply{Refusal: refusalOf(e)}
				continue
			}
			again = append(again, i)
			if first == nil || e.kind == kindBatch {
				first = e
			}
		}
		if left = again; first == nil {
			node.worked(len(todo))
			return nil
		}
		first.after = n.wait
		return first
	})
	return left, err
}

func refusalOf(e *nodeError) tracer.Refusal {
	switch e.kind {
	case kindOther:
		return tracer.RefusedReverted
	case kindPruned:
		return tracer.RefusedGone
	case kindMissing, kindDenied:
		return tracer.RefusedMissing
	}
	return tracer.RefusedNow
}

// purse holds most calls; here, none is none.
func (s *Source) purse(most int, n *counter) (*purse, error) {
	if most <= 0 {
		return nil, tracer.ErrBudget
	}
	return newPurse(most, n), nil
}

func budget(err error) error {
	if errors.Is(err, tracer.ErrBudget) {
		return tracer.ErrBudget
	}
	return err
}
