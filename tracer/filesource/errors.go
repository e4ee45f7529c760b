package filesource

import (
	"errors"
	"fmt"

	"scamtrace/tracer"
)

// maxErrors is how many broken rows of one file are reported before reading
// stops: enough to see a pattern, few enough to read.
const maxErrors = 5

// A RowError says what is wrong with one cell, row or file, and what to do. It
// wraps [tracer.ErrUsage]: the list must be mended, trying again does not help.
type RowError struct {
	File   string // base name, cleaned
	Line   int    // as an editor counts; 0 when the whole file is meant
	Column string // as its header says, cleaned; empty when the whole row is meant
	Reason string // one clause, safe to show
}

func (e *RowError) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(", line %d", e.Line)
	}
	if e.Column != "" {
		s += ", column " + e.Column
	}
	return s + ": " + e.Reason
}

func (e *RowError) Unwrap() error { return tracer.ErrUsage }

// join makes one error of all, the first one first.
func join(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// quote shows a cell in an error: cleaned, short, and not at all when it could
// hold a secret.
func quote(s string) string {
	if secret(s) {
		return "this"
	}
	return fmt.Sprintf("%q", tracer.CleanText(s, 40))
}

// secret reports whether a text could hold a private key: 60 hex digits in a row.
func secret(s string) bool {
	run := 0
	for i := range len(s) {
		if c := s[i] | 0x20; '0' <= s[i] && s[i] <= '9' || 'a' <= c && c <= 'f' {
			if run++; run >= 60 {
				return true
			}
		} else {
			run = 0
		}
	}
	return false
}
