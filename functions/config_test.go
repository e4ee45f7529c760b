package functions

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOpen: every bad setting is reported at once.
func TestOpen(t *testing.T) {
	env := map[string]string{
		"SCAMTRACE_DATA": "bucket", "SCAMTRACE_RETENTION_DAYS": "-1", "SCAMTRACE_CASES_PER_DAY": "many",
		"SCAMTRACE_ALERT_USD": "lots",
	}
	lookup := func(key string) (string, bool) { v, ok := env[key]; return v, ok }
	_, err := Open(t.Context(), lookup, WithAuth, WithQueue, WithAlerts)
	if err == nil {
		t.Fatal("Open takes bad settings")
	}
	for _, want := range []string{"SCAMTRACE_DATA", "SCAMTRACE_RETENTION_DAYS", "SCAMTRACE_CASES_PER_DAY", "SCAMTRACE_ALERT_USD", "SCAMTRACE_ISSUER: it is not set", "SCAMTRACE_AUDIENCE", "SCAMTRACE_QUEUE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell of %s: %v", want, err)
		}
	}
	env = map[string]string{
		"SCAMTRACE_DATA": "s3://bucket", "SCAMTRACE_RETENTION_DAYS": "30", "SCAMTRACE_CASES_PER_DAY": "7", "SCAMTRACE_QUEUE": "https://sqs.example/q",
		"SCAMTRACE_ALERT_USD": "12.50", "SCAMTRACE_WEBHOOK_HOSTS": "a.example,b.example",
		"SCAMTRACE_ISSUER": "https://issuer.example", "SCAMTRACE_AUDIENCE": "page", "SCAMTRACE_ROLE_CLAIM": "roles",
	}
	a, err := Open(t.Context(), lookup, WithAuth, WithQueue, WithAlerts, WithSigner)
	if err != nil {
		t.Fatal(err)
	}
	if a.Retention != 30*24*time.Hour || a.Quota.CasesPerDay != 7 || a.AlertUSD != 12_500_000 || a.Auth.(*JWT).RoleClaim != "roles" || a.Signer != nil || a.Alerts != nil {
		t.Errorf("Open made %+v", a)
	}
	if !slices.Equal(a.Hooks.Hosts, []string{"a.example", "b.example"}) {
		t.Errorf("webhooks may lead to %q", a.Hooks.Hosts)
	}
}

// TestLocal: workspaces take turns, the same Job is kept once, and one that
// failed waits without holding up others.
func TestLocal(t *testing.T) {
	l := NewLocal()
	now := time.Unix(1_000_000, 0)
	for _, j := range []Job{{"a", "1", 1}, {"a", "2", 1}, {"a", "1", 1}, {"a", "3", 1}, {"b", "1", 1}, {"c", "1", 1}, {"b", "2", 1}} {
		if err := l.Send(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	l.put(localJob{Job: Job{"d", "1", 1}, after: now.Add(time.Minute)})
	var got []string
	for {
		j, wait, ok := l.take(now)
		if !ok {
			if wait != time.Minute {
				t.Errorf("the next Job is in %v, want a minute", wait)
			}
			break
		}
		got = append(got, j.Workspace+j.Case)
	}
	if want := []string{"a1", "b1", "c1", "a2", "b2", "a3"}; !slices.Equal(got, want) {
		t.Errorf("the Jobs come as %q, want %q", got, want)
	}
	if j, _, ok := l.take(now.Add(time.Minute)); !ok || j.Workspace != "d" || l.Len() != 0 {
		t.Errorf("a minute later comes %v", j.Job)
	}
}
