package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"
)

// maxSeeds bounds what one trace may be asked to follow.
const maxSeeds = 1_000

// readSeeds reads addresses and transaction hashes from arguments; @file names
// a file with one in a line, where # begins a remark. All mistakes of the
// arguments are found before anything is read from a chain.
func readSeeds(chain *tracer.Chain, args []string) ([]tracer.Seed, error) {
	var seeds []tracer.Seed
	for _, arg := range args {
		name, isFile := strings.CutPrefix(arg, "@")
		if !isFile {
			s, err := parseSeed(chain, arg)
			if err != nil {
				return nil, err
			}
			seeds = append(seeds, s)
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, usage("the list of wallets cannot be read: %v", err)
		}
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			text, _, _ := strings.Cut(lines.Text(), "#")
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			s, err := parseSeed(chain, text)
			if err != nil {
				f.Close()
				return nil, usage("%s, line %d: %v", filepath.Base(name), n, strings.TrimPrefix(err.Error(), "usage: "))
			}
			seeds = append(seeds, s)
		}
		err = lines.Err()
		f.Close()
		if err != nil {
			return nil, usage("%s: %v", filepath.Base(name), err)
		}
	}
	if len(seeds) == 0 {
		return nil, usage("name at least one wallet or transaction that was paid")
	}
	if len(seeds) > maxSeeds {
		return nil, usage("%d wallets and transactions are too many for one case; give at most %d", len(seeds), maxSeeds)
	}
	return seeds, nil
}

// parseSeed reads an address or a hash, also from the link to it at a block
// explorer.
func parseSeed(chain *tracer.Chain, text string) (tracer.Seed, error) {
	if strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://") {
		for _, part := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("/?#&=", r) }) {
			if s, err := chain.ParseSeed(part); err == nil {
				return s, nil
			}
		}
	}
	s, err := chain.ParseSeed(text)
	if _, bad := tracer.ParseTronAddress(text); err != nil && bad == nil && !tracer.Tron(chain.ID) {
		err = usage("%s (--chain tron)", strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
	}
	return s, err
}

// parseTime reads a date or a time, in UTC unless it says otherwise. A bare
// date is the first second of the day, or with end the last.
func parseTime(flag, s string, end bool) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil && t.Unix() > 0 {
		if end {
			t = t.AddDate(0, 0, 1).Add(-time.Second)
		}
		return uint64(t.Unix()), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() <= 0 {
		return 0, usage("--%s: %q is not a time; write 2026-01-31 or 2026-01-31T15:04:05Z", flag, tracer.CleanText(s, 40))
	}
	return uint64(t.Unix()), nil
}

// clock is the time of day, or that of SOURCE_DATE_EPOCH, with which a trace that
// is run again gives the same bytes (reproducible-builds.org/specs/source-date-epoch).
func clock() func() time.Time {
	if n, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return func() time.Time { return time.Unix(n, 0) }
	}
	return time.Now
}

// parseDollars reads the dollars of a flag.
func parseDollars(flag, s string) (tracer.Micros, error) {
	m, err := tracer.ParseDollars(s)
	if err != nil {
		return 0, usage("--%s: %s", flag, strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
	}
	return m, nil
}
