package graphstore

import (
	"errors"
	"fmt"
	"math"

	"scamtrace/tracer"

	"github.com/dominikbraun/graph"
)

// ErrNotHeld is returned for what the graph library can attach to a vertex or
// an edge and the store has no place for: attributes, the weight of a vertex,
// a negative weight, data that is no [Flow].
var ErrNotHeld = errors.New("graphstore does not hold this")

// The library's Store, with the EdgeCount that it will ask for after v0.23.0
// and the CreatesCycle that it uses where it finds one.
var _ interface {
	graph.Store[tracer.Wallet, tracer.Wallet]
	EdgeCount() (int, error)
	CreatesCycle(source, target tracer.Wallet) (bool, error)
} = (*Store)(nil)

// Graph returns the graph library's view of the store: directed, one edge for
// every pair of wallets with a flow. It is the store itself: what one changes,
// the other shows.
//
// An edge carries its flows by asset as a []Flow in Properties.Data, which the
// caller owns, and as Weight the number of their transfers. The library's
// algorithms copy the whole graph into maps before they begin; [Store.Freeze]
// does not.
func (s *Store) Graph() graph.Graph[tracer.Wallet, tracer.Wallet] {
	return graph.NewWithStore(func(w tracer.Wallet) tracer.Wallet { return w }, s, graph.Directed())
}

// AddVertex adds a wallet. It returns [graph.ErrVertexAlreadyExists] if the
// store has it, and [ErrNotHeld] if value is not hash, or for properties.
func (s *Store) AddVertex(hash, value tracer.Wallet, p graph.VertexProperties) error {
	id, ok := s.WalletID(hash)
	if !ok {
		if hash != value || p.Weight != 0 || len(p.Attributes) > 0 {
			return fmt.Errorf("add vertex %v: %w: a vertex is a wallet, without weight or attributes", hash, ErrNotHeld)
		}
		id = s.wallet(&hash)
		s.changed()
	}
	if s.lastWallets[0] != id {
		s.lastWallets = [2]uint32{id, s.lastWallets[0]}
	}
	if ok {
		return graph.ErrVertexAlreadyExists
	}
	return nil
}

// Vertex returns a wallet, or [graph.ErrVertexNotFound]. Its attributes are nil:
// a vertex has none.
func (s *Store) Vertex(hash tracer.Wallet) (tracer.Wallet, graph.VertexProperties, error) {
	if _, ok := s.WalletID(hash); !ok {
		return tracer.Wallet{}, graph.VertexProperties{}, graph.ErrVertexNotFound
	}
	return hash, graph.VertexProperties{}, nil
}

// RemoveVertex removes a wallet. It returns [graph.ErrVertexNotFound] if there
// is none, and [graph.ErrVertexHasEdges] while the wallet has an edge or any
// transfer, be it a fee. It looks through the whole store.
func (s *Store) RemoveVertex(hash tracer.Wallet) error {
	id, ok := s.WalletID(hash)
	if !ok {
		return graph.ErrVertexNotFound
	}
	for i := range s.flows.n {
		if p := s.pairs.at(uint32(i)); p.from == id || p.to == id {
			return graph.ErrVertexHasEdges
		}
	}
	for i := range s.transfers.n {
		if r := s.transfers.at(uint32(i)); r.from == id || r.to == id {
			return graph.ErrVertexHasEdges
		}
	}
	if s.gone == nil {
		s.gone = make(map[uint32]struct{})
	}
	s.gone[id] = struct{}{}
	s.changed()
	return nil
}

// ListVertices returns all wallets in order.
func (s *Store) ListVertices() ([]tracer.Wallet, error) {
	v := s.Freeze()
	ws := make([]tracer.Wallet, v.Len())
	for i := range ws {
		ws[i] = v.Wallet(uint32(i))
	}
	return ws, nil
}

// VertexCount returns how many wallets there are.
func (s *Store) VertexCount() (int, error) { return s.wallets.len() - len(s.gone), nil }

// AddEdge adds a pair of wallets. Data may be a [Flow], a []Flow (those of one
// asset are added up), or nil. With flows the weight follows from them and the
// one given is ignored; a pair without flows keeps its weight until a flow
// comes.
//
// It returns [graph.ErrVertexNotFound] if a wallet is missing,
// [graph.ErrEdgeAlreadyExists], or [ErrNotHeld].
func (s *Store) AddEdge(source, target tracer.Wallet, e graph.Edge[tracer.Wallet]) error {
	from, ok := s.WalletID(source)
	if !ok {
		return fmt.Errorf("source %v: %w", source, graph.ErrVertexNotFound)
	}
	to, ok := s.WalletID(target)
	if !ok {
		return fmt.Errorf("target %v: %w", target, graph.ErrVertexNotFound)
	}
	s.settle()
	p := pair{from, to}
	h := s.hashPair(p)
	if _, ok := s.findPair(p, h); ok {
		return graph.ErrEdgeAlreadyExists
	}
	flows, err := carried(&e.Properties)
	if err != nil {
		return fmt.Errorf("add edge %v to %v: %w", source, target, err)
	}
	s.putEdge(p, h, flows, e.Properties.Weight)
	return nil
}

