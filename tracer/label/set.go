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

// Builtin is the [Label.Source] of the built-in set. No file can give it.
const Builtin = "built-in"

// MinService is the confidence that an imported label needs to make a wallet a
// service, in percent.
const MinService = 50

// A Label is what somebody said about a wallet.
type Label struct {
	Wallet     tracer.Wallet
	Name       string // of the service or person; at most 64 runes
	Category   Category
	Confidence int    // percent
	Source     string // who said so: Builtin, or a file's name and what it names as its source
}

func compare(a, b Label) int {
	return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Category, b.Category))
}

// clean returns the label as a set keeps it, or why it cannot.
func (l Label) clean() (Label, error) {
	l.Name, l.Source = tracer.CleanText(l.Name, 64), tracer.CleanText(l.Source, 128)
	switch {
	case l.Name == "":
		return l, fmt.Errorf("%w: the label of %s has no name", tracer.ErrUsage, l.Wallet)
	case !l.Category.Service() && !slices.Contains(others, l.Category):
		return l, fmt.Errorf("%w: the label of %s has the unknown category %q", tracer.ErrUsage, l.Wallet, tracer.CleanText(string(l.Category), 32))
	case l.Confidence < 0 || l.Confidence > 100:
		return l, fmt.Errorf("%w: the label of %s has a confidence of %d, which is not between 0 and 100", tracer.ErrUsage, l.Wallet, l.Confidence)
	}
	return l, nil
}

// A Set is a set of labels. The zero value is empty. It is safe for concurrent
// reads once it is filled.
type Set struct {
	of   map[tracer.Wallet][]Label // sorted by compare, no two the same
	n    int
	also []tracer.Chain
}

// Also has [Set.ReadCSV] know chains, by name or number, that the chain table
// does not have.
func (s *Set) Also(chains ...tracer.Chain) { s.also = append(s.also, chains...) }

// Add adds a label; the same label twice is one. Its name and source are
// cleaned. It refuses a label without a name, with an unknown category, or
// with a confidence that is no percentage; such an error wraps
// [tracer.ErrUsage].
func (s *Set) Add(l Label) error {
	l, err := l.clean()
	if err != nil {
		return err
	}
	s.add([]Label{l})
	return nil
}

// add adds clean labels. However many are of one wallet, it sorts them once.
func (s *Set) add(ls []Label) {
	if s.of == nil {
		s.of = make(map[tracer.Wallet][]Label)
	}
	touched := make(map[tracer.Wallet]bool)
	for _, l := range ls {
		if !touched[l.Wallet] {
			touched[l.Wallet] = true
			s.n -= len(s.of[l.Wallet])
		}
		s.of[l.Wallet] = append(s.of[l.Wallet], l)
	}
	for w := range touched {
		slices.SortFunc(s.of[w], compare)
		s.of[w] = slices.Compact(s.of[w])
		s.n += len(s.of[w])
	}
}

// Of returns the labels of a wallet: the surest first, then by name and
// source. The caller owns the slice.
func (s *Set) Of(w tracer.Wallet) []Label { return slices.Clone(s.of[w]) }

// Service returns the label that makes a wallet a service: a built-in one
// before all others, else the surest of at least [MinService]. What anybody
// says of a scam there changes nothing; [Set.Conflicts] shows it.
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

// ConflictNotes says, a sentence each and in order, which wallets are a service
// by one label and a scam by another: services are not followed.
func (s *Set) ConflictNotes() (notes []string) {
	for w := range s.Conflicts() {
		l, _ := s.Service(w)
		notes = append(notes, fmt.Sprintf("%s is %s by one label and a scam by another; it was taken for a service and not followed.", w.Show(), l.Name))
	}
	return notes
}

// Conflicts yields, sorted, the wallets that are a service by one label and a
// scam by another. A service on a sanctions list is no conflict: it is both.
func (s *Set) Conflicts() iter.Seq[tracer.Wallet] {
	return func(yield func(tracer.Wallet) bool) {
		for _, w := range s.wallets() {
			_, service := s.Service(w)
			scam := slices.ContainsFunc(s.of[w], func(l Label) bool { return l.Category == Scam })
			if service && scam && !yield(w) {
				return
			}
		}
	}
}

func (s *Set) wallets() []tracer.Wallet {
	return slices.SortedFunc(maps.Keys(s.of), tracer.Wallet.Compare)
}

// All yields every label, by wallet, in the order of [Set.Of].
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
