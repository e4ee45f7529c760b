package label

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"

	"scamtrace/tracer"
)

// A Category says what a labelled wallet is.
type Category string

// The categories.
const (
	Exchange   Category = "exchange"
	Bridge     Category = "bridge"
	Mixer      Category = "mixer"
	Swap       Category = "swap"
	Gambling   Category = "gambling"
	Payment    Category = "payment"
	Lending    Category = "lending"
	Issuer     Category = "issuer"
	TokenCode  Category = "token" // a token's own contract: what is sent there is lost
	Burned     Category = "burn"
	Scam       Category = "scam"
	Sanctioned Category = "sanctioned"
	Other      Category = "other"
)

var services = []Category{Exchange, Bridge, Mixer, Swap, Gambling, Payment, Lending, Issuer, TokenCode, Burned}

// Service reports whether many people use wallets of the category, so that
// money that arrives there is not followed.
func (c Category) Service() bool { return slices.Contains(services, c) }

// Burn reports whether nobody can spend what arrives there.
func (c Category) Burn() bool { return c == TokenCode || c == Burned }

// Builtin is the [Label.Source] of the built-in set.
const Builtin = "built-in"

// MinService is the confidence that an imported label needs to make a wallet a
// service, in percent.
const MinService = 50

// A Label is what somebody said about a wallet.
type Label struct {
	Wallet     tracer.Wallet
	Name       string
	Category   Category
	Confidence int    // percent
	Source     string // who said so
}

func compare(a, b Label) int {
	return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Category, b.Category))
}

// A Set is a set of labels. The zero value is empty. It is safe for concurrent
// reads once it is filled.
type Set struct {
	of map[tracer.Wallet][]Label // sorted by compare
	n  int
}

// Add adds a label; the same label twice is one. Its name and source are
// cleaned. It refuses a label without a name, with an unknown category, or
// with a confidence that is no percentage.
func (s *Set) Add(l Label) error {
	l.Name, l.Source = tracer.CleanText(l.Name, 64), tracer.CleanText(l.Source, 128)
	switch {
	case l.Name == "":
		return fmt.Errorf("%w: the label of %s has no name", tracer.ErrUsage, l.Wallet)
	case !l.Category.Service() && !slices.Contains([]Category{Scam, Sanctioned, Other}, l.Category):
		return fmt.Errorf("%w: the label of %s has the unknown category %q", tracer.ErrUsage, l.Wallet, tracer.CleanText(string(l.Category), 32))
	case l.Confidence < 0 || l.Confidence > 100:
		return fmt.Errorf("%w: the label of %s has a confidence of %d, which is not between 0 and 100", tracer.ErrUsage, l.Wallet, l.Confidence)
	}
	if s.of == nil {
		s.of = make(map[tracer.Wallet][]Label)
	}
	ls := s.of[l.Wallet]
	i, found := slices.BinarySearchFunc(ls, l, compare)
	if !found {
		s.of[l.Wallet] = slices.Insert(ls, i, l)
		s.n++
	}
	return nil
}

// Of returns the labels of a wallet, the surest first. The slice is the set's.
func (s *Set) Of(w tracer.Wallet) []Label { return s.of[w] }

// Service returns the label that makes a wallet a service: a built-in one
// before all others, else the surest of at least [MinService]. What anybody
// says of a scam there changes nothing.
func (s *Set) Service(w tracer.Wallet) (Label, bool) {
	var best Label
	found := false
	for _, l := range s.of[w] {
		if !l.Category.Service() || l.Source != Builtin && l.Confidence < MinService {
			continue
		}
		if !found || l.Source == Builtin && best.Source != Builtin {
			best, found = l, true
		}
	}
	return best, found
}

// Conflicts yields the wallets that are a service by one label and a scam or
// sanctioned by another, sorted.
func (s *Set) Conflicts() iter.Seq[tracer.Wallet] {
	return func(yield func(tracer.Wallet) bool) {
		for _, w := range s.wallets() {
			_, service := s.Service(w)
			bad := slices.ContainsFunc(s.of[w], func(l Label) bool { return l.Category == Scam || l.Category == Sanctioned })
			if service && bad && !yield(w) {
				return
			}
		}
	}
}

func (s *Set) wallets() []tracer.Wallet {
	return slices.SortedFunc(maps.Keys(s.of), tracer.Wallet.Compare)
}

// All yields every label, by wallet, the surest first.
func (s *Set) All() iter.Seq[Label] {
	return func(yield func(Label) bool) {
		for _, w := range s.wallets() {
			for _, l := range s.of[w] {
				if !yield(l) {
					return
				}
			}
		}
	}
}

// Len returns the number of labels.
func (s *Set) Len() int { return s.n }

// SHA256 names exactly these labels, in hexadecimal, in whatever order they
// were added.
func (s *Set) SHA256() string {
	h := sha256.New()
	for l := range s.All() {
		fmt.Fprintf(h, "%s\t%q\t%s\t%d\t%q\n", l.Wallet, l.Name, l.Category, l.Confidence, l.Source)
	}
	return hex.EncodeToString(h.Sum(nil))
}
