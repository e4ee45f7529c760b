package infra

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"scamtrace/functions"
	"scamtrace/functions/nodes"
	"scamtrace/graphstore"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

// TestBucketRefuses asks the policy of the bucket itself: it holds against every
// role, also that of an administrator.
func TestBucketRefuses(t *testing.T) {
	d := loadPlan(t).document(t, "aws_s3_bucket_policy.cases", "policy")
	const bucket = "arn:aws:s3:::scamtrace-" + account + "-" + region
	const folder = bucket + "/workspaces/ngo/cases/0123456789abcdefghijklmnopqrstuv0123/"
	put := func(more ...string) request {
		r := request{"aws:SecureTransport": "true", "s3:TlsVersion": "1.3", "s3:ObjectCreationOperation": "true"}
		for i := 0; i < len(more); i += 2 {
			r[more[i]] = more[i+1]
		}
		return r
	}
	tests := []struct {
		name   string
		action string
		on     string
		with   request
		refuse bool
	}{
		{"a case, created", "s3:PutObject", folder + "case.json", put("s3:if-none-match", "*"), false},
		{"a case, replaced if unchanged", "s3:PutObject", folder + "case.json", put("s3:if-match", `"tag"`), false},
		{"a case, overwritten", "s3:PutObject", folder + "case.json", put(), true},
		{"a report, created", "s3:PutObject", folder + "reports/21000000/report.json", put("s3:if-none-match", "*"), false},
		{"a report, replaced", "s3:PutObject", folder + "reports/21000000/report.json", put("s3:if-match", `"tag"`), true},
		{"a state, replaced", "s3:PutObject", folder + "state/3.snap", put("s3:if-match", `"tag"`), true},
		{"what changed, replaced", "s3:PutObject", folder + "diffs/21000000.json", put("s3:if-match", `"tag"`), true},
		{"an audit entry, replaced", "s3:PutObject", bucket + "/workspaces/ngo/audit/0000000001.json", put("s3:if-match", `"tag"`), true},
		{"the end of the audit log, replaced", "s3:PutObject", bucket + "/workspaces/ngo/audit-head.json", put("s3:if-match", `"tag"`), false},
		{"a part of a large upload", "s3:PutObject", folder + "reports/21000000/report.json", put("s3:ObjectCreationOperation", "false"), false},
		{"labels, by hand", "s3:PutObject", bucket + "/public/labels/mine.csv", put(), false},
		{"nodes, by hand", "s3:PutObject", bucket + "/private/rpc.json", put(), false},
		{"a case, read", "s3:GetObject", folder + "case.json", put(), false},
		{"a case, read without TLS", "s3:GetObject", folder + "case.json", put("aws:SecureTransport", "false"), true},
		{"a case, read with old TLS", "s3:GetObject", folder + "case.json", put("s3:TlsVersion", "1.1"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := d.denies("arn:aws:iam::"+account+":user/admin", tt.action, tt.on, tt.with); got != tt.refuse {
				t.Errorf("refused: %v, want %v", got, tt.refuse)
			}
		})
	}
}

