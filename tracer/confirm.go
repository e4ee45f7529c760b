package tracer

import (
	"context"
	"errors"
	"slices"

	"github.com/ethereum/go-ethereum/common"
)

// A Verdict is what a second source says of a transfer.
type Verdict uint8

// The verdicts.
const (
	Untold    Verdict = iota // it was not asked, or cannot tell
	Confirmed                // it shows the same transfer
	Denied                   // it shows another one in its place, or none
)

// confirmAtOnce is how many transactions are asked for at once, and
// confirmEach what one takes at most: the transaction, its receipt, what was
// moved inside, the time of its block.
const (
	confirmAtOnce = 100
	confirmEach   = 4
)

// Confirm asks a source for the transactions of transfers that another one
// showed, in the order of the transfers, and says of each what it thinks. It
// spends at most most requests (zero: no bound) and returns how many it did;
// what these were too few for is [Untold], as is what the source cannot see, such as
// internal transfers without traces. A transaction that the source cannot find
// is looked for in its block, because many nodes find old ones no other way. A
// transfer's TxIndex, Time or BlockHash of zero is not compared.
//
// With an error, of the source or of ctx, the verdicts hold what was found out
// before it.
func Confirm(ctx context.Context, s Source, ts []Transfer, most int) (verdicts []Verdict, requests int, err error) {
	c := confirming{s: s, ts: ts, most: most, out: make([]Verdict, len(ts)), of: make(map[common.Hash][]int)}
	var order []common.Hash
	for i := range ts {
		if c.of[ts[i].Tx] == nil {
			order = append(order, ts[i].Tx)
		}
		c.of[ts[i].Tx] = append(c.of[ts[i].Tx], i)
	}
	var lost []common.Hash
	for len(order) > 0 {
		n := min(len(order), confirmAtOnce)
		if most > 0 {
			n = min(n, max((most-c.spent)/confirmEach, 1))
		}
		some := order[:n]
		order = order[n:]
		err := c.ask(ctx, some)
		if errors.Is(err, ErrNotFound) && n > 1 { // one of them
			for _, tx := range some {
				if err = c.ask(ctx, []common.Hash{tx}); errors.Is(err, ErrNotFound) {
					lost, err = append(lost, tx), nil
				} else if err != nil {
					break
				}
			}
		} else if errors.Is(err, ErrNotFound) {
			lost, err = append(lost, some...), nil
		}
		if errors.Is(err, ErrBudget) {
			return c.out, c.spent, nil
		}
		if err != nil {
			return c.out, c.spent, err
		}
	}
	return c.out, c.spent, c.look(ctx, lost)
}

type confirming struct {
	s     Source
	ts    []Transfer
	of    map[common.Hash][]int // the transfers of a transaction
	out   []Verdict
	most  int
	spent int
}

// left is how many requests may be spent; zero means no bound.
func (c *confirming) left() (most int, ok bool) {
	return max(c.most-c.spent, 0), c.most <= 0 || c.spent < c.most
}

// ask asks for transactions.
func (c *confirming) ask(ctx context.Context, txs []common.Hash) error {
	most, ok := c.left()
	if !ok {
		return ErrBudget
	}
	ans, err := c.s.Transactions(ctx, txs, most)
	c.spent += ans.Requests
	if err != nil {
		return err
	}
	c.judge(txs, ans.Transfers, func(t *Transfer) bool {
		return slices.ContainsFunc(ans.Unread, func(u Unread) bool {
			return u.From <= t.Block && t.Block <= u.To && (u.Part == PartAll || u.Part == PartOf(t))
		})
	})
	return nil
}

// judge holds the transfers of transactions against what the source shows.
func (c *confirming) judge(txs []common.Hash, shown []Transfer, unread func(*Transfer) bool) {
	at := make(map[TransferID]*Transfer, len(shown))
	for i := range shown {
		at[shown[i].ID()] = &shown[i]
	}
	for _, tx := range txs {
		for _, i := range c.of[tx] {
			t := &c.ts[i]
			switch own, ok := at[t.ID()]; {
			case ok && SameTransfer(*t, *own):
				c.out[i] = Confirmed
			case ok || !unread(t):
				c.out[i] = Denied
			}
		}
	}
}

// look asks for what moved in the blocks of transactions that were not found.
func (c *confirming) look(ctx context.Context, txs []common.Hash) error {
	most, ok := c.left()
	if len(txs) == 0 || !ok {
		return nil
	}
	q := Query{MaxRequests: most}
	for _, tx := range txs {
		for _, i := range c.of[tx] {
			b := c.ts[i].Block
			q.Spans = append(q.Spans, Span{Wallet: c.ts[i].party(), From: b, To: b})
		}
	}
	ans, err := c.s.Transfers(ctx, q)
	c.spent += ans.Requests
	if err != nil { // what is not in the answer may be on the chain
		return err
	}
	c.judge(txs, ans.Transfers, func(t *Transfer) bool {
		return slices.ContainsFunc(ans.Unread, func(u Unread) bool {
			return u.Wallet == t.party() && u.From <= t.Block && t.Block <= u.To && (u.Part == PartAll || u.Part == PartOf(t))
		})
	})
	return nil
}

// party is the side of a transfer that it is looked for by.
func (t *Transfer) party() common.Address {
	if t.From == (common.Address{}) { // new tokens
		return t.To
	}
	return t.From
}

// SameTransfer reports whether two readings say the same. A TxIndex, Time or
// BlockHash of zero is not compared.
func SameTransfer(a, b Transfer) bool {
	if a.TxIndex == 0 || b.TxIndex == 0 {
		a.TxIndex, b.TxIndex = 0, 0
	}
	if a.Time == 0 || b.Time == 0 {
		a.Time, b.Time = 0, 0
	}
	if a.BlockHash == (common.Hash{}) || b.BlockHash == (common.Hash{}) {
		a.BlockHash, b.BlockHash = common.Hash{}, common.Hash{}
	}
	return a == b
}

// PartOf is the part of a wallet's movements that a transfer belongs to.
func PartOf(t *Transfer) Part {
	switch t.Kind {
	case KindToken, KindNFT:
		return PartTokens
	case KindInternal:
		return PartInternal
	}
	return PartNative
}
