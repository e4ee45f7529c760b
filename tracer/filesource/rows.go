package filesource

import (
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// own reads a row of our own columns. Rows of value zero are kept: they are
// what address poisoning looks like.
func (r *reader) own() {
	if id := r.uint(fChain, 1<<62, "a chain id; write it in digits only"); r.err == nil && id != r.chain.ID {
		r.bad(fChain, "this row is of chain %d, and chain %d (%s) was asked for; give the rows of each chain in a file of their own", id, r.chain.ID, r.chain.Title)
	}
	block, sec := r.block(), r.time()
	index, known := r.index()
	tx := r.tx(r.hash(), block, sec, index, known)
	m := move{tx: tx, from: r.address(fFrom), amount: r.integer(fValue), exact: true}
	kind, ok := tracer.ParseKind(r.need(fKind))
	if !ok {
		r.bad(fKind, "%s is no kind of transfer; use native, internal, token, nft or fee", quote(r.cell(fKind)))
	}
	m.kind = kind
	if kind != tracer.KindFee || r.cell(fTo) != "" {
		m.to = r.address(fTo)
	}
	if kind == tracer.KindFee {
		m.to = common.Address{}
	}
	m.asset = r.ownAsset(kind)
	done := r.status()
	if s := r.cell(fPosition); kind != tracer.KindNative && kind != tracer.KindFee && s != "" {
		switch {
		case !position(s):
			r.bad(fPosition, "%s is neither a log index nor a trace path like 0.2.1; leave the cell empty where it is not known", quote(s))
		case !madeUp(s):
			m.position = s
		}
	}
	if r.err != nil {
		return
	}
	r.label(m.from, unguard(r.cell(fFromLabel)))
	if kind != tracer.KindFee {
		r.label(m.to, unguard(r.cell(fToLabel)))
	}
	if !done && kind != tracer.KindFee {
		r.file.failed++
		return
	}
	if m.amount.IsZero() && kind != tracer.KindNFT {
		r.file.zero++
	}
	r.add(m)
}

// ownAsset reads the columns that say what moved. A dollar value is a token
// without an address, with the symbol USD.
func (r *reader) ownAsset(kind tracer.Kind) tracer.Asset {
	a := tracer.NativeOf(r.chain.ID)
	token, symbol := r.cell(fToken), unguard(r.cell(fSymbol))
	if s := r.cell(fDecimals); s != "" {
		r.uint(fDecimals, 255, "a number of decimals from 0 to 255")
	}
	switch kind {
	case tracer.KindToken, tracer.KindNFT:
		if token == "" && kind == tracer.KindToken && symbol == "USD" {
			a.Kind = tracer.USD
			break
		}
		if token == "" {
			r.bad(fToken, "a token transfer needs the address of the token's contract; leave it empty only for the chain's own coin, with kind native")
			return a
		}
		a = r.token(fToken)
		if kind == tracer.KindNFT {
			a.Kind = tracer.NFT
		}
	default:
		if token != "" {
			r.bad(fToken, "a %s transfer moves the chain's own coin and has no token address; for a token the kind is token", kind)
		}
	}
	want, d, known := r.chain.Describe(a)
	switch s := r.cell(fDecimals); {
	case kind == tracer.KindNFT:
	case known && s != "" && s != decimal(d):
		r.bad(fDecimals, "%s has %d decimals on %s, not %s; value must be in base units", want, d, r.chain.Title, quote(s))
	case !known && s == "":
		r.file.bare[a.Token]++
	}
	return a
}

// etlTokens reads a row of ethereum-etl's token_transfers.csv, which holds
// ERC-20 transfers and, with the token id as the value, ERC-721 transfers. The
// two cannot be told apart there.
func (r *reader) etlTokens() {
	block, sec := r.block(), r.time()
	index, known := r.index()
	tx := r.tx(r.hash(), block, sec, index, known)
	m := move{tx: tx, kind: tracer.KindToken, asset: r.token(fToken),
		from: r.address(fFrom), to: r.address(fTo), amount: r.integer(fValue), exact: true, position: r.need(fPosition)}
	if !digits(m.position) || !position(m.position) {
		r.bad(fPosition, "%s is not a log index; write it in digits only", quote(m.position))
	}
	if r.err != nil {
		return
	}
	if !r.chain.Known(m.asset) {
		r.file.bare[m.asset.Token]++
	}
	if m.amount.IsZero() {
		r.file.zero++
	}
	r.add(m)
}

// etlTransaction reads a row of ethereum-etl's transactions.csv, with the
// columns of the receipts that only some exports have.
func (r *reader) etlTransaction() {
	block, sec := r.block(), r.time()
	index, known := r.index()
	tx := r.tx(r.hash(), block, sec, index, known)
	m := move{tx: tx, kind: tracer.KindNative, asset: tracer.NativeOf(r.chain.ID), from: r.address(fFrom),
		amount: r.integer(fValue), exact: true}
	switch {
	case r.cell(fTo) != "":
		m.to = r.address(fTo)
	case r.cell(fCreated) != "":
		m.to = r.address(fCreated)
	default: // what a creating transaction pays goes to the new contract
		m.to = crypto.CreateAddress(m.from, r.uint(fNonce, 1<<62, "a nonce; write it in digits only"))
	}
	done := r.status()
	var fee uint256.Int
	if r.cell(fGasUsed) != "" && r.cell(fGasPrice) != "" {
		used, price := r.integer(fGasUsed), r.integer(fGasPrice)
		if _, over := fee.MulOverflow(&used, &price); over {
			r.bad(fGasPrice, "the fee is more than 256 bits can hold")
		}
	}
	if r.err != nil {
		return
	}
	r.native(m, done, fee)
}

// etlTrace reads a row of ethereum-etl's traces.csv. The first call of a
// transaction is the transaction's own value.
func (r *reader) etlTrace() {
	switch kind, call := r.need(fTraceType), r.cell(fCallType); {
	case kind == "reward" || kind == "genesis" || kind == "daofork":
		r.file.rewards++ // money that nobody sent
		return
	case kind == "call" && call != "call":
		return // a delegatecall or a staticcall moves nothing
	case kind != "call" && kind != "create" && kind != "suicide" && kind != "selfdestruct":
		r.bad(fTraceType, "%s is no kind of trace; use call, create, suicide or reward", quote(kind))
	}
	block, sec := r.block(), r.time()
	index, known := r.index()
	tx := r.tx(r.hash(), block, sec, index, known)
	done := r.status()
	if r.err != nil {
		return
	}
	m := move{tx: tx, kind: tracer.KindNative, asset: tracer.NativeOf(r.chain.ID), exact: true}
	if s := r.cell(fPosition); s != "" {
		m.kind, m.position = tracer.KindInternal, strings.ReplaceAll(s, ",", ".")
		if !position(m.position) || strings.Trim(m.position, "0123456789.") != "" {
			r.bad(fPosition, "%s is not a trace address like 0,2,1", quote(s))
		}
	}
	if r.cell(fValue) != "" {
		m.amount = r.integer(fValue)
	}
	switch {
	case r.err != nil:
	case !done:
		r.file.failed++
	case m.amount.IsZero():
		r.file.zero++
	default:
		if m.from, m.to = r.address(fFrom), r.address(fTo); r.err == nil {
			r.add(m)
		}
	}
}

// etlBlock reads a row of ethereum-etl's blocks.csv, which dates the others.
func (r *reader) etlBlock() {
	if block, sec := r.block(), r.time(); r.err == nil {
		r.date(block, sec)
	}
}

// native adds the value and the fee of a transaction, as far as there are any.
func (r *reader) native(m move, done bool, fee uint256.Int) {
	switch {
	case !done:
		r.file.failed++
	case m.amount.IsZero():
		r.file.zero++
	default:
		r.add(m)
	}
	if !fee.IsZero() {
		m.kind, m.to, m.amount = tracer.KindFee, common.Address{}, fee
		r.add(m)
	}
}

// flow reads a row of dollar flows: what one transaction moved between two
// wallets, net. A row below zero is a flow the other way.
func (r *reader) flow() {
	block, sec := r.block(), r.time()
	tx := r.tx(r.hash(), block, sec, 0, false)
	m := move{tx: tx, kind: tracer.KindToken, asset: tracer.Asset{Chain: r.chain.ID, Kind: tracer.USD},
		from: r.address(fFrom), to: r.address(fTo), exact: true}
	s := r.need(fValue)
	if r.err != nil {
		return
	}
	v, negative, exact, err := parseDecimal(s, 2)
	if err != nil {
		r.bad(fValue, "%v", err)
		return
	}
	m.amount = v
	r.label(m.from, r.cell(fFromLabel))
	r.label(m.to, r.cell(fToLabel))
	if !exact {
		r.file.rounded++
	}
	if negative {
		r.file.negative++
		m.from, m.to = m.to, m.from
	}
	if v.IsZero() {
		r.file.zero++
		return
	}
	r.add(m)
}
