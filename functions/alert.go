package functions

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"scamtrace/tracer"
)

// An Alert says that money of a case moved. It names no wallet and no person.
type Alert struct {
	ID        string  `json:"id"` // the same however often it comes
	Workspace string  `json:"workspace"`
	Case      string  `json:"case"`
	Block     uint64  `json:"block"` // of the report
	Sentence  string  `json:"sentence"`
	USD       DiffUSD `json:"usd"`
}

// A Parcel is an alert that one recipient has not got yet.
type Parcel struct {
	ID    string `json:"id"` // of the alert
	Block uint64 `json:"block"`
	To    string `json:"to"` // "topic", or the id of a webhook
	Tries int    `json:"tries,omitempty"`
}

const (
	toTopic    = "topic"
	alertTries = 6
)

// recipients are whom an alert about d goes to.
func (a *App) recipients(ctx context.Context, ws string, d *Diff) ([]string, error) {
	if d == nil {
		return nil, nil
	}
	s, err := a.settings(ctx, ws)
	if err != nil {
		return nil, err
	}
	if least := cmp.Or(dollars(s.AlertUSD), a.alertUSD()); d.largest() < least {
		return nil, nil
	}
	var to []string
	if a.Alerts != nil {
		to = append(to, toTopic)
	}
	for _, h := range s.Webhooks {
		to = append(to, h.ID)
	}
	return to, nil
}

// deliver sends what alerts a case has. It claims them first, so that of two
// workers one sends, and notes each delivery before the next. One that was made
// but not noted is made again, with the same id.
func (a *App) deliver(ctx context.Context, c *Case) error {
	if len(c.Alerts) == 0 {
		return nil
	}
	was := c.Alerts
	c, err := a.change(ctx, c.Workspace, c.ID, func(c *Case) error {
		if !slices.Equal(c.Alerts, was) {
			return errStale
		}
		for i := range c.Alerts {
			c.Alerts[i].Tries++
		}
		c.Due = a.now().Add(time.Minute << c.Alerts[0].Tries)
		return nil
	})
	if err != nil {
		return stale(err)
	}
	s, err := a.settings(ctx, c.Workspace)
	if err != nil {
		return err
	}
	for _, p := range c.Alerts {
		d, err := a.readDiff(ctx, c.key("diffs/%d.json", p.Block))
		if err != nil {
			return err
		}
		err = a.tell(ctx, s, p.To, Alert{p.ID, c.Workspace, c.ID, p.Block, d.Sentence, d.USD})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			a.log().WarnContext(ctx, "alert not delivered", "case", c.ID, "alert", p.ID, "try", p.Tries, "err", err)
			if p.Tries < alertTries {
				continue
			}
			if err := a.audit(ctx, c.Workspace, Entry{Action: "alert given up", Case: c.ID}); err != nil {
				return err
			}
		}
		if _, err := a.change(ctx, c.Workspace, c.ID, func(c *Case) error {
			c.Alerts = slices.DeleteFunc(c.Alerts, func(q Parcel) bool { return q.ID == p.ID && q.To == p.To })
			if len(c.Alerts) == 0 {
				c.Alerts = nil
				if !c.working() && c.Erased.IsZero() {
					c.Due = a.next(c)
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// tell delivers an alert to one recipient. A webhook that is gone is done.
func (a *App) tell(ctx context.Context, s Settings, to string, alert Alert) error {
	if to == toTopic {
		if a.Alerts == nil {
			return nil
		}
		return a.Alerts.Publish(ctx, alert)
	}
	i := slices.IndexFunc(s.Webhooks, func(h Webhook) bool { return h.ID == to })
	if i < 0 {
		return nil
	}
	return a.post(ctx, s.Webhooks[i], alert)
}

// A Webhook is an address that alerts are posted to.
type Webhook struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Secret string `json:"secret"` // the HMAC key, in hex
}

// HookRules say where webhooks may lead.
type HookRules struct {
	Hosts []string // exact names; no others
	// Loopback lets webhooks lead to this machine, without TLS. It is for tests
	// and for a server on one's own desk.
	Loopback bool
}

// check returns the address of a webhook, or why it is refused.
func (r HookRules) check(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("a webhook is a web address like https://host/path")
	}
	host := strings.ToLower(u.Hostname())
	ip, err := netip.ParseAddr(host)
	local := r.Loopback && (host == "localhost" || err == nil && ip.IsLoopback())
	switch {
	case u.Scheme != "https" && !(local && u.Scheme == "http"):
		return nil, errors.New("a webhook must begin with https://")
	case !local && !slices.Contains(r.Hosts, host):
		return nil, fmt.Errorf("the host %q is not among those that webhooks may lead to; ask whoever runs this service", tracer.CleanText(host, 60))
	case !local && u.Port() != "" && u.Port() != "443":
		return nil, errors.New("a webhook uses port 443")
	}
	return u, nil
}

// client posts to webhooks: it follows no redirect, uses no proxy, and looks at
// the address it is about to connect to, whatever the name resolved to.
func (r HookRules) client() *http.Client {
	dial := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return errors.New("not an address")
		}
		if ip := ap.Addr().Unmap(); !public(ip) && !(r.Loopback && ip.IsLoopback()) {
			return errors.New("the name leads to an internal address")
		}
		return nil
	}}
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: dial.DialContext, TLSHandshakeTimeout: 5 * time.Second, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10},
	}
}

// internal are networks that lead to this machine, its neighbours, or nowhere
// (RFC 6890), beside those that netip knows.
var internal = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

func public(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(internal, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// post sends an alert, signed: Scamtrace-Signature is v1= and the HMAC-SHA256
// of the timestamp, a full stop and the body.
func (a *App) post(ctx context.Context, h Webhook, alert Alert) error {
	u, err := a.Hooks.check(h.URL)
	if err != nil {
		return err
	}
	secret, err := hex.DecodeString(h.Secret)
	if err != nil || len(secret) < 16 {
		return fmt.Errorf("the webhook's secret: %w", errDamaged)
	}
	body, err := json.Marshal(alert)
	if err != nil {
		return err
	}
	at := strconv.FormatInt(a.now().Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s", at, body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("the webhook's address is not usable")
	}
	for k, v := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "scamtrace", "Scamtrace-Id": alert.ID,
		"Scamtrace-Timestamp": at, "Scamtrace-Signature": "v1=" + hex.EncodeToString(mac.Sum(nil)),
	} {
		req.Header.Set(k, v)
	}
	resp, err := a.Hooks.client().Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without the address, which may hold a key
		}
		return fmt.Errorf("the webhook at %s: %w", u.Hostname(), err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the webhook at %s answers with status %d", u.Hostname(), resp.StatusCode)
	}
	return nil
}
