package functions

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// A Status says where a case is.
type Status string

// The statuses. A case is at work while it is queued or being traced.
const (
	StatusQueued  Status = "queued"
	StatusTracing Status = "tracing"
	StatusDone    Status = "done"    // the last report is the whole story
	StatusPartial Status = "partial" // it is not, and says why
	StatusFailed  Status = "failed"
)

// caseSchema is the version of case.json. A later one is refused, so that an old
// program leaves a case that a new one has taken over alone.
const caseSchema = 1

// A Case is what is known of one victim's report: case.json. No person can be
// told from it but by [Case.Owner], the subject of the token that made it.
type Case struct {
	Schema    int      `json:"schema"`
	ID        string   `json:"id"`
	Workspace string   `json:"workspace"`
	Owner     string   `json:"owner,omitempty"` // empty after erasure
	Chain     string   `json:"chain"`
	Seeds     []string `json:"seeds"` // canonical, sorted
	Options   Options  `json:"options"`
	Status    Status   `json:"status"`
	Reason    string   `json:"reason,omitempty"` // a sentence, for waiting, partial and failed
	Notes     []string `json:"notes,omitempty"`  // on this run, for its report

	// Epoch grows whenever the case changes hands; a Job of another epoch is
	// void. State is the epoch whose snapshot the next turn goes on from, 0 for
	// none. Base is the block that snapshot was read up to when it is that of an
	// earlier run, which this run extends.
	Epoch int    `json:"epoch"`
	State int    `json:"state,omitempty"`
	Base  *Block `json:"base,omitempty"`
	Tries int    `json:"tries,omitempty"` // turns in a row that got no further
	Moved bool   `json:"moved,omitempty"` // the block was chosen anew once in this run
	Alone bool   `json:"alone,omitempty"` // in this run the node denied what an indexer showed, so it is read alone
	Spent int    `json:"spent,omitempty"` // requests of this run before that

	Pinned   *Pin     `json:"pinned,omitempty"`
	Progress Progress `json:"progress"`
	Reports  []Row    `json:"reports,omitempty"` // oldest first
	Alerts   []Parcel `json:"alerts,omitempty"`  // not delivered yet

	Due     time.Time `json:"due,omitzero"` // when the schedule must look at it
	Once    string    `json:"once,omitempty"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Erased  time.Time `json:"erased,omitzero"`
}

// Options are what a case may ask for. Zero values are the defaults of the
// walk.
type Options struct {
	Policy      string `json:"policy,omitempty"`
	Since       uint64 `json:"since,omitempty"` // Unix seconds
	Until       uint64 `json:"until,omitempty"`
	MaxRequests int    `json:"maxRequests,omitempty"`
	MaxWallets  int    `json:"maxWallets,omitempty"`
	Hub         int    `json:"hub,omitempty"`
	MinUSD      string `json:"minUsd,omitempty"`
	Once        bool   `json:"once,omitempty"` // no re-traces
}

// A Block is a [tracer.Block] as case.json has it.
type Block struct {
	Number uint64      `json:"number"`
	Hash   common.Hash `json:"hash"`
	Time   uint64      `json:"time"`
}

func (b *Block) tracer() *tracer.Block { return (*tracer.Block)(b) }

// A Pin is the block a run reads up to, and what else its result depends on.
type Pin struct {
	Block
	Known string   `json:"known"`           // the public data: labels, prices, chains
	Notes []string `json:"notes,omitempty"` // what the source said when it chose the block
}

// Progress is how far the walk of this run has come.
type Progress struct {
	Wallets   int           `json:"wallets"`
	Transfers int           `json:"transfers"`
	Requests  int           `json:"requests"`
	Waiting   int           `json:"waiting"`  // wallets to look at
	Followed  tracer.Micros `json:"followed"` // millionths of a dollar that reached services
}

// A Row is one finished report.
type Row struct {
	Block    uint64    `json:"block"`
	Hash     string    `json:"hash"`
	Time     time.Time `json:"time"` // of the block
	Status   Status    `json:"status"`
	Sentence string    `json:"sentence"`
	Changes  string    `json:"changes,omitempty"` // since the report before, in a sentence
	Files    []string  `json:"files"`
	At       time.Time `json:"at"`
	Known    string    `json:"known,omitempty"` // as of [Pin]
}

// working reports whether the case is queued or being traced.
func (c *Case) working() bool { return c.Status == StatusQueued || c.Status == StatusTracing }

var (
	isWorkspace = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	isCaseID    = regexp.MustCompile(`^[0-9a-v]{36}$`)
	idEncoding  = base32.HexEncoding.WithPadding(base32.NoPadding)
)

// newID returns the time in milliseconds and 128 random bits: ids sort by time
// and cannot be guessed.
func (a *App) newID() (string, error) {
	var b [22]byte
	binary.BigEndian.PutUint64(b[:8], uint64(a.now().UnixMilli())<<16)
	if _, err := io.ReadFull(a.random(), b[6:]); err != nil {
		return "", fmt.Errorf("make a case id: %w", err)
	}
	return strings.ToLower(idEncoding.EncodeToString(b[:])), nil
}

func caseFolder(ws, id string) string { return "workspaces/" + ws + "/cases/" + id + "/" }
func caseKey(ws, id string) string    { return caseFolder(ws, id) + "case.json" }
func personalKey(ws, id string) string {
	return "personal/" + ws + "/" + id + ".json"
}

// key is the key of a file of the case.
func (c *Case) key(format string, args ...any) string {
	return caseFolder(c.Workspace, c.ID) + fmt.Sprintf(format, args...)
}

// tableKey is where the transfers of a report lie once more, in a folder with
// those of all other reports of the workspace and nothing else.
func (c *Case) tableKey(block uint64) string {
	return fmt.Sprintf("workspaces/%s/tables/transfers/%s/%d.parquet", c.Workspace, c.ID, block)
}

// listKeys are the markers by which the case is found in lists, newest first.
func (c *Case) listKeys() []string {
	return []string{listPrefix(c.Workspace) + c.rank(), ownPrefix(c.Workspace, c.Owner) + c.rank()}
}

func listPrefix(ws string) string { return "workspaces/" + ws + "/list/" }
func ownPrefix(ws, subject string) string {
	return "workspaces/" + ws + "/own/" + hash(subject)[:32] + "/"
}

// rank is a name that sorts before those of older cases and ends with the id.
func (c *Case) rank() string {
	return fmt.Sprintf("%012x.%s", 1<<48-1-c.Created.UnixMilli(), c.ID)
}

func (c *Case) dueKey(at time.Time) string {
	return "due/" + at.UTC().Format(dueFormat) + "/" + c.Workspace + "/" + c.ID
}

const dueFormat = "20060102T1504Z"

// minute rounds up, so that a marker is never found before its time.
func minute(t time.Time) time.Time { return t.Add(time.Minute - 1).Truncate(time.Minute) }

var (
	// ErrNewer reports an object that a later version of the program wrote.
	ErrNewer = errors.New("it was written by a later version of scamtrace")

	errDamaged = errors.New("it is damaged")
	// errStale ends a change that came too late; nothing was changed.
	errStale = errors.New("somebody else went on with the case")
)

// load reads a case. One that is not there is an error that wraps
// fs.ErrNotExist.
func (a *App) load(ctx context.Context, ws, id string) (*Case, string, error) {
	if !isWorkspace.MatchString(ws) || !isCaseID.MatchString(id) {
		return nil, "", fmt.Errorf("read a case: %w", fs.ErrNotExist)
	}
	data, tag, err := a.Bucket.Get(ctx, caseKey(ws, id))
	if err != nil {
		return nil, "", fmt.Errorf("read case %s: %w", id, err)
	}
	c, err := decodeCase(data)
	if err == nil && (c.Workspace != ws || c.ID != id) {
		err = errDamaged
	}
	if err != nil {
		return nil, "", fmt.Errorf("read case %s: %w", id, err)
	}
	return c, tag, nil
}

// decodeCase reads case.json. What it accepts it would write again byte for
// byte, so nothing can hide in it: no unknown or repeated keys.
func decodeCase(data []byte) (*Case, error) {
	var v struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &v); err != nil || v.Schema < 1 {
		return nil, errDamaged
	}
	if v.Schema > caseSchema {
		return nil, fmt.Errorf("%w (schema %d, and this one knows %d)", ErrNewer, v.Schema, caseSchema)
	}
	c := new(Case)
	if err := json.Unmarshal(data, c); err != nil || !bytes.Equal(encode(c), data) {
		return nil, errDamaged
	}
	return c, nil
}

// encode writes v as JSON for the bucket.
func encode(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("functions: %T: %v", v, err)) // our own types, which have no cycles, channels or functions
	}
	return append(b, '\n')
}

// create writes a new case and the marker by which the schedule finds it.
func (a *App) create(ctx context.Context, c *Case) error {
	c.Schema, c.Updated = caseSchema, a.now()
	c.Due = minute(c.Due)
	for _, key := range append(c.listKeys(), c.dueKey(c.Due)) {
		if err := a.mark(ctx, key); err != nil {
			return err
		}
	}
	if _, err := a.Bucket.Create(ctx, caseKey(c.Workspace, c.ID), encode(c)); err != nil {
		return fmt.Errorf("create case %s: %w", c.ID, err)
	}
	return nil
}

// mark creates an empty object, or finds it there.
func (a *App) mark(ctx context.Context, key string) error {
	if _, err := a.Bucket.Create(ctx, key, nil); err != nil && !errors.Is(err, graphstore.ErrExists) {
		return fmt.Errorf("mark: %w", err)
	}
	return nil
}

// change replaces case.json by what f makes of it, if nobody else changed it
// meanwhile; then f is asked again about the new one. An error of f ends it. A
// marker stands under due/ for every Due that a reader of case.json can see:
// the new one is made first, and the old one removed last.
func (a *App) change(ctx context.Context, ws, id string, f func(*Case) error) (*Case, error) {
	for range 20 {
		c, tag, err := a.load(ctx, ws, id)
		if err != nil {
			return nil, err
		}
		old := c.Due
		if err := f(c); err != nil {
			return nil, err
		}
		if !c.Due.IsZero() {
			c.Due = minute(c.Due)
		}
		c.Updated = a.now()
		if !c.Due.Equal(old) && !c.Due.IsZero() {
			if err := a.mark(ctx, c.dueKey(c.Due)); err != nil {
				return nil, err
			}
		}
		_, err = a.Bucket.Replace(ctx, caseKey(ws, id), encode(c), tag)
		if errors.Is(err, graphstore.ErrChanged) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("change case %s: %w", id, err)
		}
		if !c.Due.Equal(old) && !old.IsZero() {
			if err := a.Bucket.Delete(ctx, c.dueKey(old)); err != nil {
				a.log().WarnContext(ctx, "an old marker stays until the schedule finds it", "case", id, "err", err)
			}
		}
		return c, nil
	}
	return nil, fmt.Errorf("change case %s: too many writers", id)
}

// step is change for a worker that holds an epoch: it is stale when the case
// has moved on.
func (a *App) step(ctx context.Context, c *Case, f func(*Case)) (*Case, error) {
	return a.change(ctx, c.Workspace, c.ID, func(now *Case) error {
		if now.Epoch != c.Epoch || !now.working() {
			return errStale
		}
		f(now)
		return nil
	})
}

// begin puts a case at rest back to work: it goes on where it stopped or, when
// it has a report, from there up to a new block.
func (c *Case) begin(now time.Time) {
	if len(c.Reports) > 0 && c.Status != StatusFailed || c.State == 0 {
		if c.State > 0 && c.Pinned != nil {
			c.Base = &c.Pinned.Block
		}
		c.Pinned, c.Moved, c.Alone, c.Spent, c.Notes = nil, false, false, 0, nil
		c.Progress = Progress{}
	}
	c.Status, c.Reason, c.Tries = StatusQueued, "", 0
	c.Epoch++
	c.Due = now.Add(lost)
}

// lost is how long after the last sign of life a case is taken for lost.
const lost = 15 * time.Minute

// personal is what a person gave with a case, which erasure removes.
type personal struct {
	Reference string `json:"reference,omitempty"`
}

func (a *App) reference(ctx context.Context, c *Case) (string, error) {
	if !c.Erased.IsZero() {
		return "", nil
	}
	data, _, err := a.Bucket.Get(ctx, personalKey(c.Workspace, c.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the reference of case %s: %w", c.ID, err)
	}
	var p personal
	if err := json.Unmarshal(data, &p); err != nil {
		return "", fmt.Errorf("read the reference of case %s: %w", c.ID, errDamaged)
	}
	return p.Reference, nil
}

// erase removes what a person gave with a case, and the working state. Reports
// and evidence stay. Killed halfway, it is done again by the schedule.
func (a *App) erase(ctx context.Context, ws, id string) error {
	c, err := a.change(ctx, ws, id, func(c *Case) error {
		if c.Erased.IsZero() {
			c.Erased = a.now()
		}
		if c.working() {
			c.Status, c.Reason = StatusFailed, "It was erased before it was finished."
		}
		c.Epoch++
		c.Pinned, c.Base, c.State, c.Alerts = nil, nil, 0, nil
		c.Due = a.now().Add(lost)
		return nil
	})
	if err != nil {
		return err
	}
	gone := append(c.listKeys()[1:], personalKey(ws, id))
	if c.Once != "" {
		gone = append(gone, onceKey(ws, c.Once))
	}
	for key, err := range a.Bucket.List(ctx, c.key("state/"), "") {
		if err != nil {
			return fmt.Errorf("erase case %s: %w", id, err)
		}
		gone = append(gone, key)
	}
	for _, key := range gone {
		if err := a.Bucket.Delete(ctx, key); err != nil {
			return fmt.Errorf("erase case %s: %w", id, err)
		}
	}
	_, err = a.change(ctx, ws, id, func(c *Case) error {
		c.Owner, c.Once, c.Due = "", "", time.Time{}
		return nil
	})
	return err
}

// row returns the report of a block.
func (c *Case) row(block uint64) (Row, bool) {
	i := slices.IndexFunc(c.Reports, func(r Row) bool { return r.Block == block })
	if i < 0 {
		return Row{}, false
	}
	return c.Reports[i], true
}