// TestPrincipals lists who may become a role or use a resource: every policy
// that trusts somebody, and nobody else.
func TestPrincipals(t *testing.T) {
	p := loadPlan(t)
	want := strings.TrimPrefix(`
aws_cloudformation_stack.signing[0]: account kms:CancelKeyDeletion … if any
aws_cloudformation_stack.signing[0]: account kms:Sign if aws:PrincipalArn=arn:aws:iam::111122223333:role/scamtrace-trace kms:SigningAlgorithm=ED25519_SHA_512
aws_iam_role.functions["download"]: lambda.amazonaws.com sts:AssumeRole if any
aws_iam_role.functions["retrace"]: lambda.amazonaws.com sts:AssumeRole if any
aws_iam_role.functions["submit"]: lambda.amazonaws.com sts:AssumeRole if any
aws_iam_role.functions["trace"]: lambda.amazonaws.com sts:AssumeRole if any
aws_iam_role.schedule: scheduler.amazonaws.com sts:AssumeRole if aws:SourceAccount=111122223333
aws_kms_key.encryption: account kms:* if any
aws_lambda_permission.api["download"]: apigateway.amazonaws.com lambda:InvokeFunction
aws_lambda_permission.api["submit"]: apigateway.amazonaws.com lambda:InvokeFunction
aws_sns_topic_policy.alarms: budgets.amazonaws.com cloudwatch.amazonaws.com sns:Publish if aws:SourceAccount=111122223333
aws_sns_topic_policy.alerts: account sns:Publish … if any
`, "\n")
	var lines []string
	add := func(address string, d document) {
		for _, s := range d.Statement {
			if s.Effect != "Allow" {
				continue
			}
			who := slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(s.Principal))...)))
			does := s.Action[0]
			if len(s.Action) > 1 {
				does += " …"
			}
			var ifs []string
			for _, keys := range s.Condition {
				for key, values := range keys {
					ifs = append(ifs, key+"="+strings.Join(values, ","))
				}
			}
			if ifs == nil {
				ifs = []string{"any"}
			}
			slices.Sort(ifs)
			lines = append(lines, fmt.Sprintf("%s: %s %s if %s", address, strings.ReplaceAll(strings.Join(who, " "), "arn:aws:iam::"+account+":root", "account"), does, strings.Join(ifs, " ")))
		}
	}
	for address, r := range p {
		switch {
		case r.Type == "aws_iam_role_policy" || r.Type == "aws_iam_policy": // TestPermissions
		case r.Type == "aws_lambda_permission":
			lines = append(lines, fmt.Sprintf("%s: %s %s", address, r.Values["principal"], r.Values["action"]))
			if r.Values["source_account"] != account {
				t.Errorf("%s lets in other accounts", address)
			}
		case r.Type == "aws_cloudformation_stack":
			add(address, keyPolicy(t, p))
		case r.Values["policy"] != nil:
			add(address, p.document(t, address, "policy"))
		case r.Values["assume_role_policy"] != nil:
			add(address, p.document(t, address, "assume_role_policy"))
		}
	}
	slices.Sort(lines)
	if d := cmp.Diff(want, strings.Join(lines, "\n")+"\n"); d != "" {
		t.Errorf("trust differs (- the list, + the plan):\n%s", d)
	}

	// One policy for each role, and nothing attached.
	each := []string{role("download"), role("retrace"), role("submit"), role("trace"), "aws_iam_role_policy.schedule"}
	if got := p.of("aws_iam_role_policy"); !slices.Equal(got, each) {
		t.Errorf("policies of roles are %q, want %q", got, each)
	}
	for _, typ := range []string{"aws_iam_role_policy_attachment", "aws_iam_policy_attachment", "aws_iam_user", "aws_iam_group", "aws_lambda_function_url", "aws_nat_gateway", "aws_vpc"} {
		if got := p.of(typ); len(got) > 0 {
			t.Errorf("there is %q", got)
		}
	}
}

// keyPolicy is the policy of the signing key in its template.
func keyPolicy(t *testing.T, p plan) document {
	t.Helper()
	var v struct {
		Resources map[string]struct {
			Type           string
			DeletionPolicy string
			Properties     struct {
				KeySpec, KeyUsage string
				KeyPolicy         document
			}
		}
	}
	if err := json.Unmarshal([]byte(p.text(t, "aws_cloudformation_stack.signing[0]", "template_body")), &v); err != nil {
		t.Fatal(err)
	}
	for _, r := range v.Resources {
		if r.Type != "AWS::KMS::Key" || r.DeletionPolicy != "Retain" || r.Properties.KeySpec != "ECC_NIST_EDWARDS25519" || r.Properties.KeyUsage != "SIGN_VERIFY" {
			t.Errorf("the signing key is %+v", r)
		}
		return r.Properties.KeyPolicy
	}
	t.Fatal("there is no signing key")
	return document{}
}

// TestOnlyTraceSigns asks the key, which has the last word.
func TestOnlyTraceSigns(t *testing.T) {
	d := keyPolicy(t, loadPlan(t))
	const root, role = "arn:aws:iam::" + account + ":root", "arn:aws:iam::" + account + ":role/"
	for who, want := range map[string]bool{"scamtrace-trace": true, "scamtrace-submit": false, "scamtrace-retrace": false, "scamtrace-download": false, "Admin": false} {
		got := d.allows(root, "kms:Sign", "*", request{"aws:PrincipalArn": role + who, "kms:SigningAlgorithm": "ED25519_SHA_512"})
		if got != want {
			t.Errorf("%s may sign: %v, want %v", who, got, want)
		}
	}
	if !d.allows(root, "kms:PutKeyPolicy", "*", request{"aws:PrincipalArn": role + "Admin"}) {
		t.Error("nobody could ever change the policy again")
	}
}

