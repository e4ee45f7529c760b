package ethsource

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// fetchTraces asks for traces and looks at each.
func (s *Source) fetchTraces(ctx context.Context, p *purse, b stretch, method string, args ...any) ([]trace, error) {
	var rows []trace
	err := s.c.call(ctx, p, false, func(sc *scanner) error {
		rows = nil
		if err := into(&rows)(sc); err != nil {
			return err
		}
		if rows == nil {
			return errNull
		}
		return s.checkTraces(rows, b)
	}, method, args...)
	return rows, err
}

func (s *Source) checkTraces(rows []trace, b stretch) error {
	for i := range rows {
		r := &rows[i]
		if e := r.Error.node; e != nil {
			refusal := s.c.refuse(0, e.Code, e.words()...)
			refusal.inner = true
			return refusal
		}
		if r.Block < b.from || r.Block > b.to {
			return s.c.unusable("it has traces of blocks that were not asked for")
		}
		if err := s.agree(r.Block, r.Hash); err != nil {
			return err
		}
	}
	return nil
}

var callTracer = map[string]any{"tracer": "callTracer"}

// traceTxs returns what was done inside transactions and not taken back.
func (s *Source) traceTxs(ctx context.Context, p *purse, txs []common.Hash) ([]trace, error) {
	if len(txs) == 0 {
		return nil, nil
	}
	txs = unique(txs)
	for {
		s.mu.Lock()
		method := s.inner
		s.mu.Unlock()
		if method == "" {
			return nil, errNoTraces
		}
		rows, err := s.traceEach(ctx, p, method, txs)
		if e, ok := errors.AsType[*nodeError](err); !ok || e.kind != kindMissing && e.kind != kindDenied {
			return rows, err
		}
		s.mu.Lock()
		if i := slices.Index(traceMethods, method); s.inner == method {
			s.inner = traceMethods[i+1]
		}
		s.mu.Unlock()
	}
}

func (s *Source) traceEach(ctx context.Context, p *purse, method string, txs []common.Hash) ([]trace, error) {
	raw := make([]json.RawMessage, len(txs))
	rows := make([][]trace, len(txs))
	calls := make([]rpc.BatchElem, len(txs))
	for i, tx := range txs {
		calls[i] = rpc.BatchElem{Method: method, Args: []any{tx}, Result: &raw[i]}
		if method == traceMethods[1] {
			calls[i].Args = append(calls[i].Args, callTracer)
		}
	}
	if method == traceMethods[1] {
		// A frame does not say where its transaction is.
		bases, err := s.fetchReceipts(ctx, p, txs)
		if err != nil {
			return nil, err
		}
		err = s.c.sure(ctx, p, calls, func(i int) error {
			var f *frame
			if err := json.Unmarshal(raw[i], &f); err != nil || f == nil {
				return s.c.unusable("it does not show the calls of a transaction of the chain")
			}
			r := bases[i]
			rows[i] = f.rows(trace{Tx: r.Tx, Index: uint64(r.Index), Block: uint64(r.Block), Hash: r.Hash}, nil)
			return nil
		})
		return alive(slices.Concat(rows...)), err
	}
	err := s.c.sure(ctx, p, calls, func(i int) error {
		rows[i] = nil
		if err := json.Unmarshal(raw[i], &rows[i]); err != nil || len(rows[i]) == 0 || slices.ContainsFunc(rows[i], func(r trace) bool { return r.Error.node == nil && r.Tx != txs[i] }) {
			return s.c.unusable("it does not show the traces of a transaction of the chain")
		}
		return s.checkTraces(rows[i], stretch{0, s.pinned.Number})
	})
	return alive(slices.Concat(rows...)), err
}

// traceBlocks returns what was done in blocks and not taken back. Blocks in
// which nothing can have been called need not be asked for.
func (s *Source) traceBlocks(ctx context.Context, p *purse, blocks []*block) ([]trace, error) {
	blocks = slices.DeleteFunc(slices.Clone(blocks), func(b *block) bool {
		return !slices.ContainsFunc(b.Txs, func(x tx) bool { return x.Gas > plainGas })
	})
	if len(blocks) == 0 {
		return nil, nil
	}
	method := s.abilities().ByBlock
	if method == "" {
		return nil, errNoTraces
	}
	raw := make([]json.RawMessage, len(blocks))
	rows := make([][]trace, len(blocks))
	calls := make([]rpc.BatchElem, len(blocks))
	for i, b := range blocks {
		calls[i] = rpc.BatchElem{Method: method, Args: []any{hexutil.EncodeUint64(uint64(b.Number))}, Result: &raw[i]}
		if method == blockMethods[1] {
			calls[i].Args = append(calls[i].Args, callTracer)
		}
	}
	err := s.c.sure(ctx, p, calls, func(i int) (err error) {
		b := blocks[i]
		n := uint64(b.Number)
		rows[i] = nil
		if method == blockMethods[0] {
			err = json.Unmarshal(raw[i], &rows[i])
		} else {
			rows[i], err = unframe(b, raw[i])
		}
		if err != nil || len(rows[i]) == 0 {
			return s.c.unusable("it does not show the traces of block %d", n)
		}
		return s.checkTraces(rows[i], stretch{n, n})
	})
	if absent(err) {
		s.drop(method)
		return s.traceBlocks(ctx, p, blocks)
	}
	return alive(slices.Concat(rows...)), err
}

// unframe reads the answer of debug_traceBlockByNumber.
func unframe(b *block, raw []byte) (rows []trace, err error) {
	var frames []struct {
		Tx     common.Hash `json:"txHash"` // not of older nodes
		Result *frame      `json:"result"`
	}
	if err := json.Unmarshal(raw, &frames); err != nil {
		return nil, err
	}
	if len(frames) != len(b.Txs) {
		return nil, errNull
	}
	for i, f := range frames {
		if f.Result == nil || f.Tx != (common.Hash{}) && f.Tx != b.Txs[i].Hash {
			return nil, errNull
		}
		rows = append(rows, f.Result.rows(trace{Tx: b.Txs[i].Hash, Index: uint64(i), Block: uint64(b.Number), Hash: b.Hash}, nil)...)
	}
	return rows, nil
}
