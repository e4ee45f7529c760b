package ethsource

import (
	"context"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// fetchReceipts asks for the receipts of transactions, each once.
func (s *Source) fetchReceipts(ctx context.Context, p *purse, txs []common.Hash) ([]*receipt, error) {
	txs = unique(txs)
	out := make([]*receipt, len(txs))
	calls := make([]rpc.BatchElem, len(txs))
	for i, tx := range txs {
		calls[i] = rpc.BatchElem{Method: "eth_getTransactionReceipt", Args: []any{tx}, Result: &out[i]}
	}
	if err := s.c.sure(ctx, p, calls, func(i int) error {
		r := out[i]
		if r == nil || r.Tx != txs[i] {
			return s.c.unusable("it does not show the receipt of a transaction of the chain")
		}
		return s.whole(r)
	}); err != nil {
		return nil, err
	}
	return out, s.prices(ctx, p, out)
}

// whole looks at the logs of a receipt, and at its block.
func (s *Source) whole(r *receipt) error {
	for k := range r.Logs {
		l := &r.Logs[k]
		if l.Tx != r.Tx || l.Hash != r.Hash || l.Block != uint64(r.Block) || k > 0 && l.Index <= r.Logs[k-1].Index {
			return s.c.unusable("it shows a receipt with logs of elsewhere")
		}
	}
	return s.agree(uint64(r.Block), r.Hash)
}

// prices fills in what gas cost where receipts do not say, as those of before
// London do not on some nodes: then it is what the transaction offered.
func (s *Source) prices(ctx context.Context, p *purse, rs []*receipt) error {
	rs = slices.DeleteFunc(slices.Clone(rs), func(r *receipt) bool { return r.GasPrice != nil })
	txs := make([]*tx, len(rs))
	calls := make([]rpc.BatchElem, len(rs))
	for i, r := range rs {
		calls[i] = rpc.BatchElem{Method: "eth_getTransactionByHash", Args: []any{r.Tx}, Result: &txs[i]}
	}
	return s.c.sure(ctx, p, calls, func(i int) error {
		if x := txs[i]; x == nil || x.Hash != rs[i].Tx || x.GasPrice == nil {
			return s.c.unusable("it shows neither in the receipt nor in the transaction what gas cost")
		}
		rs[i].GasPrice = txs[i].GasPrice
		return nil
	})
}

// manyTxs bounds how many transactions of whole blocks are remembered.
const manyTxs = 250_000

// fetchBlocks reads whole blocks, those that were not read before.
func (s *Source) fetchBlocks(ctx context.Context, p *purse, numbers []uint64) ([]*block, error) {
	numbers = slices.Compact(slices.Sorted(slices.Values(numbers)))
	blocks := make([]*block, len(numbers))
	var calls []rpc.BatchElem
	var asked []int
	s.mu.Lock()
	for i, n := range numbers {
		if blocks[i] = s.blocks[n]; blocks[i] == nil {
			calls = append(calls, blockCall(n, true, &blocks[i]))
			asked = append(asked, i)
		}
	}
	s.mu.Unlock()
	if err := s.c.sure(ctx, p, calls, func(k int) error {
		blk, n := blocks[asked[k]], numbers[asked[k]]
		if blk == nil || uint64(blk.Number) != n {
			return s.c.unusable("it does not show block %d", n)
		}
		for i := range blk.Txs {
			if x := &blk.Txs[i]; uint64(x.Index) != uint64(i) || x.BlockHash != blk.Hash {
				return s.c.unusable("it shows block %d with transactions of elsewhere", n)
			}
		}
		return s.agree(n, blk.Hash)
	}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range asked {
		if n := numbers[i]; s.blocks[n] == nil {
			s.blocks[n] = blocks[i]
			s.held += len(blocks[i].Txs)
			s.kept = append(s.kept, n)
		}
	}
	for s.held > manyTxs {
		s.held -= len(s.blocks[s.kept[0]].Txs)
		delete(s.blocks, s.kept[0])
		s.kept = s.kept[1:]
	}
	return blocks, nil
}

func unique(txs []common.Hash) []common.Hash {
	txs = slices.Clone(txs)
	slices.SortFunc(txs, common.Hash.Cmp)
	return slices.Compact(txs)
}

// contains looks in a sorted list.
func contains(sorted []common.Hash, h common.Hash) bool {
	_, ok := slices.BinarySearchFunc(sorted, h, common.Hash.Cmp)
	return ok
}

func blockCall(n uint64, full bool, result any) rpc.BatchElem {
	return rpc.BatchElem{Method: "eth_getBlockByNumber", Args: []any{hexutil.EncodeUint64(n), full}, Result: result}
}
