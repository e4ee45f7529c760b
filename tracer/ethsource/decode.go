package ethsource

import (
	"strconv"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// The first topics of the logs that move something: Keccak-256 of the event's
// signature. EIP-7708 uses the first one too.
var (
	topicTransfer   = common.HexToHash("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef") // Transfer(address,address,uint256)
	topicDeposit    = common.HexToHash("0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c") // Deposit(address,uint256)
	topicWithdrawal = common.HexToHash("0x7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65") // Withdrawal(address,uint256)
)

// A verdict says what a log turned out to be.
type verdict uint8

const (
	other     verdict = iota // nothing that moves anything
	moves                    // a transfer
	unindexed                // a transfer that no search by topic can find
	malformed                // begins like a transfer, and is not one
)

// A decoder turns logs into transfers.
type decoder struct {
	chain   uint64
	wrapped map[common.Address]bool // contracts whose Deposit and Withdrawal count
}

func newDecoder(c tracer.Chain) decoder {
	d := decoder{chain: c.ID, wrapped: make(map[common.Address]bool)}
	for _, t := range c.Tokens {
		if t.Wrapped {
			d.wrapped[t.Address] = true
		}
	}
	return d
}

// transfer decodes one log. Wrapping is a token transfer from the wrapped
// token's contract to the owner, unwrapping one back: the coin goes the other
// way in the same transaction, and together they are a conversion.
func (d decoder) transfer(l *wireLog) (tracer.Transfer, verdict) {
	t := tracer.Transfer{
		Block: l.BlockNumber.n, BlockHash: l.BlockHash, Time: l.BlockTimestamp.n,
		Tx: l.TransactionHash, TxIndex: uint32(l.TransactionIndex.n),
		Asset: tracer.TokenOf(d.chain, l.Address), Kind: tracer.KindToken,
	}
	if len(l.Topics) == 0 {
		return t, other
	}
	v := moves
	switch l.Topics[0] {
	case topicTransfer:
		ok1, ok2 := true, true
		switch {
		case len(l.Topics) == 3 && len(l.Data) >= 32:
			t.From, ok1 = topicAddress(l.Topics[1])
			t.To, ok2 = topicAddress(l.Topics[2])
			t.Amount.SetBytes32(l.Data[:32])
			if l.Address == tracer.NativeLogs {
				t.Asset = tracer.NativeOf(d.chain)
			}
		case len(l.Topics) == 4 && len(l.Data) == 0:
			t.From, ok1 = topicAddress(l.Topics[1])
			t.To, ok2 = topicAddress(l.Topics[2])
			t.Amount.SetBytes32(l.Topics[3][:])
			t.Asset.Kind, t.Kind = tracer.NFT, tracer.KindNFT
		case len(l.Topics) == 1 && len(l.Data) == 96:
			t.From, ok1 = topicAddress(common.Hash(l.Data[:32]))
			t.To, ok2 = topicAddress(common.Hash(l.Data[32:64]))
			t.Amount.SetBytes32(l.Data[64:])
			v = unindexed
		default:
			return t, malformed
		}
		if !ok1 || !ok2 {
			return t, malformed
		}
	case topicDeposit, topicWithdrawal:
		if !d.wrapped[l.Address] {
			return t, other
		}
		if len(l.Topics) != 2 || len(l.Data) < 32 {
			return t, malformed
		}
		owner, ok := topicAddress(l.Topics[1])
		if !ok {
			return t, malformed
		}
		t.From, t.To = l.Address, owner
		if l.Topics[0] == topicWithdrawal {
			t.From, t.To = owner, l.Address
		}
		t.Amount.SetBytes32(l.Data[:32])
	default:
		return t, other
	}
	t.Position = strconv.FormatUint(l.LogIndex.n, 10)
	return t, v
}

// topicAddress reads an address out of a topic. Its first 12 bytes must be
// zero; a contract can log whatever it likes.
func topicAddress(h common.Hash) (common.Address, bool) {
	return common.Address(h[12:]), [12]byte(h[:12]) == [12]byte{}
}

func addressTopic(a common.Address) (h common.Hash) {
	copy(h[12:], a[:])
	return h
}

// native returns a movement of the chain's own coin.
func (d decoder) native(kind tracer.Kind, from, to common.Address, n *uint256.Int, position string) tracer.Transfer {
	return tracer.Transfer{Asset: tracer.NativeOf(d.chain), Kind: kind, From: from, To: to, Amount: *n, Position: position}
}
