// Package token asks token contracts what they call themselves, and says which
// of them pass for a token that the chain table knows.
//
// A token's name, symbol and decimals are whatever its author wrote, and may be
// something else tomorrow. They are claims, for people who find the same words in
// a block explorer; no value, no ledger and no link ever rests on one. What the
// table of a [tracer.Chain] says of its own tokens is not asked.
//
// A [Book] asks hundreds of contracts in a request, through Multicall3 where the
// chain has it, all at the block that the trace reads up to, and each once.
//
// What it promises: what a contract answers, be it endless, malformed or no text,
// costs no more than reading it and becomes at most [MostText] bytes that are safe
// to show; decimals that a contract does not say are not known, never 18; the
// claim of one contract does not depend on what others do in the same request; no
// more requests than allowed; and the same answers give the same claims.
package token

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/abi"

	"github.com/ethereum/go-ethereum/common"
)

// MostText is the longest name or symbol, in bytes.
const MostText = 64

// MostDecimals is the most decimals that are believed. Tokens in use have at
// most 27; from 78 on a whole unit is more than a uint256 can say.
const MostDecimals = 36

// A Claim is what a token contract says of itself.
type Claim struct {
	Name, Symbol string // safe to show; empty: it does not say
	Decimals     uint8
	Known        bool   // the decimals are
	ReadsAs      string // the symbol in the chain table that the name or symbol reads as, though the contract is another; often empty
}

// A Book remembers the claims of the contracts of one chain. It is not safe for
// concurrent use. A nil Book knows nothing and asks nobody.
type Book struct {
	chain  tracer.Chain
	node   tracer.CallSource
	block  uint64
	claims map[common.Address]Claim
	reads  map[string]string
	spent  int
}

// NewBook returns a book that asks src about contracts of a chain as they are at
// a block. A source that runs no calls is not asked.
func NewBook(chain tracer.Chain, src tracer.Source, block uint64) *Book {
	node, _ := tracer.As[tracer.CallSource](src)
	return &Book{chain: chain, node: node, block: block, claims: make(map[common.Address]Claim), reads: readings(&chain)}
}

// Of returns what a token says of itself. ok is false where it was not asked or
// could not be, and for everything in the chain table.
func (b *Book) Of(a tracer.Asset) (c Claim, ok bool) {
	if b == nil || a.Chain != b.chain.ID {
		return Claim{}, false
	}
	c, ok = b.claims[a.Token]
	return c, ok
}

// Ask asks the tokens that the book does not know yet, in their order, and
// returns the requests spent, which are at most most; those that it does not
// suffice for stay unknown. Native coins and tokens of the chain table are passed
// over. The only error is that of ctx.
func (b *Book) Ask(ctx context.Context, assets []tracer.Asset, most int) (requests int, err error) {
	if b == nil || b.node == nil {
		return 0, nil
	}
	q := &inquiry{Book: b, left: most, block: b.block}
	for _, a := range assets {
		_, seen := b.claims[a.Token]
		_, listed := b.chain.Token(a)
		if !seen && !listed && a.Chain == b.chain.ID && (a.Kind == tracer.ERC20 || a.Kind == tracer.NFT) && !slices.Contains(q.todo, a.Token) {
			q.todo = append(q.todo, a.Token)
		}
	}
	err = q.run(ctx)
	maps.Copy(b.claims, q.found)
	b.spent += most - q.left
	return most - q.left, err
}

// Requests returns how many requests were spent so far.
func (b *Book) Requests() int {
	if b == nil {
		return 0
	}
	return b.spent
}

const (
	// together is how many contracts are asked in one call of Multicall3: three
	// answers of each take far less gas than nodes allow a call (geth: 50 million).
	together = 100
	// patience is how many calls may end in passing trouble, with which a node
	// also refuses an answer that is too large, before nobody is asked any more.
	patience = 20
)

// An inquiry is one call of [Book.Ask].
type inquiry struct {
	*Book
	todo  []common.Address
	left  int
	block uint64
	found map[common.Address]Claim

	noOther bool // the chain has no Multicall3
	busy    int  // calls that passing trouble ended
}

// A part is one question to one contract and its answer.
type part struct {
	of     common.Address
	which  int // of questions
	answer []byte
	done   bool
	lost   bool // passing trouble was in the way
}

var questions = [][]byte{selectorName, selectorSymbol, selectorDecimals}

