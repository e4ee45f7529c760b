package functions

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"scamtrace/graphstore"
	"scamtrace/tracer"

	"github.com/danielgtaylor/huma/v2"
)

// Settings are what an admin of a workspace may set.
type Settings struct {
	Webhooks    []Webhook `json:"webhooks,omitempty"`
	AlertUSD    string    `json:"alertUsd,omitempty"`    // empty: the operator's
	CasesPerDay int       `json:"casesPerDay,omitempty"` // 0, or above the operator's: the operator's
}

func settingsKey(ws string) string { return "workspaces/" + ws + "/settings.json" }

func (a *App) settings(ctx context.Context, ws string) (Settings, error) {
	var s Settings
	data, _, err := a.Bucket.Get(ctx, settingsKey(ws))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil && json.Unmarshal(data, &s) != nil {
		err = errDamaged
	}
	if err != nil {
		return s, fmt.Errorf("read the settings of the workspace: %w", err)
	}
	return s, nil
}

// A WorkspaceView is the settings of a workspace, without secrets.
type WorkspaceView struct {
	Workspace   string     `json:"workspace"`
	Webhooks    []HookView `json:"webhooks"`
	AlertUSD    string     `json:"alertUsd" doc:"Alerts are of at least this many dollars"`
	CasesPerDay int        `json:"casesPerDay"`
	Today       int        `json:"today" doc:"Cases and re-traces asked for today"`
}

// A HookView is a webhook.
type HookView struct {
	URL    string `json:"url"`
	Secret string `json:"secret,omitempty" doc:"The key of its signatures in hex; shown once, when it is new"`
}

type workspaceOutput struct{ Body WorkspaceView }

func (a *App) readWorkspace(ctx context.Context, _ *struct{}) (*workspaceOutput, error) {
	s, err := a.settings(ctx, identity(ctx).Workspace)
	if err != nil {
		return nil, err
	}
	return a.workspaceView(ctx, s, nil)
}

func (a *App) workspaceView(ctx context.Context, s Settings, fresh []string) (*workspaceOutput, error) {
	ws := identity(ctx).Workspace
	v := WorkspaceView{Workspace: ws, Webhooks: []HookView{}, AlertUSD: s.AlertUSD, CasesPerDay: a.perDay(s)}
	if v.AlertUSD == "" {
		v.AlertUSD = a.alertUSD().Decimal()
	}
	for _, h := range s.Webhooks {
		w := HookView{URL: h.URL}
		if slices.Contains(fresh, h.ID) {
			w.Secret = h.Secret
		}
		v.Webhooks = append(v.Webhooks, w)
	}
	used, _, err := a.used(ctx, ws)
	v.Today = used.N
	return &workspaceOutput{v}, err
}

func (a *App) changeWorkspace(ctx context.Context, in *struct {
	Body struct {
		Webhooks    []string `json:"webhooks" maxItems:"5" doc:"Addresses that alerts are posted to; all others are removed"`
		AlertUSD    string   `json:"alertUsd,omitempty" maxLength:"20"`
		CasesPerDay int      `json:"casesPerDay,omitempty" minimum:"0"`
	}
}) (*workspaceOutput, error) {
	ws := identity(ctx).Workspace
	if in.Body.AlertUSD != "" {
		if _, err := tracer.ParseDollars(in.Body.AlertUSD); err != nil {
			return nil, huma.Error422UnprocessableEntity("alertUsd is not a number of dollars; write 500 or 500.50.")
		}
	}
	for _, u := range in.Body.Webhooks {
		if _, err := a.Hooks.check(u); err != nil {
			return nil, huma.Error422UnprocessableEntity(sentence(err.Error()))
		}
	}
	if err := a.audit(ctx, ws, Entry{Action: "change settings"}); err != nil {
		return nil, err
	}
	var s Settings
	var fresh []string
	for range 20 {
		data, tag, err := a.Bucket.Get(ctx, settingsKey(ws))
		var old Settings
		if err == nil && json.Unmarshal(data, &old) != nil {
			err = fmt.Errorf("read the settings: %w", errDamaged)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		s, fresh = Settings{AlertUSD: in.Body.AlertUSD, CasesPerDay: in.Body.CasesPerDay}, nil
		for _, u := range in.Body.Webhooks {
			i := slices.IndexFunc(old.Webhooks, func(h Webhook) bool { return h.URL == u })
			if i >= 0 {
				s.Webhooks = append(s.Webhooks, old.Webhooks[i])
				continue
			}
			var secret [40]byte
			if _, err := a.random().Read(secret[:]); err != nil {
				return nil, err
			}
			h := Webhook{ID: hex.EncodeToString(secret[:8]), URL: u, Secret: hex.EncodeToString(secret[8:])}
			s.Webhooks, fresh = append(s.Webhooks, h), append(fresh, h.ID)
		}
		if tag == "" {
			_, err = a.Bucket.Create(ctx, settingsKey(ws), encode(s))
		} else {
			_, err = a.Bucket.Replace(ctx, settingsKey(ws), encode(s), tag)
		}
		if errors.Is(err, graphstore.ErrExists) || errors.Is(err, graphstore.ErrChanged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return a.workspaceView(ctx, s, fresh)
	}
	return nil, errors.New("change the settings: too many writers")
}

type auditOutput struct {
	Body struct {
		Entries []Entry `json:"entries"`
	}
}

func (a *App) readAudit(ctx context.Context, in *struct {
	After int `query:"after" minimum:"0" doc:"The number of the last entry that you have"`
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*auditOutput, error) {
	ws := identity(ctx).Workspace
	if err := a.audit(ctx, ws, Entry{Action: "read the audit log"}); err != nil {
		return nil, err
	}
	list, err := a.Audit(ctx, ws, in.After, in.Limit)
	out := new(auditOutput)
	out.Body.Entries = append([]Entry{}, list...)
	return out, err
}