// TestNoWildcards: an action is spelled out, and a resource that has a name is
// named.
func TestNoWildcards(t *testing.T) {
	p := loadPlan(t)
	for _, address := range slices.Concat(p.of("aws_iam_role_policy"), p.of("aws_iam_policy")) {
		for _, s := range p.document(t, address, "policy").Statement {
			for _, a := range s.Action {
				if strings.Contains(a, "*") {
					t.Errorf("%s: action %s", address, a)
				}
			}
			for _, on := range s.Resource {
				service := strings.Split(on, ":")
				if len(service) < 6 || strings.Contains(strings.Join(service[:5], ":"), "*") {
					t.Errorf("%s: resource %s", address, on)
					continue
				}
				name, rest, _ := strings.Cut(strings.Join(service[5:], ":"), "/")
				if logs := service[2] == "logs"; strings.Contains(name, "*") && !logs || logs && !strings.HasSuffix(rest, ":log-stream:*") {
					t.Errorf("%s: resource %s", address, on)
				}
			}
		}
	}
}

// parts are what a main may ask of functions.Main, by name.
var parts = map[string]func(*functions.Setup){
	"WithAuth": functions.WithAuth, "WithQueue": functions.WithQueue, "WithHooks": functions.WithHooks,
	"WithLock": functions.WithLock, "WithAlerts": functions.WithAlerts, "WithSigner": functions.WithSigner, "WithChains": nodes.WithChains, "WithQuotes": functions.WithQuotes,
}

// left are settings that a deployment leaves at their defaults.
var left = []string{
	"SCAMTRACE_JWKS", "SCAMTRACE_WORKSPACE_CLAIM", "SCAMTRACE_ROLE_CLAIM", // as Cognito has them
	"SCAMTRACE_MAX_REQUESTS", "SCAMTRACE_MAX_WALLETS",
	"SCAMTRACE_RPC", // private/rpc.json, since an environment is for many to read
}

// TestEnvironment sets up each function with the parts that its main asks for
// and the environment of the plan: nothing is missing, and nothing is for nobody.
func TestEnvironment(t *testing.T) {
	p := loadPlan(t)
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	kms := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": "signing", "KeySpec": "ECC_NIST_EDWARDS25519", "KeyUsage": "SIGN_VERIFY", "PublicKey": der})
	}))
	t.Cleanup(kms.Close)
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ENDPOINT_URL_KMS": kms.URL, "AWS_REGION": region, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"} {
		t.Setenv(k, v)
	}

	for _, f := range mains {
		t.Run(f, func(t *testing.T) {
			var with []func(*functions.Setup)
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "functions", f, "main.go"), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "With") {
					part := parts[sel.Sel.Name]
					if part == nil {
						t.Fatalf("main asks for functions.%s, which this test does not know", sel.Sel.Name)
					}
					with = append(with, part)
				}
				return true
			})

			env := environment(t, p, f)
			asked := map[string]bool{"GOMEMLIMIT": true} // by the runtime
			_, err = functions.Open(t.Context(), func(key string) (string, bool) {
				asked[key] = true
				v, ok := env[key]
				return v, ok
			}, with...)
			if err != nil {
				t.Errorf("the function would not start: %v", err)
			}
			for key := range env {
				if !asked[key] {
					t.Errorf("%s is set, and nobody asks for it", key)
				}
			}
			for key := range asked {
				if _, ok := env[key]; !ok && !slices.Contains(left, key) {
					t.Errorf("%s is asked for, and not set", key)
				}
			}
		})
	}
}

func environment(t *testing.T, p plan, f string) map[string]string {
	t.Helper()
	blocks, _ := p[fmt.Sprintf("aws_lambda_function.this[%q]", f)].Values["environment"].([]any)
	if len(blocks) != 1 {
		t.Fatalf("%s has no environment", f)
	}
	env := make(map[string]string)
	for k, v := range blocks[0].(map[string]any)["variables"].(map[string]any) {
		env[k] = v.(string)
	}
	return env
}