// run asks everything through Multicall3, and once more alone what had no answer
// there: one contract can burn the gas of all, or make the answer too large.
func (q *inquiry) run(ctx context.Context) error {
	q.found = make(map[common.Address]Claim)
	for group := range slices.Chunk(q.todo, together) {
		slices.SortFunc(group, common.Address.Cmp) // so that what is asked depends as little as can be on why
		parts := make([]part, 0, len(group)*len(questions))
		for _, a := range group {
			for which := range questions {
				parts = append(parts, part{of: a, which: which})
			}
		}
		err := q.aggregate(ctx, parts)
		if err == nil {
			err = q.alone(ctx, parts)
		}
		if errors.Is(err, tracer.ErrBudget) || errors.Is(err, errRefused) {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		for i := 0; i < len(parts); i += len(questions) {
			q.keep(parts[i : i+len(questions)])
		}
	}
	return nil
}

// errRefused reports that the node runs no calls, or none now.
var errRefused = errors.New("the node runs no calls")

// aggregate asks parts through Multicall3, those that are refused together in
// halves. Where there is no Multicall3 it leaves them.
func (q *inquiry) aggregate(ctx context.Context, parts []part) error {
	if q.noOther {
		return nil
	}
	calls := make([]tracer.Call, len(parts))
	for i, p := range parts {
		calls[i] = tracer.Call{To: p.of, Data: questions[p.which]}
	}
	replies, err := q.calls(ctx, []tracer.Call{abi.Aggregate(calls, q.block)})
	if err != nil {
		return err
	}
	if r := replies[0]; r.Refusal == tracer.RefusedNot {
		answers, ok := abi.Results(r.Data, len(parts))
		q.noOther = !ok
		for i, a := range answers {
			parts[i].answer, parts[i].done = a.Data, a.OK && len(a.Data) > 0
		}
		return nil
	}
	if len(parts) <= len(questions) {
		return nil
	}
	half := len(parts) / len(questions) / 2 * len(questions)
	return cmp.Or(q.aggregate(ctx, parts[:half]), q.aggregate(ctx, parts[half:]))
}

// alone asks each part that has no answer yet in a call of its own.
func (q *inquiry) alone(ctx context.Context, parts []part) error {
	var calls []tracer.Call
	var at []int
	for i := range parts {
		if p := &parts[i]; !p.done {
			calls, at = append(calls, tracer.Call{To: p.of, Data: questions[p.which]}), append(at, i)
		}
	}
	if len(calls) == 0 {
		return nil
	}
	replies, err := q.calls(ctx, calls)
	if err != nil {
		return err
	}
	for k, r := range replies {
		parts[at[k]].answer, parts[at[k]].lost = r.Data, r.Refusal == tracer.RefusedNow
	}
	return nil
}

// calls makes calls at the block, or, for a node that no longer keeps its state,
// at the newest: names seldom change.
func (q *inquiry) calls(ctx context.Context, calls []tracer.Call) ([]tracer.Reply, error) {
	for {
		for i := range calls {
			calls[i].Block = q.block
		}
		replies, spent, err := q.node.Calls(ctx, calls, q.left)
		q.left -= spent
		if err = cmp.Or(err, context.Cause(ctx)); err != nil {
			return nil, err
		}
		for _, r := range replies {
			switch r.Refusal {
			case tracer.RefusedMissing:
				return nil, errRefused
			case tracer.RefusedNow:
				q.busy++
			}
		}
		if q.busy > patience {
			return nil, errRefused
		}
		gone := slices.ContainsFunc(replies, func(r tracer.Reply) bool { return r.Refusal == tracer.RefusedGone })
		if !gone || q.block == tracer.Newest {
			return replies, nil
		}
		q.block = tracer.Newest
	}
}

// keep turns the answers of a contract, in the order of questions, into a claim.
// With one that was lost there is none.
func (q *inquiry) keep(parts []part) {
	if slices.ContainsFunc(parts, func(p part) bool { return p.lost }) {
		return
	}
	c := Claim{Name: decodeText(parts[0].answer), Symbol: decodeText(parts[1].answer)}
	c.Decimals, c.Known = decodeDecimals(parts[2].answer)
	c.ReadsAs = cmp.Or(q.reads[fold(c.Symbol)], q.reads[fold(c.Name)])
	q.found[parts[0].of] = c
}
