package functions

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestSNS(t *testing.T) {
	const topic = "arn:aws:sns:us-east-1:123456789012:alerts"
	var got []url.Values
	server := &faulty{asked: map[string]int{}, server: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Form.Get("Action") != "Publish" || r.Form.Get("TopicArn") != topic {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "<ErrorResponse><Error><Code>NotFound</Code></Error></ErrorResponse>")
			return
		}
		got = append(got, r.Form)
		fmt.Fprint(w, `<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
	})}
	cfg := awsAt(t, "SNS", serve(t, server))
	alert := Alert{ID: "id", Workspace: "ngo", Case: "0abc", Block: 19, Sentence: "$1,200 reached an exchange."}

	server.faults = map[string][]fault{"POST": {slowDown, neverArrives}}
	if err := NewSNS(cfg, topic).Publish(t.Context(), alert); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Get("MessageStructure") != "json" {
		t.Fatalf("published %v", got)
	}
	// The rules of SNS for a subject.
	if s := got[0].Get("Subject"); s == "" || len(s) >= 100 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("subject %q", s)
	}
	var message map[string]string
	if err := json.Unmarshal([]byte(got[0].Get("Message")), &message); err != nil {
		t.Fatal(err)
	}
	var program Alert
	if err := json.Unmarshal([]byte(message["default"]), &program); err != nil || program != alert {
		t.Errorf("programs get %q, %v, want %+v", message["default"], err, alert)
	}
	if want := alert.Sentence + "\n\nCase 0abc of workspace ngo, report as of block 19.\n"; message["email"] != want {
		t.Errorf("people get %q, want %q", message["email"], want)
	}

	if err := NewSNS(cfg, topic+"x").Publish(t.Context(), alert); err == nil {
		t.Error("published on a topic that is not there")
	}
	server.faults = map[string][]fault{"POST*": {denied}}
	if err := NewSNS(cfg, topic).Publish(t.Context(), alert); err == nil {
		t.Error("published without being allowed")
	}
}