// TestRoutes compares the routes with those that the program describes.
func TestRoutes(t *testing.T) {
	p := loadPlan(t)
	w := httptest.NewRecorder()
	(&functions.App{}).Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/v1/openapi.json", nil))
	var api struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &api); err != nil {
		t.Fatalf("openapi.json: %v\n%s", err, w.Body)
	}
	want := []string{"GET / NONE", "GET /healthz NONE", "GET /v1/openapi.json NONE", "GET /{file} NONE"}
	for path, ops := range api.Paths {
		for method := range ops {
			want = append(want, strings.ToUpper(method)+" "+strings.ReplaceAll(path, "...}", "+}")+" JWT")
		}
	}
	var got []string
	for _, address := range p.of("aws_apigatewayv2_route") {
		got = append(got, p.text(t, address, "route_key")+" "+p.text(t, address, "authorization_type"))
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("routes differ (- the program, + the plan):\n%s", d)
	}
}

// TestAthenaColumns traces a case and compares the table with the file that is
// then where the table looks for it.
func TestAthenaColumns(t *testing.T) {
	p := loadPlan(t)
	dir, err := graphstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	s := newPipeline(t, func(string) graphstore.Bucket { return dir })
	s.submit("")
	s.work()
	parameters := p["aws_glue_catalog_table.transfers"].Values["parameters"].(map[string]any)
	template, ok := strings.CutPrefix(fmt.Sprint(parameters["storage.location.template"]), "s3://scamtrace-"+account+"-"+region+"/")
	if !ok {
		t.Fatalf("the table is in another bucket: %v", parameters)
	}
	var keys []string
	for key, err := range dir.List(t.Context(), strings.ReplaceAll(template, "${workspace}", "ngo"), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if len(keys) != 1 || !regexp.MustCompile(sharedPath(t)).MatchString(keys[0]) {
		t.Fatalf("the table has the files %q, want one that shared.sql knows", keys)
	}
	table, _, err := dir.Get(t.Context(), keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	file, err := parquet.OpenFile(bytes.NewReader(table), int64(len(table)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Root().Columns() {
		want = append(want, c.Name()+" "+athena(t, c.Type()))
	}
	storage := p["aws_glue_catalog_table.transfers"].Values["storage_descriptor"].([]any)[0].(map[string]any)
	for _, c := range storage["columns"].([]any) {
		c := c.(map[string]any)
		got = append(got, fmt.Sprintf("%s %s", c["name"], c["type"]))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("columns differ (- the file, + the plan):\n%s", d)
	}
}

// sharedPath is the expression by which the saved query takes case and block
// from the name of a file.
func sharedPath(t *testing.T) string {
	t.Helper()
	query, err := os.ReadFile("shared.sql")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`regexp_extract\("\$path", '([^']+)', 1\)`).FindSubmatch(query)
	if m == nil {
		t.Fatal("shared.sql does not look at the path")
	}
	return string(m[1])
}

// athena is the name that Athena has for a type.
func athena(t *testing.T, typ parquet.Type) string {
	t.Helper()
	switch name := typ.String(); {
	case strings.HasPrefix(name, "DECIMAL("):
		return strings.ToLower(name)
	case strings.HasPrefix(name, "TIMESTAMP("):
		return "timestamp"
	case name == "STRING":
		return "string"
	case name == "BYTE_ARRAY":
		return "binary"
	case name == "INT(64,true)":
		return "bigint"
	case name == "BOOLEAN":
		return "boolean"
	}
	t.Fatalf("Athena's name for %v is not known here", typ)
	return ""
}

// TestRunbook: each alarm has its section, and each section its alarm.
func TestRunbook(t *testing.T) {
	p := loadPlan(t)
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, book, ok := strings.Cut(string(readme), "\n## Runbook\n")
	book, _, _ = strings.Cut(book, "\n## ")
	if !ok {
		t.Fatal("README.md has no runbook")
	}
	var want []string
	for _, m := range regexp.MustCompile("(?m)^### (.*)$").FindAllStringSubmatch(book, -1) {
		want = append(want, regexp.MustCompile("`([a-z-]+)`").FindAllString(m[1], -1)...)
	}
	got := []string{"`month`"} // the budget
	for _, address := range p.of("aws_cloudwatch_metric_alarm") {
		got = append(got, "`"+strings.TrimPrefix(p.text(t, address, "alarm_name"), "scamtrace-")+"`")
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("alarms differ (- the runbook, + the plan):\n%s", d)
	}
}
