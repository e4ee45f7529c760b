package functions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"scamtrace/graphstore"

	"github.com/danielgtaylor/huma/v2"
)

// A Quota bounds what one workspace may ask for. Zero fields mean the defaults.
type Quota struct {
	CasesPerDay int     // cases and re-traces asked for, by day in UTC; default 200
	MaxRequests int     // to a chain, of one case; default 20,000
	MaxWallets  int     // of one case; default 20,000
	PerSecond   float64 // requests of one asker in one process; default 20
}

func (q Quota) withDefaults() Quota {
	return Quota{cmp.Or(q.CasesPerDay, 200), cmp.Or(q.MaxRequests, 20_000), cmp.Or(q.MaxWallets, 20_000), cmp.Or(q.PerSecond, 20)}
}

// perDay is the quota of a workspace: its own, at most the operator's.
func (a *App) perDay(s Settings) int {
	n := a.Quota.withDefaults().CasesPerDay
	if s.CasesPerDay > 0 {
		n = min(n, s.CasesPerDay)
	}
	return n
}

type used struct {
	N int `json:"n"`
}

func (a *App) quotaKey(ws string) string {
	return "workspaces/" + ws + "/quota/" + a.now().Format(time.DateOnly) + ".json"
}

// used is what was asked for today.
func (a *App) used(ctx context.Context, ws string) (u used, tag string, err error) {
	data, tag, err := a.Bucket.Get(ctx, a.quotaKey(ws))
	if errors.Is(err, fs.ErrNotExist) {
		return u, "", nil
	}
	if err == nil && json.Unmarshal(data, &u) != nil {
		err = errDamaged
	}
	if err != nil {
		return u, "", fmt.Errorf("read the quota: %w", err)
	}
	return u, tag, nil
}

// take counts one more, or refuses.
func (a *App) take(ctx context.Context, ws string) error {
	s, err := a.settings(ctx, ws)
	if err != nil {
		return err
	}
	for {
		u, tag, err := a.used(ctx, ws)
		if err != nil {
			return err
		}
		if n := a.perDay(s); u.N >= n {
			return huma.NewError(http.StatusTooManyRequests, fmt.Sprintf("This workspace has used up its %d cases and re-traces of today; please come back tomorrow, or ask its admin.", n))
		}
		u.N++
		if tag == "" {
			_, err = a.Bucket.Create(ctx, a.quotaKey(ws), encode(u))
		} else {
			_, err = a.Bucket.Replace(ctx, a.quotaKey(ws), encode(u), tag)
		}
		if !errors.Is(err, graphstore.ErrExists) && !errors.Is(err, graphstore.ErrChanged) {
			return err // of those who count at once, one always gets through
		}
	}
}