// UpdateEdge replaces what an edge carries, by the rules of [Store.AddEdge]. It
// returns [graph.ErrEdgeNotFound] or [ErrNotHeld].
func (s *Store) UpdateEdge(source, target tracer.Wallet, e graph.Edge[tracer.Wallet]) error {
	head, err := s.edge(source, target)
	if err != nil {
		return err
	}
	flows, err := carried(&e.Properties)
	if err != nil {
		return fmt.Errorf("update edge %v to %v: %w", source, target, err)
	}
	p := *s.pairs.at(head)
	s.removePair(head)
	s.putEdge(p, s.hashPair(p), flows, e.Properties.Weight)
	return nil
}

// carried returns the flows that an edge is given, or an error for what there
// is no place for.
func carried(p *graph.EdgeProperties) ([]Flow, error) {
	var flows []Flow
	switch d := p.Data.(type) {
	case nil:
	case Flow:
		flows = []Flow{d}
	case []Flow:
		flows = d
	default:
		return nil, fmt.Errorf("%w: data of type %T instead of Flow or []Flow", ErrNotHeld, p.Data)
	}
	if len(p.Attributes) > 0 {
		return nil, fmt.Errorf("%w: an edge has no attributes", ErrNotHeld)
	}
	if len(flows) == 0 && (p.Weight < 0 || uint64(p.Weight) > math.MaxUint32) {
		return nil, fmt.Errorf("%w: weight %d is not a number of transfers", ErrNotHeld, p.Weight)
	}
	return flows, nil
}

// putEdge adds a pair that the store does not have, given its hash.
func (s *Store) putEdge(p pair, h uint64, flows []Flow, weight int) {
	if len(flows) == 0 {
		s.insertPair(p, h, &flowValue{asset: bare, count: uint32(weight)})
	}
	for i := range flows {
		f := &flows[i]
		s.mergeFlow(p, h, &flowValue{amount: f.Amount, first: f.First, last: f.Last, count: f.Transfers, asset: s.asset(&f.Asset)})
	}
	s.ownFlows = true
	s.changed()
}

// RemoveEdge removes an edge and its flows; transfers stay. It returns
// [graph.ErrEdgeNotFound] if there is none.
func (s *Store) RemoveEdge(source, target tracer.Wallet) error {
	head, err := s.edge(source, target)
	if err != nil {
		return err
	}
	s.removePair(head)
	s.ownFlows = true
	s.changed()
	return nil
}

// edge returns the head of a pair.
func (s *Store) edge(source, target tracer.Wallet) (uint32, error) {
	s.settle()
	from, ok1 := s.WalletID(source)
	to, ok2 := s.WalletID(target)
	if ok1 && ok2 {
		p := pair{from, to}
		if id, ok := s.findPair(p, s.hashPair(p)); ok {
			return id, nil
		}
	}
	return 0, graph.ErrEdgeNotFound
}

// Edge returns an edge, or [graph.ErrEdgeNotFound].
func (s *Store) Edge(source, target tracer.Wallet) (graph.Edge[tracer.Wallet], error) {
	head, err := s.edge(source, target)
	if err != nil {
		return graph.Edge[tracer.Wallet]{}, err
	}
	return s.libraryEdge(source, target, head, s.flowsOf(nil, head)), nil
}

func (s *Store) libraryEdge(source, target tracer.Wallet, head uint32, flows []Flow) graph.Edge[tracer.Wallet] {
	var weight uint64
	for i := range flows {
		weight += uint64(flows[i].Transfers)
	}
	if len(flows) == 0 {
		weight = uint64(s.value(s.flows.at(head)).count)
	}
	return graph.Edge[tracer.Wallet]{
		Source: source, Target: target,
		Properties: graph.EdgeProperties{
			Attributes: map[string]string{},
			Weight:     int(min(weight, math.MaxInt)),
			Data:       flows,
		},
	}
}

// ListEdges returns all edges, by source and target.
func (s *Store) ListEdges() ([]graph.Edge[tracer.Wallet], error) {
	s.settle()
	v := s.Freeze()
	edges := make([]graph.Edge[tracer.Wallet], 0, s.distinct)
	flows := make([]Flow, 0, s.flows.n-len(s.freeFlows))
	for p, head := range s.heads(v) {
		first := len(flows)
		flows = s.flowsOf(flows, head)
		edges = append(edges, s.libraryEdge(v.Wallet(p.from), v.Wallet(p.to), head, flows[first:len(flows):len(flows)]))
	}
	return edges, nil
}

// EdgeCount returns how many edges there are.
func (s *Store) EdgeCount() (int, error) {
	s.settle()
	return s.distinct, nil
}

// CreatesCycle reports whether an edge from source to target would close a
// cycle. It returns [graph.ErrVertexNotFound] if a wallet is missing.
func (s *Store) CreatesCycle(source, target tracer.Wallet) (bool, error) {
	v := s.Freeze()
	a, ok := v.ID(source)
	if !ok {
		return false, fmt.Errorf("source %v: %w", source, graph.ErrVertexNotFound)
	}
	b, ok := v.ID(target)
	if !ok {
		return false, fmt.Errorf("target %v: %w", target, graph.ErrVertexNotFound)
	}
	return v.Depths([]uint32{b}, -1)[a] >= 0, nil
}
