package ethsource

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strconv"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/holiman/uint256"
)

// Why a transfer is not proven.
const (
	unprovenInternal = "traced by the node inside a transaction, not provable from the header of a block"
	unprovenTron     = "the blocks of Tron cannot be checked as Ethereum's can"
	unprovenNoHash   = "the hash of the block is not known"
	unprovenKind     = "the block has transactions of a kind that only this chain has"
	unprovenShown    = "the node does not show the block whole"
	unprovenBlock    = "the node shows another block at that height"
	unprovenHeader   = "the header does not have the block's hash: it was changed, or has fields that only this chain has"
	unprovenTxs      = "the transactions are not those of the header"
	unprovenReceipts = "the receipts are not those of the header"
	unprovenAbsent   = "the block does not hold what was read"
	unprovenSender   = "the transaction is not signed by the sender"
	unprovenFee      = "the fee has parts that the block does not show"
	unprovenStatus   = "receipts before 2017 do not say whether a transaction failed"
	unprovenNewer    = "the block is newer than the last one that is read"
)

// Prove holds transfers against the headers of their blocks, and returns for
// each, in order, why it is not proven, or nothing when it is. Of a block the
// header, all transactions and all receipts are asked for. What is proven then
// depends on the block's hash alone: the header has that hash, the transactions
// and receipts have the roots in the header, and they hold the transfer: a token
// transfer is the log in its place, one of native coin the value of a
// transaction that its sender signed and whose receipt says that it did not
// fail, a fee the gas in the receipts at the price in the block.
//
// That the block is on the chain rests on the node, which shows it at its
// height and the pinned block, at or above it, at its own. Transfers inside
// transactions cannot be proven, nor can blocks with transactions of kinds that
// only their chain has, but for the deposits of OP-stack chains. It is an error when ctx ends or the node fails.
func (s *Source) Prove(ctx context.Context, ts []tracer.Transfer) ([]string, error) {
	out := make([]string, len(ts))
	p := newPurse(0, new(counter))
	of := make(map[uint64][]int)
	var numbers []uint64
	for i := range ts {
		switch t := &ts[i]; {
		case tracer.Tron(s.chain.ID):
			out[i] = unprovenTron
		case t.Kind == tracer.KindInternal:
			out[i] = unprovenInternal
		case t.BlockHash == common.Hash{}:
			out[i] = unprovenNoHash
		case t.Block > s.pinned.Number:
			out[i] = unprovenNewer
		default:
			if of[t.Block] == nil {
				numbers = append(numbers, t.Block)
			}
			of[t.Block] = append(of[t.Block], i)
		}
	}
	slices.Sort(numbers)
	for some := range slices.Chunk(numbers, ahead) {
		if err := each(len(some), func(k int) error {
			n := some[k]
			blk, err := s.sealed(ctx, p, n)
			if err != nil {
				return err
			}
			for _, i := range of[n] {
				out[i] = s.prove(blk, &ts[i])
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, s.witness(ctx, p)
}

// A sealed block is one whose transactions and receipts are those that its
// header names. bad says why it is not.
type sealedBlock struct {
	hash     common.Hash
	header   types.Header
	txs      []sealedTx
	receipts []*types.Receipt
	bad      string
}

// sealed asks for a block, three times when it is not as it should be: a pool
// may have nodes that are behind.
func (s *Source) sealed(ctx context.Context, p *purse, n uint64) (*sealedBlock, error) {
	for try := 1; ; try++ {
		var raw, receipts json.RawMessage
		if err := s.c.one(ctx, p, &raw, "eth_getBlockByNumber", hexutil.EncodeUint64(n), true); err != nil {
			return nil, err
		}
		err := s.c.one(ctx, p, &receipts, "eth_getBlockReceipts", hexutil.EncodeUint64(n))
		if e, ok := errors.AsType[*nodeError](err); ok && (e.kind == kindMissing || e.kind == kindDenied) {
			receipts, err = s.singly(ctx, p, raw)
		}
		if err != nil {
			return nil, err
		}
		if b := seal(n, raw, receipts); b.bad == "" || b.bad == unprovenKind || try == 3 {
			return b, nil
		}
	}
}

// singly asks for the receipts of a block one by one.
func (s *Source) singly(ctx context.Context, p *purse, block json.RawMessage) (json.RawMessage, error) {
	var b *struct {
		Txs []struct {
			Hash common.Hash `json:"hash"`
		} `json:"transactions"`
	}
	if json.Unmarshal(block, &b) != nil || b == nil {
		return nil, nil
	}
	receipts := make([]json.RawMessage, len(b.Txs))
	calls := make([]rpc.BatchElem, len(b.Txs))
	for i := range calls {
		receipts[i] = json.RawMessage("null")
		calls[i] = rpc.BatchElem{Method: "eth_getTransactionReceipt", Args: []any{b.Txs[i].Hash}, Result: &receipts[i]}
	}
	if err := s.c.all(ctx, p, calls); err != nil {
		return nil, err
	}
	return json.Marshal(receipts)
}

// seal holds a block and its receipts, as a node shows them, against the header.
func seal(n uint64, block, receipts json.RawMessage) *sealedBlock {
	b := new(sealedBlock)
	bad := func(why string) *sealedBlock { b.bad = why; return b }
	var shown *struct {
		Hash common.Hash       `json:"hash"`
		Txs  []json.RawMessage `json:"transactions"`
	}
	var rows []json.RawMessage
	if json.Unmarshal(block, &shown) != nil || shown == nil || json.Unmarshal(receipts, &rows) != nil || len(rows) != len(shown.Txs) {
		return bad(unprovenShown)
	}
	b.hash = shown.Hash
	if json.Unmarshal(block, &b.header) != nil || b.header.Hash() != shown.Hash || !b.header.Number.IsUint64() || b.header.Number.Uint64() != n {
		return bad(unprovenHeader)
	}
	b.txs, b.receipts = make([]sealedTx, len(rows)), make([]*types.Receipt, len(rows))
	txs, receiptList := make(encodings, len(rows)), make(encodings, len(rows))
	for i := range rows {
		var tx, receipt struct {
			Type hexutil.Uint64 `json:"type"`
		}
		if json.Unmarshal(shown.Txs[i], &tx) != nil || json.Unmarshal(rows[i], &receipt) != nil || tx.Type > types.SetCodeTxType && tx.Type != depositType {
			return bad(unprovenKind)
		}
		var err error
		if b.txs[i], err = encodeTx(shown.Txs[i], uint64(tx.Type)); err != nil {
			return bad(unprovenTxs)
		}
		txs[i] = b.txs[i].bytes
		if b.receipts[i], receiptList[i], err = encodeReceipt(rows[i], uint64(receipt.Type)); err != nil {
			return bad(unprovenReceipts)
		}
	}
	h := trie.NewListHasher()
	if types.DeriveSha(txs, h) != b.header.TxHash {
		return bad(unprovenTxs)
	}
	if types.DeriveSha(receiptList, h) != b.header.ReceiptHash {
		return bad(unprovenReceipts)
	}
	return b
}

// prove looks for a transfer in its block.
func (s *Source) prove(b *sealedBlock, t *tracer.Transfer) string {
	if b.bad == unprovenShown || b.bad == unprovenHeader {
		return b.bad
	}
	if b.hash != t.BlockHash || t.Block == s.pinned.Number && b.hash != s.pinned.Hash {
		return unprovenBlock
	}
	if b.bad != "" {
		return b.bad
	}
	i := slices.IndexFunc(b.txs, func(x sealedTx) bool { return x.hash == t.Tx })
	if i < 0 || b.header.Time != t.Time {
		return unprovenAbsent
	}
	var got tracer.Transfer
	var why string
	switch t.Kind {
	case tracer.KindToken, tracer.KindNFT:
		got, why = s.provenLog(b, i, t.Position)
	case tracer.KindNative:
		got, why = s.provenValue(b, i)
	case tracer.KindFee:
		got, why = s.provenFee(b, i)
	default:
		return unprovenAbsent
	}
	if why != "" {
		return why
	}
	got.Block, got.BlockHash, got.Time, got.Tx, got.TxIndex = t.Block, b.hash, b.header.Time, t.Tx, t.TxIndex
	switch {
	case got == *t:
		return ""
	case got.From != t.From && (t.Kind == tracer.KindNative || t.Kind == tracer.KindFee):
		return unprovenSender
	case got.Amount != t.Amount && t.Kind == tracer.KindFee:
		return unprovenFee
	}
	return unprovenAbsent
}

// provenLog decodes the log in a place of a block, which must be of the i-th
// transaction. Places are counted, not read.
func (s *Source) provenLog(b *sealedBlock, i int, position string) (tracer.Transfer, string) {
	at, err := strconv.ParseUint(position, 10, 32)
	first := uint64(0)
	for _, r := range b.receipts[:i] {
		first += uint64(len(r.Logs))
	}
	logs := b.receipts[i].Logs
	if err != nil || at < first || at-first >= uint64(len(logs)) {
		return tracer.Transfer{}, unprovenAbsent
	}
	x := logs[at-first]
	l := &log{Address: x.Address, Size: len(x.Data), NumTopics: len(x.Topics), Index: at}
	if copy(l.Topics[:], x.Topics); len(x.Topics) > len(l.Topics) {
		return tracer.Transfer{}, unprovenAbsent
	}
	copy(l.Data[:], x.Data)
	t, ok := s.transfer(l)
	if !ok {
		return t, unprovenAbsent
	}
	return t, ""
}

// provenValue is the coins that the i-th transaction moved itself.
func (s *Source) provenValue(b *sealedBlock, i int) (t tracer.Transfer, why string) {
	x, r := &b.txs[i], b.receipts[i]
	if len(r.PostState) > 0 {
		return t, unprovenStatus
	}
	t = tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), Kind: tracer.KindNative}
	if t.From, why = x.sender(); why != "" {
		return t, why
	}
	sum, to := x.value.ToInt(), x.to
	if x.tx != nil {
		sum, to = x.tx.Value(), x.tx.To()
	}
	if to == nil && x.tx != nil {
		to = new(crypto.CreateAddress(t.From, x.tx.Nonce()))
	}
	value, over := uint256.FromBig(sum)
	if r.Status != types.ReceiptStatusSuccessful || sum == nil || over || value.IsZero() || to == nil {
		return t, unprovenAbsent
	}
	t.To, t.Amount = *to, *value
	return t, ""
}

// provenFee is what the i-th transaction cost its sender.
func (s *Source) provenFee(b *sealedBlock, i int) (t tracer.Transfer, why string) {
	x, r := b.txs[i].tx, b.receipts[i]
	if x == nil || x.Type() == types.BlobTxType {
		return t, unprovenFee // the price of blobs follows from the chain's schedule
	}
	t = tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), Kind: tracer.KindFee}
	if t.From, why = b.txs[i].sender(); why != "" {
		return t, why
	}
	used := r.CumulativeGasUsed
	if i > 0 {
		used -= min(used, b.receipts[i-1].CumulativeGasUsed)
	}
	price := x.GasPrice()
	if b.header.BaseFee != nil {
		tip, err := x.EffectiveGasTip(b.header.BaseFee)
		if err != nil {
			return t, unprovenFee
		}
		price = new(big.Int).Add(tip, b.header.BaseFee)
	}
	fee, over := uint256.FromBig(new(big.Int).Mul(price, new(big.Int).SetUint64(used)))
	if over {
		return t, unprovenFee
	}
	t.Amount = *fee
	return t, ""
}

// sender is who signed a transaction, or for whom the chain below made it.
func (x *sealedTx) sender() (common.Address, string) {
	if x.tx == nil {
		return x.from, ""
	}
	var signer types.Signer = types.HomesteadSigner{}
	if x.tx.Protected() {
		signer = types.LatestSignerForChainID(x.tx.ChainId())
	}
	from, err := types.Sender(signer, x.tx)
	if err != nil {
		return from, unprovenSender
	}
	return from, ""
}
