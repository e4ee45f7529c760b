package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"scamtrace/tracer/walk"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far a walk has come: a line that is written over on a
// terminal, else a line every ten seconds.
type progress struct {
	w    io.Writer
	bar  *progressbar.ProgressBar
	next time.Time
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionClearOnFinish(), progressbar.OptionSpinnerType(14))
	}
	return p
}

func (p *progress) show(s walk.Progress) {
	text := fmt.Sprintf("looked at %d wallets and %d transfers; %s has reached services so far; %d wallets to look at", s.Wallets, s.Transfers, s.Followed, s.Waiting)
	if p.bar != nil {
		p.bar.Describe(text)
		_ = p.bar.Add(1)
		return
	}
	if now := time.Now(); now.After(p.next) {
		if !p.next.IsZero() {
			fmt.Fprintln(p.w, text)
		}
		p.next = now.Add(10 * time.Second)
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
