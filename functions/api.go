package functions

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/ledger"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// page is the page at /.
//
//go:embed web
var page embed.FS

const (
	maxBody    = 256 << 10 // bytes of a request
	maxText    = 1 << 20   // bytes of a request that is a text to be looked through
	maxSeeds   = 200       // different ones, of a case
	maxTime    = 25 * time.Second
	linkLife   = 15 * time.Minute
	pageOfList = 20
)

// Handler is the whole API and the page. It answers the same whether it runs
// in a function or in a server.
func (a *App) Handler() http.Handler {
	mux, _ := a.routes()
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusForbidden, "This request comes from a page of another site.")
	}))
	return a.observe(cross.Handler(a.authenticate(mux)))
}

// routes are all that Handler serves, and its description.
func (a *App) routes() (*http.ServeMux, huma.API) {
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig("scamtrace", "1")
	cfg.Info.Description = "Follow the money that a victim of a scam paid. Errors are problem details (RFC 9457) whose detail is a sentence for people."
	cfg.Formats = map[string]huma.Format{"application/json": format, "json": format}
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "/v1/openapi", "", "", nil
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", BearerFormat: "JWT"}}
	cfg.Transformers = append(cfg.Transformers, withoutValues)
	api := humago.New(mux, cfg)
	api.UseMiddleware(a.permit(api))

	add(api, op("submit-case", http.MethodPost, "/v1/cases", "Submit a case", http.StatusAccepted, maxBody, Advocate), a.submit)
	add(api, op("list-cases", http.MethodGet, "/v1/cases", "List cases, newest first", http.StatusOK, 0, Advocate, Investigator), a.list)
	add(api, op("read-case", http.MethodGet, "/v1/cases/{id}", "Read a case", http.StatusOK, 0, Advocate, Investigator), a.read)
	add(api, op("download-file", http.MethodGet, "/v1/cases/{id}/reports/{block}/{file}", "Get a link to a file of a report", http.StatusFound, 0, Advocate, Investigator), a.download)
	add(api, op("retrace-case", http.MethodPost, "/v1/cases/{id}/retrace", "Trace again what is new, or resume", http.StatusAccepted, maxBody, Advocate, Investigator), a.retrace)
	add(api, op("erase-case", http.MethodDelete, "/v1/cases/{id}", "Erase what a person gave with a case", http.StatusNoContent, 0, Advocate, Admin), a.remove)
	add(api, op("parse-text", http.MethodPost, "/v1/parse", "Find addresses and hashes in a text", http.StatusOK, maxText, Advocate, Investigator, Admin), a.parse)
	add(api, op("read-workspace", http.MethodGet, "/v1/workspace", "Read the settings of the workspace", http.StatusOK, 0, Admin), a.readWorkspace)
	add(api, op("change-workspace", http.MethodPut, "/v1/workspace", "Change the settings of the workspace", http.StatusOK, maxBody, Admin), a.changeWorkspace)
	add(api, op("read-audit", http.MethodGet, "/v1/audit", "Read the audit log, oldest first", http.StatusOK, 0, Admin), a.readAudit)

	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "ok", "version": a.Version})
	})
	web, err := fs.Sub(page, "web")
	if err != nil {
		panic("functions: " + err.Error()) // embedded
	}
	files := http.FileServerFS(web)
	mux.HandleFunc("GET /config.json", a.config)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy+a.connect(r))
		h.Set("Cache-Control", "no-cache")
		if _, err := fs.Stat(web, strings.Trim(r.URL.Path, "/")); err != nil && r.URL.Path != "/" {
			problem(w, http.StatusNotFound, "There is nothing here.")
			return
		}
		files.ServeHTTP(w, r)
	})
	return mux, api
}

// format is JSON with < and > escaped, in case somebody shows it as a page.
var format = huma.Format{
	Marshal:   func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
	Unmarshal: json.Unmarshal,
}

