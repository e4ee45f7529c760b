package ethsource

import (
	"context"
	"errors"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// Tron's nodes speak JSON-RPC too, but show transactions of all kinds as if they
// were Ethereum's: the value of one is TRX, or an amount of another token
// (TRC-10), or a number of votes, or what was staked, and nothing tells which.
// What gas is said to have cost is what it would cost somebody who owns none, and
// leaves out bandwidth. So only logs are read there. (java-tron's JsonRpcApiUtil
// and TransactionReceipt.)

// errTron is why moves of TRX are not read from a node.
var errTron error = &nodeError{kind: kindMissing, text: "a node of Tron does not tell moves of TRX over JSON-RPC; TronGrid tells all but what contracts pay out"}

const tronNote = "A node of Tron does not tell over JSON-RPC what moved in TRX, nor fees: these are read only where an indexer such as TronGrid is asked (--index trongrid)."

// blindness is why moves of native coin are not read from any node of the
// chain, or nil.
func (s *Source) blindness() error {
	if tracer.Tron(s.chain.ID) {
		return errTron
	}
	return nil
}

// Blind reports whether no node of the chain shows native coin, as on Tron.
func (s *Source) Blind() bool { return s.blindness() != nil }

// hidden is what of a transaction a node of Tron does not tell.
func hidden(x *tx) (us []tracer.Unread) {
	wallets := []common.Address{x.From}
	if x.To != nil && *x.To != x.From {
		wallets = append(wallets, *x.To)
	}
	for _, w := range wallets {
		for _, of := range []tracer.Part{tracer.PartNative, tracer.PartInternal} {
			at := tracer.Span{Wallet: w, From: uint64(*x.Block), To: uint64(*x.Block)}
			us = append(us, tracer.Unread{Span: at, Part: of, Reason: tracer.ReasonNoTraces, Detail: errTron.Error()})
		}
	}
	return us
}

// newestOnly reports whether an error says that the node shows states of no
// block but the newest, as java-tron does.
func newestOnly(err error) bool {
	e, ok := errors.AsType[*nodeError](err)
	return ok && e.kind == kindPruned && strings.Contains(e.said, "just support tag as latest")
}

// code asks for the code of addresses at the pinned block, or, at a node that
// shows no other, at the newest one: contracts come and hardly ever go.
func (s *Source) code(ctx context.Context, p *purse, addrs []common.Address) ([]*hexutil.Bytes, error) {
	for {
		at := s.stateAt()
		code := make([]*hexutil.Bytes, len(addrs))
		calls := make([]rpc.BatchElem, len(addrs))
		for i, a := range addrs {
			calls[i] = rpc.BatchElem{Method: "eth_getCode", Args: []any{a, at}, Result: &code[i]}
		}
		err := s.c.sure(ctx, p, calls, func(i int) error {
			if code[i] == nil {
				return s.c.unusable("it shows null for the code of an address")
			}
			return nil
		})
		if at == newestTag || !newestOnly(err) {
			return code, err
		}
		s.mu.Lock()
		s.newest = true
		s.mu.Unlock()
	}
}

const newestTag = "latest"

// stateAt is the block whose states are asked for where the pinned one's are meant.
func (s *Source) stateAt() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest {
		return newestTag
	}
	return hexutil.EncodeUint64(s.pinned.Number)
}
