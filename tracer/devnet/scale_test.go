package devnet

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rpc"
)

// BenchmarkGenerate makes the world of the demo, and one of a million transfers.
func BenchmarkGenerate(b *testing.B) {
	for _, bb := range []struct {
		name string
		cfg  Config
	}{{"demo", Config{}}, {"1000000", Config{Transfers: 1_000_000}}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.ReportMetric(float64(len(Generate(bb.cfg).Transfers())), "transfers")
			}
		})
	}
}

// BenchmarkGetLogs asks a node for all incoming tokens of 1,000 wallets.
func BenchmarkGetLogs(b *testing.B) {
	n := NewNode(Generate(Config{Transfers: 200_000}), NodeOptions{})
	q := filter{to: rpc.LatestBlockNumber, topics: [][]common.Hash{{topicTransfer}, nil, nil}}
	for _, u := range n.w.chain.addrs[1000:2000] {
		q.topics[2] = append(q.topics[2], n.w.chain.topic(n.w.chain.ids[u]))
	}
	api := &ethAPI{n}
	for b.Loop() {
		got, err := api.GetLogs(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(got.(encodedJSON))))
	}
}
