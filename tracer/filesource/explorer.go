package filesource

import (
	"slices"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// explorerTransaction reads a row of Etherscan's export of transactions, or of
// one of the explorers built like it.
func (r *reader) explorerTransaction() {
	tx := r.explorerTx()
	m := move{tx: tx, kind: tracer.KindNative, asset: tracer.NativeOf(r.chain.ID), from: r.address(fFrom), to: r.receiver(), exact: true}
	m.amount = r.inOut()
	fee := r.amount(fFee, r.chain.Decimals)
	done := r.explorerStatus("")
	if r.err != nil {
		return
	}
	r.party(m.from, m.to)
	r.labels(m)
	if !done {
		r.file.failed++
	} else if m.amount.IsZero() {
		r.file.zero++
	} else {
		r.add(m)
	}
	r.fee(m, fee)
}

// fee adds what a transaction cost its sender. Explorers round some of these.
func (r *reader) fee(m move, fee uint256.Int) {
	if fee.IsZero() {
		return
	}
	m.kind, m.to, m.amount, m.exact = tracer.KindFee, common.Address{}, fee, false
	r.add(m)
}

// explorerInternal reads a row of an explorer's export of internal
// transactions. It has no trace path.
func (r *reader) explorerInternal() {
	tx := r.explorerTx()
	m := move{tx: tx, kind: tracer.KindInternal, asset: tracer.NativeOf(r.chain.ID), from: r.address(fFrom), to: r.receiver(), exact: true}
	m.amount = r.inOut()
	done := r.explorerStatus("0")
	if r.err != nil {
		return
	}
	r.party(m.from, m.to)
	r.labels(m)
	switch {
	case !done:
		r.file.failed++
	case m.amount.IsZero():
		r.file.zero++
	default:
		r.add(m)
	}
}

// explorerToken reads a row of an explorer's export of ERC-20 transfers. It
// has no log index, and amounts are in the token's own units, so the token's
// decimals must be known. A token that is not known can never be money.
func (r *reader) explorerToken() {
	tx := r.explorerTx()
	asset := r.token(fToken)
	m := move{tx: tx, kind: tracer.KindToken, asset: asset, from: r.address(fFrom), to: r.address(fTo), exact: true}
	if r.err != nil {
		return
	}
	r.party(m.from, m.to)
	_, decimals, known := r.chain.Describe(asset)
	if !known {
		r.file.unknown[asset.Token]++
		return
	}
	r.need(fValue)
	if m.amount = r.amount(fValue, decimals); r.err != nil {
		return
	}
	r.labels(m)
	if m.amount.IsZero() {
		r.file.zero++
	}
	r.add(m)
}

// explorerPage reads a row of the transactions as an explorer's page shows
// them: names of addresses, and amounts with a unit.
func (r *reader) explorerPage() {
	tx := r.explorerTx()
	m := move{tx: tx, kind: tracer.KindNative, asset: tracer.NativeOf(r.chain.ID), from: r.address(fFrom), to: r.address(fTo)}
	m.amount = r.withUnit(fValue)
	fee := r.amount(fFee, r.chain.Decimals)
	done := r.explorerStatus("")
	if r.err != nil {
		return
	}
	r.party(m.from, m.to)
	r.labels(m)
	switch {
	case !done:
		r.file.failed++
	case m.amount.IsZero():
		r.file.zero++
	default:
		r.add(m)
	}
	r.fee(m, fee)
}

// explorerTx reads which transaction a row is of.
func (r *reader) explorerTx() uint32 {
	block := r.block()
	r.need(fTime)
	return r.tx(r.hash(), block, r.time(), 0, false)
}

// receiver returns who was paid: the address, or the contract just created.
func (r *reader) receiver() common.Address {
	if r.cell(fTo) != "" {
		return r.address(fTo)
	}
	if r.cell(fCreated) != "" {
		return r.address(fCreated)
	}
	r.bad(fTo, "the receiver is missing, and ContractAddress names no new contract either")
	return common.Address{}
}

// inOut returns what came in or went out, whichever it was.
func (r *reader) inOut() uint256.Int {
	r.need(fIn)
	r.need(fOut)
	in, out := r.amount(fIn, r.chain.Decimals), r.amount(fOut, r.chain.Decimals)
	switch {
	case in.IsZero():
		return out
	case !out.IsZero() && !in.Eq(&out):
		r.bad(fOut, "one transfer cannot both bring %s and take %s", quote(r.cell(fIn)), quote(r.cell(fOut)))
	}
	return in
}

// withUnit reads an amount like "0.25 ETH", "21,000 Gwei" or "1 wei".
func (r *reader) withUnit(f field) uint256.Int {
	s := r.need(f)
	number, unit, _ := strings.Cut(s, " ")
	decimals := r.chain.Decimals
	switch unit = strings.ToLower(strings.TrimSpace(unit)); {
	case unit == "wei":
		decimals = 0
	case unit == "gwei":
		decimals = 9
	case unit == "" || strings.EqualFold(unit, r.chain.Symbol) || strings.EqualFold(unit, oldSymbols[r.chain.ID]):
	default:
		r.bad(f, "%s is not an amount of %s; name the chain that the file is of", quote(s), r.chain.Symbol)
	}
	v, negative, _, err := parseDecimal(number, decimals)
	if err != nil || negative {
		r.bad(f, "%s is not an amount; write it as 0.25 %s", quote(s), r.chain.Symbol)
	}
	return v
}

// explorerStatus reports whether a transaction succeeded. Beside the words of
// newer exports, the given text and an empty cell mean that it did.
func (r *reader) explorerStatus(done string) bool {
	s := strings.ToLower(r.cell(fStatus))
	code := r.cell(fErrCode)
	switch {
	case strings.HasPrefix(s, "error"), strings.HasPrefix(s, "fail"), strings.HasPrefix(s, "revert"), s == "1" && done == "0":
		return false
	case s == done, s == "", s == "success", s == "ok":
		return code == "" || code == "-" || code == "0"
	}
	r.bad(fStatus, "%s says neither that it succeeded nor that it failed", quote(r.cell(fStatus)))
	return false
}

// labels keeps the names that a row gives to its addresses.
func (r *reader) labels(m move) {
	r.label(m.from, r.cell(fFromLabel))
	r.label(m.to, r.cell(fToLabel))
}

// party keeps track of whose export the file is: the address that takes part
// in every row.
func (r *reader) party(from, to common.Address) {
	f := r.file
	if f.either == nil {
		f.either = []common.Address{from, to}
		if from == to {
			f.either = f.either[:1]
		}
		return
	}
	f.either = slices.DeleteFunc(f.either, func(a common.Address) bool { return a != from && a != to })
}
