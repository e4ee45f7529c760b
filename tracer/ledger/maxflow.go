package ledger

import "github.com/holiman/uint256"

// flow is a small flow network: the transfers of one transaction in one asset.
// send finds shortest augmenting paths (Edmonds and Karp, J. ACM 19(2), 1972),
// taking transfers in their order, so its answer is the same every time. It
// does not undo earlier sends: transfers that a payer's money went over are
// used up.
type flow struct {
	nodes map[uint64]int
	out   [][]int // node → edges, in order of entries
	edges []flowEdge
}

type flowEdge struct {
	from, to int
	entry    int
	left     uint256.Int
}

// A leg is an amount that went over a transfer; last marks the end of a path.
type leg struct {
	entry  int
	amount uint256.Int
	last   bool
}

func newFlow() *flow { return &flow{nodes: make(map[uint64]int)} }

func (f *flow) node(id uint64) int {
	n, ok := f.nodes[id]
	if !ok {
		n = len(f.out)
		f.nodes[id] = n
		f.out = append(f.out, nil)
	}
	return n
}

func (f *flow) edge(from, to uint64, entry int, amount *uint256.Int) {
	a, b := f.node(from), f.node(to)
	f.out[a] = append(f.out[a], len(f.edges))
	f.edges = append(f.edges, flowEdge{a, b, entry, *amount})
}

// send moves up to limit from one node to another and returns how much went,
// and over which transfers.
func (f *flow) send(from, to uint64, limit *uint256.Int) (uint256.Int, []leg) {
	var sent uint256.Int
	var legs []leg
	want := *limit
	for !want.IsZero() {
		path := f.path(from, to)
		if path == nil {
			break
		}
		part := want
		for _, e := range path {
			if f.edges[e].left.Lt(&part) {
				part = f.edges[e].left
			}
		}
		for k, e := range path {
			f.edges[e].left.Sub(&f.edges[e].left, &part)
			legs = append(legs, leg{f.edges[e].entry, part, k == len(path)-1})
		}
		sent.Add(&sent, &part)
		want.Sub(&want, &part)
	}
	return sent, legs
}

func (f *flow) reaches(from, to uint64) bool { return f.path(from, to) != nil }

// path returns the edges of a shortest path with room on every edge.
func (f *flow) path(from, to uint64) []int {
	a, ok1 := f.nodes[from]
	b, ok2 := f.nodes[to]
	if !ok1 || !ok2 || a == b {
		return nil
	}
	via := make([]int, len(f.out)) // 1 + edge that reached the node
	via[a] = -1
	for queue := []int{a}; len(queue) > 0; queue = queue[1:] {
		for _, e := range f.out[queue[0]] {
			n := f.edges[e].to
			if via[n] != 0 || f.edges[e].left.IsZero() {
				continue
			}
			via[n] = e + 1
			if n == b {
				var path []int
				for n != a {
					path = append(path, via[n]-1)
					n = f.edges[via[n]-1].from
				}
				for i, j := 0, len(path)-1; i < j; i, j = i+1, j-1 {
					path[i], path[j] = path[j], path[i]
				}
				return path
			}
			queue = append(queue, n)
		}
	}
	return nil
}
