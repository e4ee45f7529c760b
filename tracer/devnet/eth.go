package devnet

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// ethAPI answers the eth_ methods about blocks, transactions and logs.
type ethAPI struct{ n *Node }

func (api *ethAPI) ChainId(ctx context.Context) hexutil.Uint64 {
	if faultOf(ctx) == FaultChainID {
		return 1
	}
	return hexutil.Uint64(api.n.w.chain.id)
}

func (api *ethAPI) BlockNumber(ctx context.Context) hexutil.Uint64 {
	return hexutil.Uint64(api.n.view(ctx).last)
}

func (api *ethAPI) Syncing() bool { return false }

func (api *ethAPI) GetBlockByNumber(ctx context.Context, b rpc.BlockNumber, full bool) (any, error) {
	v := api.n.view(ctx)
	n, ok, err := v.resolve(b)
	if err != nil || !ok || v.fault == FaultNull {
		return nil, err
	}
	return v.appendBlock(nil, n, full), nil
}

func (api *ethAPI) GetBlockByHash(ctx context.Context, h common.Hash, full bool) (any, error) {
	v := api.n.view(ctx)
	n, ok := v.number(h)
	if !ok || v.fault == FaultNull {
		return nil, nil
	}
	return v.appendBlock(nil, n, full), nil
}

func (api *ethAPI) GetTransactionByHash(ctx context.Context, h common.Hash) (any, error) {
	v := api.n.view(ctx)
	i, ok := v.tx(h)
	if !ok || v.fault == FaultNull {
		return nil, nil
	}
	return v.appendTx(nil, i), nil
}

func (api *ethAPI) GetTransactionReceipt(ctx context.Context, h common.Hash) (any, error) {
	v := api.n.view(ctx)
	i, ok := v.tx(h)
	if !ok || v.fault == FaultNull {
		return nil, nil
	}
	n := uint64(v.w.chain.txs[i].block)
	return v.appendReceipt(nil, i, v.w.chain.receipts(n)[i-v.w.chain.firstTx[n]]), nil
}

// GetLogs searches logs, with the limits of geth and those of the options.
func (api *ethAPI) GetLogs(ctx context.Context, q filter) (any, error) {
	v := api.n.view(ctx)
	if len(q.addrs) > maxAddresses {
		return nil, errMaxAddresses
	}
	var from, to uint64
	if q.block != nil {
		n, ok := v.number(*q.block)
		if !ok {
			return nil, errUnknownBlock
		}
		from, to = n, n
	} else {
		var err error
		if from, to, err = v.span(q); err != nil {
			return nil, err
		}
		if limit := v.opts.MaxRange; limit > 0 && to-from > limit {
			if v.opts.Tron {
				return nil, invalidParams("exceed max block range: %d", limit)
			}
			return nil, invalidParams("exceed maximum block range %d", limit)
		}
	}
	found := v.x.logs(from, to, q.addrs, q.topics)
	if limit := v.opts.MaxLogs; limit > 0 && len(found) > limit && from < to {
		if v.opts.Tron {
			return nil, &rpcError{-32005, fmt.Sprintf("query returned more than %d results", limit)}
		}
		c := v.w.chain
		last := uint64(c.txs[c.events[found[limit]].tx].block)
		return nil, invalidParams("query exceeds max results %d, retry with the range %d-%d", limit, from, max(from, last-1))
	}
	return v.appendLogs(v.tamper(found, from, to)), nil
}

// span resolves the blocks of a filter.
func (v view) span(q filter) (from, to uint64, err error) {
	if q.from == rpc.PendingBlockNumber || q.to == rpc.PendingBlockNumber {
		return 0, 0, errPending
	}
	if q.from >= 0 && q.to >= 0 && q.from > q.to {
		return 0, 0, errInvalidRange
	}
	from, ok1, err1 := v.resolve(q.from)
	to, ok2, err2 := v.resolve(q.to)
	switch {
	case err1 != nil || err2 != nil:
		return 0, 0, errors.Join(err1, err2)
	case ok1 && !ok2 && v.opts.Tron:
		to = v.last
	case !ok1 || !ok2:
		return 0, 0, errIntoFuture
	case from > to:
		return 0, 0, errInvalidRange
	}
	return from, to, nil
}

// The limits of geth that are not flags, and the default of the one that is.
const (
	maxTopics    = 4
	maxSubTopics = 1000
	maxAddresses = 1000
)

// A filter is the argument of eth_getLogs.
type filter struct {
	block    *common.Hash
	from, to rpc.BlockNumber
	addrs    []common.Address
	topics   [][]common.Hash // a position without values matches everything
}

// receiptsAPI answers eth_getBlockReceipts.
type receiptsAPI struct{ n *Node }

func (api *receiptsAPI) GetBlockReceipts(ctx context.Context, b rpc.BlockNumberOrHash) (any, error) {
	v := api.n.view(ctx)
	n, err := v.at(b)
	if errors.Is(err, errNoHeader) || v.fault == FaultNull {
		return nil, nil // geth answers null for a number it does not have
	}
	if err != nil {
		return nil, err
	}
	return v.appendReceipts(nil, n), nil
}

// stateAPI answers what an address has at a block.
type stateAPI struct{ n *Node }

func (api *stateAPI) at(ctx context.Context, b *rpc.BlockNumberOrHash) (uint64, error) {
	v := api.n.view(ctx)
	latest := rpc.BlockNumberOrHashWithNumber(rpc.LatestBlockNumber)
	if b == nil {
		b = &latest
	}
	n, err := v.at(*b)
	if err != nil {
		return 0, err
	}
	if v.fault == FaultPruned || v.opts.NoArchive && v.last-n > 128 {
		return 0, fmt.Errorf("missing trie node %x (path ) state %#x is not available, not found", v.hash(n), v.hash(n))
	}
	return n, nil
}

func (api *stateAPI) GetBalance(ctx context.Context, a common.Address, b *rpc.BlockNumberOrHash) (*hexutil.U256, error) {
	n, err := api.at(ctx, b)
	if err != nil {
		return nil, err
	}
	return (*hexutil.U256)(api.n.x.balance(a, n)), nil
}

func (api *stateAPI) GetTransactionCount(ctx context.Context, a common.Address, b *rpc.BlockNumberOrHash) (*hexutil.Uint64, error) {
	n, err := api.at(ctx, b)
	if err != nil {
		return nil, err
	}
	count := hexutil.Uint64(api.n.x.nonce(a, n))
	return &count, nil
}

func (api *stateAPI) GetCode(ctx context.Context, a common.Address, b *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	n, err := api.at(ctx, b)
	if err != nil {
		return nil, err
	}
	if a == multicall3 && api.n.opts.NoMulticall {
		return nil, nil
	}
	return api.n.w.chain.code(a, n), nil
}
