package label_test

import (
	"slices"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/label"

	"github.com/ethereum/go-ethereum/common"
)

func TestService(t *testing.T) {
	w := tracer.Wallet{Chain: 1, Address: common.Address{1}}
	of := func(c label.Category, confidence int, source string) label.Label {
		return label.Label{Wallet: w, Name: source + " " + string(c), Category: c, Confidence: confidence, Source: source}
	}
	for _, tt := range []struct {
		name   string
		labels []label.Label
		want   string // name of the deciding label
	}{
		{"nothing said", nil, ""},
		{"not a service", []label.Label{of(label.Scam, 100, "x")}, ""},
		{"sure enough", []label.Label{of(label.Exchange, 50, "x")}, "x exchange"},
		{"not sure enough", []label.Label{of(label.Exchange, 49, "x")}, ""},
		{"the surest wins", []label.Label{of(label.Exchange, 60, "x"), of(label.Bridge, 80, "y")}, "y bridge"},
		{"built-in wins", []label.Label{of(label.Bridge, 100, "x"), of(label.Exchange, 90, label.Builtin)}, "built-in exchange"},
		{"no import makes a service a suspect", []label.Label{of(label.Scam, 100, "x"), of(label.Exchange, 90, label.Builtin)}, "built-in exchange"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var hashes []string
			for range 2 {
				var s label.Set
				slices.Reverse(tt.labels)
				for _, l := range tt.labels {
					if err := s.Add(l); err != nil {
						t.Fatal(err)
					}
				}
				if l, ok := s.Service(w); l.Name != tt.want || ok != (tt.want != "") {
					t.Errorf("Service = %q, %v, want %q", l.Name, ok, tt.want)
				}
				hashes = append(hashes, s.SHA256())
			}
			if hashes[0] != hashes[1] {
				t.Error("the hash depends on the order of adding")
			}
		})
	}
}

func TestAddRefuses(t *testing.T) {
	var s label.Set
	for _, l := range []label.Label{
		{Category: label.Exchange},
		{Name: "\u202e\x00", Category: label.Exchange},
		{Name: "a", Category: "king"},
		{Name: "a", Category: label.Scam, Confidence: 101},
	} {
		if err := s.Add(l); err == nil {
			t.Errorf("Add(%v) is no error", l)
		}
	}
	l := label.Label{Name: "a", Category: label.Scam}
	for range 2 {
		if err := s.Add(l); err != nil {
			t.Errorf("Add(%v): %v", l, err)
		}
	}
	if s.Len() != 1 {
		t.Errorf("the same label twice gives %d labels", s.Len())
	}
}

func TestConflicts(t *testing.T) {
	var s label.Set
	w := tracer.Wallet{Chain: 1}
	for _, c := range []label.Category{label.Exchange, label.Scam} {
		if err := s.Add(label.Label{Wallet: w, Name: "x", Category: c, Confidence: 90}); err != nil {
			t.Fatal(err)
		}
	}
	if got := slices.Collect(s.Conflicts()); !slices.Equal(got, []tracer.Wallet{w}) {
		t.Errorf("Conflicts = %v", got)
	}
}
