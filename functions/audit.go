package functions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"scamtrace/graphstore"
)

// An Entry of the audit log says who did what to which case, and when. It is
// written before the thing is done.
type Entry struct {
	N       int       `json:"n"` // from 1, without holes
	At      time.Time `json:"at"`
	Subject string    `json:"subject,omitempty"` // empty: the pipeline itself
	Roles   []Role    `json:"roles,omitempty"`
	Action  string    `json:"action"`
	Case    string    `json:"case,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Before  string    `json:"before"` // SHA-256 of the entry before, in hex; empty for the first
}

func auditKey(ws string, n int) string { return fmt.Sprintf("workspaces/%s/audit/%010d.json", ws, n) }

// head is a hint to where the audit log ends: its last entry, or one before.
type head struct {
	N    int    `json:"n"`
	Hash string `json:"hash"`
}

func headKey(ws string) string { return "workspaces/" + ws + "/audit-head.json" }

// audit appends an entry to the log of a workspace. Entries are created and
// never replaced, so of two that are written at once one comes first.
func (a *App) audit(ctx context.Context, ws string, e Entry) error {
	id := identity(ctx)
	e.At, e.Subject, e.Roles = a.now(), id.Subject, id.Roles
	var h head
	data, tag, err := a.Bucket.Get(ctx, headKey(ws))
	if err == nil {
		err = json.Unmarshal(data, &h)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the end of the audit log: %w", err)
	}
	for {
		e.N, e.Before = h.N+1, h.Hash
		data := encode(e)
		_, err := a.Bucket.Create(ctx, auditKey(ws, e.N), data)
		if err == nil {
			h = head{e.N, hashBytes(data)}
			break
		}
		if !errors.Is(err, graphstore.ErrExists) {
			return fmt.Errorf("write the audit log: %w", err)
		}
		if data, _, err = a.Bucket.Get(ctx, auditKey(ws, e.N)); err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		h = head{e.N, hashBytes(data)}
	}
	// Whoever loses here leaves the hint to one who wrote a later entry, or one
	// entry behind.
	if tag == "" {
		_, err = a.Bucket.Create(ctx, headKey(ws), encode(h))
	} else {
		_, err = a.Bucket.Replace(ctx, headKey(ws), encode(h), tag)
	}
	if err != nil && !errors.Is(err, graphstore.ErrExists) && !errors.Is(err, graphstore.ErrChanged) {
		return fmt.Errorf("write the end of the audit log: %w", err)
	}
	return nil
}

// Audit returns the entries after number after, at most limit of them, and
// checks that they form a chain. An error says where it is broken.
func (a *App) Audit(ctx context.Context, ws string, after, limit int) ([]Entry, error) {
	before := ""
	if after > 0 {
		data, _, err := a.Bucket.Get(ctx, auditKey(ws, after))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		before = hashBytes(data)
	}
	var out []Entry
	for n := after + 1; n <= after+limit; n++ {
		data, _, err := a.Bucket.Get(ctx, auditKey(ws, n))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		var e Entry
		if err := json.Unmarshal(data, &e); err != nil || e.N != n || e.Before != before {
			return nil, fmt.Errorf("the audit log is broken at entry %d: %w", n, errDamaged)
		}
		before = hashBytes(data)
		out = append(out, e)
	}
	return out, nil
}

func hashBytes(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func hash(s string) string { return hashBytes([]byte(s)) }