// A Submission is a new case.
type Submission struct {
	Reference string    `json:"reference,omitempty" maxLength:"80" doc:"A reference of your own. It is kept apart, erased with the case, and in no report."`
	Chain     string    `json:"chain,omitempty" maxLength:"40" default:"ethereum" doc:"The chain's name"`
	Seeds     []string  `json:"seeds" minItems:"1" maxItems:"5000" doc:"The wallets that were paid (0x and 40 digits; on Tron, T and 33 letters and digits), or better the hashes of the payments (64 digits, with 0x but on Tron)"`
	Policy    string    `json:"policy,omitempty" enum:"pifo,lifo,fifo,libr,haircut,poison" doc:"The accounting rule; pifo unless given"`
	Since     time.Time `json:"since,omitzero" doc:"What a reported wallet received counts from this time on"`
	Until     time.Time `json:"until,omitzero" doc:"and up to this time"`
	Requests  int       `json:"maxRequests,omitempty" minimum:"0" doc:"Stop after this many requests to the chain"`
	Wallets   int       `json:"maxWallets,omitempty" minimum:"0" doc:"Stop after looking at this many wallets"`
	Hub       int       `json:"hub,omitempty" minimum:"0" doc:"A wallet with more transfers is a hub"`
	MinUSD    string    `json:"minUsd,omitempty" maxLength:"20" doc:"Do not follow less than this many dollars"`
	Once      bool      `json:"once,omitempty" doc:"Do not look again later"`
}

// A CaseView is a case as the API shows it.
type CaseView struct {
	ID        string      `json:"id"`
	Reference string      `json:"reference,omitempty"`
	Chain     string      `json:"chain"`
	Seeds     []string    `json:"seeds"`
	Status    Status      `json:"status" enum:"queued,tracing,done,partial,failed"`
	Reason    string      `json:"reason,omitempty" doc:"Why it waits, failed or is partial, or that nothing moved since the last report, in a sentence"`
	Pinned    *Block      `json:"pinned,omitempty" doc:"The block up to which it is being read"`
	Progress  ViewOfWalk  `json:"progress"`
	Reports   []ReportRow `json:"reports" doc:"Oldest first"`
	Next      time.Time   `json:"next,omitzero" doc:"When it is looked at again"`
	Created   time.Time   `json:"created"`
	Updated   time.Time   `json:"updated"`
	Erased    time.Time   `json:"erased,omitzero"`
}

// A ReportRow is a report of a case and the names of its files.
type ReportRow Row

// ViewOfWalk is the progress of a trace.
type ViewOfWalk struct {
	Wallets   int    `json:"wallets"`
	Transfers int    `json:"transfers"`
	Requests  int    `json:"requests"`
	Waiting   int    `json:"waiting" doc:"Wallets to look at"`
	Followed  string `json:"followedUsd" doc:"Dollars that reached services so far"`
}

func (a *App) view(ctx context.Context, c *Case) (CaseView, error) {
	ref, err := a.reference(ctx, c)
	v := CaseView{
		ID: c.ID, Reference: ref, Chain: c.Chain, Seeds: c.Seeds, Status: c.Status, Reason: c.Reason, Reports: []ReportRow{},
		Progress: ViewOfWalk{c.Progress.Wallets, c.Progress.Transfers, c.Progress.Requests, c.Progress.Waiting, c.Progress.Followed.Decimal()},
		Created:  c.Created, Updated: c.Updated, Erased: c.Erased,
	}
	if c.Pinned != nil {
		v.Pinned = &c.Pinned.Block
	}
	if !c.working() && c.Status != StatusFailed {
		v.Next = c.Due
	}
	for _, r := range c.Reports {
		v.Reports = append(v.Reports, ReportRow(r))
	}
	return v, err
}

type caseOutput struct {
	Location string `header:"Location"`
	Body     CaseView
}

func (a *App) output(ctx context.Context, c *Case) (*caseOutput, error) {
	request(ctx).caseID = c.ID
	v, err := a.view(ctx, c)
	return &caseOutput{"/v1/cases/" + c.ID, v}, err
}

// A once is the case that an idempotency key made.
type once struct {
	Case string    `json:"case"`
	Body string    `json:"body"` // SHA-256
	At   time.Time `json:"at"`
}

func onceKey(ws, key string) string { return "workspaces/" + ws + "/once/" + key + ".json" }

