package functions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// next is when a case that has a report is looked at again: dense at first,
// then weekly, then monthly, until it is erased.
func (a *App) next(c *Case) time.Time {
	end := c.Created.Add(a.retention())
	if c.Options.Once {
		return end
	}
	const day = 24 * time.Hour
	now := a.now()
	wait := 30 * day
	switch age := now.Sub(c.Created); {
	case age < day:
		wait = 6 * time.Hour
	case age < 7*day:
		wait = day
	case age < 60*day:
		wait = 7 * day
	}
	if at := now.Add(wait); at.Before(end) {
		return at
	}
	return end
}

// Schedule looks at every case that is due: it sends the Job of one at work
// again, begins the re-trace of one at rest, and erases one that is too old.
// It may run at any time, twice, or not at all for a while. Trouble with one
// case is logged and keeps it from no other; the first is returned.
func (a *App) Schedule(ctx context.Context) error {
	now := a.now()
	end, reserve := a.deadline(ctx)
	var first error
	looked := 0
	for key, err := range a.Bucket.List(ctx, "due/", "") {
		if err != nil {
			return err
		}
		at, ws, id, ok := parseDue(key)
		if ok && at.After(now) {
			break
		}
		if time.Until(end) < reserve || ctx.Err() != nil {
			a.log().WarnContext(ctx, "not every case that is due was looked at")
			break
		}
		if !ok {
			a.log().ErrorContext(ctx, "a marker is damaged")
			err = a.Bucket.Delete(ctx, key)
		} else {
			err = a.look(ctx, key, at, ws, id)
		}
		looked++
		if err != nil {
			a.log().ErrorContext(ctx, "look at a case that is due", "case", id, "err", err)
			first = errors.Join(first, err)
		}
	}
	a.metric(ctx, nil, map[string]float64{"Due": float64(looked)})
	return first
}

func parseDue(key string) (at time.Time, ws, id string, ok bool) {
	p := strings.Split(key, "/")
	if len(p) != 4 || !isWorkspace.MatchString(p[2]) || !isCaseID.MatchString(p[3]) {
		return at, "", "", false
	}
	at, err := time.Parse(dueFormat, p[1])
	return at, p[2], p[3], err == nil
}

// look does what is due for one case. A marker that is not that of the case's
// own Due is left over, and goes.
func (a *App) look(ctx context.Context, marker string, at time.Time, ws, id string) error {
	c, _, err := a.load(ctx, ws, id)
	switch {
	case errors.Is(err, ErrNewer):
		a.log().WarnContext(ctx, "case left to a later version", "case", id)
		return nil
	case errors.Is(err, errDamaged):
		return errors.Join(err, a.Bucket.Delete(ctx, marker))
	case errors.Is(err, fs.ErrNotExist), err == nil && !c.Due.Equal(at):
		return a.Bucket.Delete(ctx, marker)
	case err != nil:
		return err
	}
	if !c.Erased.IsZero() || !c.working() && !a.now().Before(c.Created.Add(a.retention())) {
		return a.erase(ctx, ws, id)
	}
	failed := false
	c, err = a.change(ctx, ws, id, func(c *Case) error {
		if !c.Due.Equal(at) {
			return errStale // another run of the schedule was first
		}
		now := a.now()
		switch {
		case len(c.Alerts) > 0 && !c.working():
			c.Due = now.Add(lost)
		case !c.working():
			c.begin(now)
		case c.Reason == "" && c.Tries+1 >= maxTries: // not waiting: lost, again and again
			failed = true
			c.rest(StatusFailed, fmt.Sprintf("The trace stopped %d times without getting any further. You can have it tried again.", maxTries), c.Created.Add(a.retention()))
			c.Epoch++
		default:
			if c.Reason == "" {
				c.Tries++
			}
			c.Reason, c.Due = "", now.Add(lost)
		}
		return nil
	})
	if err != nil || failed {
		return stale(err)
	}
	return a.send(ctx, c)
}
