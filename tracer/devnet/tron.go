package devnet

import (
	"context"
	"errors"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// What java-tron's JSON-RPC does otherwise than geth's, after its source code
// (framework/src/main/java/org/tron/core/services/jsonrpc, version 4.8).

// tronAPI answers what an address has, at the newest block only.
type tronAPI struct{ state *stateAPI }

var latest = rpc.BlockNumberOrHashWithNumber(rpc.LatestBlockNumber)

// newest is nothing for the one tag that is taken.
func newest(tag string) error {
	switch tag {
	case "latest":
		return nil
	case "earliest", "pending", "finalized":
		return invalidParams("TAG [earliest | pending | finalized] not supported")
	}
	if _, err := hexutil.DecodeBig(tag); err != nil {
		return invalidParams("invalid block number")
	}
	return invalidParams("QUANTITY not supported, just support TAG as latest")
}

func (api *tronAPI) GetBalance(ctx context.Context, a common.Address, tag string) (*hexutil.U256, error) {
	if err := newest(tag); err != nil {
		return nil, err
	}
	return api.state.GetBalance(ctx, a, &latest)
}

func (api *tronAPI) GetCode(ctx context.Context, a common.Address, tag string) (hexutil.Bytes, error) {
	if err := newest(tag); err != nil {
		return nil, err
	}
	return api.state.GetCode(ctx, a, &latest)
}

func (api *tronAPI) Call(ctx context.Context, m message, tag string) (hexutil.Bytes, error) {
	if err := newest(tag); err != nil {
		return nil, err
	}
	out, err := api.state.Call(ctx, m, &latest)
	if _, ok := errors.AsType[*revert](err); ok {
		return nil, &rpcError{-32000, "REVERT opcode executed"}
	}
	return out, err
}

// bareHeader is a header without what Tron's blocks do not have.
func bareHeader(h *types.Header) *types.Header {
	bare := types.CopyHeader(h)
	bare.UncleHash, bare.ReceiptHash, bare.Root, bare.Bloom = common.Hash{}, common.Hash{}, common.Hash{}, types.Bloom{}
	bare.BaseFee = common.Big0
	return bare
}

// appendTronTx appends a transaction: it has no nonce, and its value is of
// whatever kind of transaction it is.
func (v view) appendTronTx(b encodedJSON, i uint32) encodedJSON {
	c := v.w.chain
	t := &c.txs[i]
	n := uint64(t.block)
	b = b.hash(`{"blockHash":`, v.hash(n)).num(`,"blockNumber":`, n).address(`,"from":`, c.addrs[t.from])
	b = v.appendTo(b, t).num(`,"gas":`, uint64(t.used)).num(`,"gasPrice":`, t.price).hash(`,"hash":`, t.hash)
	b = append(b.bytes(`,"input":`, c.input(i)), `,"nonce":null`...)
	return append(b.num(`,"transactionIndex":`, uint64(i-c.firstTx[n])).big(`,"value":`, &t.value), `,"r":null,"s":null,"v":null}`...)
}