func (a *App) submit(ctx context.Context, in *struct {
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"The same key makes the same case, however often it is sent"`
	Body Submission
}) (*caseOutput, error) {
	id := identity(ctx)
	c, err := a.newCase(ctx, &in.Body)
	if err != nil {
		return nil, err
	}
	o := once{Case: c.ID, Body: hashBytes(encode(in.Body)), At: c.Created}
	if in.Key != "" {
		c.Once = hash(id.Subject + "\x00" + in.Key)
		if o, err = a.onlyOnce(ctx, c, o); err != nil {
			return nil, err
		}
		c.ID, c.Created, c.Due = o.Case, o.At, o.At.Add(lost)
		have, err := a.find(ctx, c.ID)
		if err == nil {
			return a.output(ctx, have)
		}
		if !errors.Is(err, errNotHere) {
			return nil, err
		}
		// It is new, or whoever came first did not finish; then what follows is
		// done for the second time.
	}
	if err := a.take(ctx, id.Workspace); err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c.Workspace, Entry{Action: "submit", Case: c.ID}); err != nil {
		return nil, err
	}
	if ref := tracer.CleanText(in.Body.Reference, 80); ref != "" {
		if err := a.put(ctx, personalKey(c.Workspace, c.ID), encode(personal{ref})); err != nil {
			return nil, err
		}
	}
	if err := a.create(ctx, c); errors.Is(err, graphstore.ErrExists) {
		if c, _, err = a.load(ctx, c.Workspace, c.ID); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if err := a.send(ctx, c); err != nil {
		// The schedule will find the case; nobody is helped by an error now.
		a.log().WarnContext(ctx, "a new case waits for the schedule", "case", c.ID, "err", err)
	}
	return a.output(ctx, c)
}

// onlyOnce finds out which case a key stands for.
func (a *App) onlyOnce(ctx context.Context, c *Case, o once) (once, error) {
	_, err := a.Bucket.Create(ctx, onceKey(c.Workspace, c.Once), encode(o))
	if !errors.Is(err, graphstore.ErrExists) {
		return o, err
	}
	data, _, err := a.Bucket.Get(ctx, onceKey(c.Workspace, c.Once))
	if err != nil {
		return o, err
	}
	var have once
	if json.Unmarshal(data, &have) != nil || !isCaseID.MatchString(have.Case) {
		return o, fmt.Errorf("read an idempotency key: %w", errDamaged)
	}
	if have.Body != o.Body {
		return o, huma.Error422UnprocessableEntity("This idempotency key was used for another case. Use a new key for a new case.")
	}
	return have, nil
}

// newCase checks a submission. All mistakes in it are told at once, and none of
// them repeats what may be a secret.
func (a *App) newCase(ctx context.Context, s *Submission) (*Case, error) {
	k, err := a.knowledge(ctx, "")
	if err != nil {
		return nil, err
	}
	var wrong []error
	bad := func(where, why string) {
		wrong = append(wrong, &huma.ErrorDetail{Location: where, Message: sentence(why)})
	}
	c := &Case{
		Workspace: identity(ctx).Workspace, Owner: identity(ctx).Subject, Chain: s.Chain, Status: StatusQueued, Epoch: 1,
		Created: a.now(), Due: a.now().Add(lost),
		Options: Options{Policy: s.Policy, MaxRequests: s.Requests, MaxWallets: s.Wallets, Hub: s.Hub, MinUSD: s.MinUSD, Once: s.Once},
	}
	if c.ID, err = a.newID(); err != nil {
		return nil, err
	}
	chain, err := k.chain(s.Chain)
	if err != nil {
		bad("body.chain", words(err))
	}
	for i, text := range s.Seeds {
		seed, err := chain.ParseSeed(strings.TrimSpace(text))
		if err != nil {
			bad(fmt.Sprintf("body.seeds[%d]", i), words(err))
			continue
		}
		if why := k.declines(chain, seed); why != "" {
			bad(fmt.Sprintf("body.seeds[%d]", i), why)
			continue
		}
		c.Seeds = append(c.Seeds, seed.Show(chain.ID))
	}
	slices.Sort(c.Seeds)
	if c.Seeds = slices.Compact(c.Seeds); len(c.Seeds) > maxSeeds {
		bad("body.seeds", fmt.Sprintf("%d wallets and payments are too many for one case; give at most %d", len(c.Seeds), maxSeeds))
	}
	for _, t := range []struct {
		name string
		at   time.Time
		to   *uint64
	}{{"since", s.Since, &c.Options.Since}, {"until", s.Until, &c.Options.Until}} {
		if t.at.IsZero() {
			continue
		}
		if t.at.Unix() <= 0 {
			bad("body."+t.name, "this time is before there were chains")
			continue
		}
		*t.to = uint64(t.at.Unix())
	}
	if c.Options.Until > 0 && c.Options.Since > c.Options.Until {
		bad("body.until", "the end of the time span is before its beginning")
	}
	if s.MinUSD != "" {
		if m, err := tracer.ParseDollars(s.MinUSD); err != nil || m == 0 {
			bad("body.minUsd", "this is not a number of dollars above zero; write 25 or 25.50")
		}
	}
	if s.Policy != "" {
		if _, err := ledger.ParsePolicy(s.Policy); err != nil {
			bad("body.policy", words(err))
		}
	}
	q := a.Quota.withDefaults()
	if s.Requests > q.MaxRequests || s.Wallets > q.MaxWallets {
		bad("body", fmt.Sprintf("at most %d requests and %d wallets may be asked for here", q.MaxRequests, q.MaxWallets))
	}
	if len(wrong) > 0 {
		return nil, huma.Error422UnprocessableEntity("Some of what you sent cannot be used; nothing of it was stored.", wrong[:min(len(wrong), 100)]...)
	}
	return c, nil
}

// words is an error for people.
func words(err error) string {
	return strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": ")
}

var errNotHere = huma.Error404NotFound("There is no such case, or it is not yours.")

// find returns a case that the asker may see. Whatever the reason it may not,
// the answer is the same.
func (a *App) find(ctx context.Context, id string) (*Case, error) {
	who := identity(ctx)
	c, _, err := a.load(ctx, who.Workspace, id)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !who.sees(c) {
		return nil, errNotHere
	}
	return c, err
}

type caseInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *App) read(ctx context.Context, in *caseInput) (*caseOutput, error) {
	c, err := a.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.output(ctx, c)
}

type listOutput struct {
	Body struct {
		Cases []CaseView `json:"cases"`
		After string     `json:"after,omitempty" doc:"Give this for the next page"`
	}
}

func (a *App) list(ctx context.Context, in *struct {
	After string `query:"after" pattern:"^[0-9a-f]{12}\\.[0-9a-v]{36}$" doc:"Where the page before ended"`
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
}) (*listOutput, error) {
	who := identity(ctx)
	prefix := listPrefix(who.Workspace)
	if !who.is(Investigator) {
		prefix = ownPrefix(who.Workspace, who.Subject)
	}
	after := ""
	if in.After != "" {
		after = prefix + in.After
	}
	out := new(listOutput)
	out.Body.Cases = []CaseView{}
	for key, err := range a.Bucket.List(ctx, prefix, after) {
		if err != nil {
			return nil, err
		}
		if len(out.Body.Cases) >= in.Limit {
			last := out.Body.Cases[in.Limit-1]
			out.Body.After = (&Case{ID: last.ID, Created: last.Created}).rank()
			break
		}
		_, id, _ := strings.Cut(key[len(prefix):], ".")
		c, _, err := a.load(ctx, who.Workspace, id)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !who.sees(c) {
			continue
		}
		if err != nil {
			a.log().ErrorContext(ctx, "a case is left out of a list", "case", id, "err", err)
			continue
		}
		v, err := a.view(ctx, c)
		if err != nil {
			return nil, err
		}
		out.Body.Cases = append(out.Body.Cases, v)
	}
	return out, nil
}

type linkOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     struct {
		Link string `json:"link" doc:"Good for 15 minutes"`
	}
}

func (a *App) download(ctx context.Context, in *struct {
	ID    string `path:"id" maxLength:"64"` // huma looks into no embedded struct that is not exported
	Block uint64 `path:"block"`
	File  string `path:"file" maxLength:"120"`
	Tell  bool   `query:"tell" doc:"Answer 200 with the link instead of leading there: for scripts, which cannot read where a redirect leads"`
}) (*linkOutput, error) {
	c, err := a.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	row, ok := c.row(in.Block)
	key := ""
	switch {
	case ok && slices.Contains(row.Files, in.File):
		key = c.key("reports/%d/%s", row.Block, in.File)
	case ok && in.File == diffName && row.Changes != "":
		key = c.key("diffs/%d.json", row.Block)
	default:
		return nil, huma.Error404NotFound("This case has no such file.")
	}
	if err := a.audit(ctx, c.Workspace, Entry{Action: "download", Case: c.ID, Detail: fmt.Sprintf("%d/%s", row.Block, in.File)}); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%d-%s", row.Block, strings.ReplaceAll(in.File, "/", "-"))
	out := &linkOutput{Status: http.StatusFound}
	if in.Tell {
		out.Status = http.StatusOK
	}
	out.Location, err = a.Bucket.Link(ctx, key, name, linkLife)
	out.Body.Link = out.Location
	return out, err
}

// diffName is the name under which the changes of a report are downloaded.
const diffName = "diff.json"

func (a *App) retrace(ctx context.Context, in *caseInput) (*caseOutput, error) {
	c, err := a.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !c.Erased.IsZero() {
		return nil, huma.Error409Conflict("This case was erased; it cannot be traced again.")
	}
	if err := a.take(ctx, c.Workspace); err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c.Workspace, Entry{Action: "retrace", Case: c.ID}); err != nil {
		return nil, err
	}
	c, err = a.change(ctx, c.Workspace, c.ID, func(c *Case) error {
		switch {
		case !c.Erased.IsZero():
			return errNotHere
		case c.working(): // whatever it waits for, it need not
			c.Tries, c.Reason, c.Due = 0, "", a.now().Add(lost)
		default:
			c.begin(a.now())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := a.send(ctx, c); err != nil {
		a.log().WarnContext(ctx, "a case waits for the schedule", "case", c.ID, "err", err)
	}
	return a.output(ctx, c)
}

func (a *App) remove(ctx context.Context, in *caseInput) (*struct{}, error) {
	who := identity(ctx)
	c, _, err := a.load(ctx, who.Workspace, in.ID)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !who.is(Admin) && c.Owner != who.Subject {
		return nil, errNotHere
	}
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c.Workspace, Entry{Action: "erase", Case: c.ID}); err != nil {
		return nil, err
	}
	return nil, a.erase(ctx, c.Workspace, c.ID)
}

// A Found is something in a text that is, or should be, a seed.
type Found struct {
	Text    string `json:"text,omitempty" doc:"What was found; empty if it may be a secret"`
	Kind    string `json:"kind" enum:"address,transaction,problem"`
	Seed    string `json:"seed,omitempty" doc:"What to submit"`
	Problem string `json:"problem,omitempty" doc:"What is wrong with it, in a sentence"`
}

type parseOutput struct {
	Body struct {
		Items []Found `json:"items" doc:"In the order of the text, each once"`
		More  bool    `json:"more" doc:"There is more than is shown"`
	}
}

// maxFound is how many things of a text are told.
const maxFound = 1000

func (a *App) parse(ctx context.Context, in *struct {
	Body struct {
		Text  string `json:"text"`
		Chain string `json:"chain,omitempty" maxLength:"40" default:"ethereum"`
	}
}) (*parseOutput, error) {
	k, err := a.knowledge(ctx, "")
	if err != nil {
		return nil, err
	}
	chain, err := k.chain(in.Body.Chain)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(sentence(words(err)))
	}
	out := new(parseOutput)
	out.Body.Items = []Found{}
	for f := range chain.FindSeeds(in.Body.Text) {
		if len(out.Body.Items) == maxFound {
			out.Body.More = true
			break
		}
		item := Found{Kind: "address", Seed: f.Seed.Show(chain.ID), Text: f.Text}
		if f.Seed.IsTx() {
			item.Kind = "transaction"
		}
		if f.Err != nil {
			item = Found{Kind: "problem", Text: f.Text, Problem: sentence(f.Err.Reason)}
		} else if why := k.declines(chain, f.Seed); why != "" {
			item = Found{Kind: "problem", Text: f.Text, Problem: sentence(why)}
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	return out, nil
}
