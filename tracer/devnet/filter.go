package devnet

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// UnmarshalJSON reads a filter as geth does: one value or a list of them for
// the address and for each topic, null for any.
func (q *filter) UnmarshalJSON(data []byte) error {
	var in struct {
		BlockHash *common.Hash
		FromBlock *rpc.BlockNumber
		ToBlock   *rpc.BlockNumber
		Address   json.RawMessage
		Topics    []json.RawMessage
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*q = filter{block: in.BlockHash, from: rpc.LatestBlockNumber, to: rpc.LatestBlockNumber}
	if in.FromBlock != nil {
		q.from = *in.FromBlock
	}
	if in.ToBlock != nil {
		q.to = *in.ToBlock
	}
	if q.block != nil && (in.FromBlock != nil || in.ToBlock != nil) {
		return errors.New("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
	}
	addrs, _, err := oneOrMany(in.Address)
	if err != nil {
		return errors.New("invalid addresses in query")
	}
	for i, s := range addrs {
		b, err := fixed(s, common.AddressLength, "address")
		if err != nil {
			return fmt.Errorf("invalid address at index %d: %v", i, err)
		}
		q.addrs = append(q.addrs, common.BytesToAddress(b))
	}
	if len(in.Topics) > maxTopics {
		return errMaxTopics
	}
	q.topics = make([][]common.Hash, len(in.Topics))
	for i, raw := range in.Topics {
		values, all, err := oneOrMany(raw)
		if err != nil {
			return errInvalidTopic
		}
		if len(values) > maxSubTopics {
			return errMaxTopics
		}
		if all {
			continue
		}
		for _, s := range values {
			b, err := fixed(s, common.HashLength, "topic")
			if err != nil {
				return err
			}
			q.topics[i] = append(q.topics[i], common.BytesToHash(b))
		}
	}
	return nil
}

// oneOrMany reads a string, a list of strings, or nothing. A null in a list
// means all.
func oneOrMany(raw json.RawMessage) (values []string, all bool, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, true, nil
	}
	if raw[0] == '"' {
		var s string
		err := json.Unmarshal(raw, &s)
		return []string{s}, false, err
	}
	var many []*string
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, false, err
	}
	for _, s := range many {
		if s == nil {
			all = true
			continue
		}
		values = append(values, *s)
	}
	return values, all, nil
}

// fixed decodes hex of a given length.
func fixed(s string, length int, what string) ([]byte, error) {
	b, err := hexutil.Decode(s)
	if err == nil && len(b) != length {
		err = fmt.Errorf("hex has invalid length %d after decoding; expected %d for %s", len(b), length, what)
	}
	return b, err
}

// addressList reads one address, a list of them, or null.
type addressList []common.Address

func (l *addressList) UnmarshalJSON(data []byte) error {
	values, _, err := oneOrMany(data)
	if err != nil {
		return errors.New("invalid addresses in query")
	}
	for _, s := range values {
		b, err := fixed(s, common.AddressLength, "address")
		if err != nil {
			return fmt.Errorf("invalid address: %v", err)
		}
		*l = append(*l, common.BytesToAddress(b))
	}
	return nil
}
