// Package infra holds no code: these are the tests of the Terraform beside it.
// They plan it with the real provider, with credentials that are none, and read
// the policies and environments that AWS would get.
package infra

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
)

// mains are the functions, in the order of the tables below.
var mains = []string{"submit", "trace", "retrace", "download"}

// override makes a plan possible without an account, and names what is known
// only after it is carried out.
const override = `
provider "aws" {
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  allowed_account_ids         = null
}

locals {
  encryption_key = "arn:aws:kms:eu-central-1:111122223333:key/encryption"
  signing_key    = "arn:aws:kms:eu-central-1:111122223333:key/signing"
  issuer         = "https://issuer.example"
  audience       = "client"
}
`

// A module is a copy of the Terraform in a folder of its own, initialized.
type module struct {
	dir string
	env []string
}

// setUp makes the module once for all tests. An error that wraps
// fs.ErrNotExist says what is not installed.
var setUp = sync.OnceValues(func() (*module, error) {
	if _, err := exec.LookPath("terraform"); err != nil {
		return nil, fmt.Errorf("Terraform is not installed: %w", fs.ErrNotExist)
	}
	mirror, err := findMirror()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "infra")
	if err != nil {
		return nil, err
	}
	m := &module{dir: filepath.Join(dir, "infra")}
	if err := os.CopyFS(m.dir, os.DirFS(".")); err != nil {
		return m, err
	}
	for _, left := range []string{".terraform", ".terraform.lock.hcl", "terraform.tfvars"} { // of the user
		if err := os.RemoveAll(filepath.Join(m.dir, left)); err != nil {
			return m, err
		}
	}
	files := map[string]string{
		"infra/zz_override.tf": override,
		"terraform.rc":         fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror),
	}
	for _, f := range mains {
		files["dist/"+f+".zip"] = "the package of " + f
	}
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return m, err
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			return m, err
		}
	}
	m.env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "terraform.rc"), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL=http://127.0.0.1:9")
	_, err = m.run("init", "-input=false", "-no-color")
	return m, err
})

// findMirror returns a folder from which Terraform can install the provider.
func findMirror() (string, error) {
	roots := []string{os.Getenv("SCAMTRACE_TERRAFORM_MIRROR"), "/opt/*", "/usr/share/terraform/*", "/usr/local/share/terraform/*"}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".terraform.d", "*"), filepath.Join(home, ".local", "share", "terraform", "*"))
	}
	for _, root := range roots {
		host := filepath.Join(root, "registry.terraform.io")
		found, err := filepath.Glob(filepath.Join(host, "hashicorp", "aws", "5.*", runtime.GOOS+"_"+runtime.GOARCH))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return filepath.Join(found[0], "..", "..", "..", "..", ".."), nil
		}
	}
	return "", fmt.Errorf("Terraform's provider for AWS is in no folder that was looked at (SCAMTRACE_TERRAFORM_MIRROR names one): %w", fs.ErrNotExist)
}

func (m *module) run(args ...string) ([]byte, error) {
	cmd := exec.Command("terraform", args...)
	cmd.Dir, cmd.Env = m.dir, m.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("terraform %s: %w\n%s%s", args[0], err, out, stderr.String())
	}
	return out, nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if made, _ := setUp(); made != nil {
		if err := os.RemoveAll(filepath.Dir(made.dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// load returns the module. Where Terraform or its provider is not at hand the
// test is skipped.
func load(t *testing.T) *module {
	t.Helper()
	m, err := setUp()
	if errors.Is(err, fs.ErrNotExist) && m == nil {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// settings are the variables that have no default, as options of Terraform.
var settings = []string{"-var=account_id=" + account, "-var=region=" + region, "-var=dist=../dist"}

// A plan is what would be made: resources by address, and their values as far as
// they are known before.
type plan map[string]resource

type resource struct {
	Address string         `json:"address"`
	Type    string         `json:"type"`
	Values  map[string]any `json:"values"`
}

var planned = sync.OnceValues(func() (plan, error) {
	m, err := setUp()
	if err != nil {
		return nil, err
	}
	return m.plan()
})

func (m *module) plan(vars ...string) (plan, error) {
	file, err := os.CreateTemp(filepath.Dir(m.dir), "plan")
	if err != nil {
		return nil, err
	}
	file.Close()
	args := slices.Concat([]string{"plan", "-input=false", "-no-color", "-refresh=false", "-out=" + file.Name()}, settings, vars)
	if _, err := m.run(args...); err != nil {
		return nil, err
	}
	out, err := m.run("show", "-json", file.Name())
	if err != nil {
		return nil, err
	}
	var v struct {
		Planned struct {
			Root struct {
				Resources []resource `json:"resources"`
			} `json:"root_module"`
		} `json:"planned_values"`
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return nil, err
	}
	p := make(plan)
	for _, r := range v.Planned.Root.Resources {
		p[r.Address] = r
	}
	return p, nil
}

func loadPlan(t *testing.T) plan {
	t.Helper()
	load(t)
	p, err := planned()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// of returns the addresses of the resources of a type, sorted.
func (p plan) of(typ string) []string {
	var out []string
	for _, address := range slices.Sorted(maps.Keys(p)) {
		if p[address].Type == typ {
			out = append(out, address)
		}
	}
	return out
}

// text returns a value that is a string.
func (p plan) text(t *testing.T, address, key string) string {
	t.Helper()
	s, ok := p[address].Values[key].(string)
	if !ok {
		t.Fatalf("%s: %s is %v, want a text", address, key, p[address].Values[key])
	}
	return s
}

// document returns a value that is a policy.
func (p plan) document(t *testing.T, address, key string) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(p.text(t, address, key)), &d); err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	if d.Version != "2012-10-17" || len(d.Statement) == 0 {
		t.Fatalf("%s: %s is no policy", address, key)
	}
	return d
}

func role(f string) string { return fmt.Sprintf("aws_iam_role_policy.functions[%q]", f) }

func TestFormat(t *testing.T) {
	m := load(t)
	if _, err := m.run("fmt", "-check", "-diff", "-recursive", "-no-color"); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	m := load(t)
	if _, err := m.run("validate", "-no-color"); err != nil {
		t.Error(err)
	}
}

// TestModule runs the module's own tests, which need no provider.
func TestModule(t *testing.T) {
	m := load(t)
	if err := os.Rename(filepath.Join(m.dir, "zz_override.tf"), filepath.Join(m.dir, "override.txt")); err != nil {
		t.Fatal(err)
	}
	out, err := m.run("test", "-no-color", "-var=dist=../dist")
	if err := errors.Join(err, os.Rename(filepath.Join(m.dir, "override.txt"), filepath.Join(m.dir, "zz_override.tf"))); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`Success! [1-9][0-9]* passed, 0 failed`).Match(out) {
		t.Errorf("terraform test says\n%s", out)
	}
}

// TestPermissions holds what each function may do against a table. A new
// permission is a change of both.
//
// Keys of the bucket: r read, w write, d delete.
func TestPermissions(t *testing.T) {
	want := strings.TrimPrefix(`
                                                submit trace  retra. downl.
bucket/due/*                                    rwd    rwd    rwd    -
bucket/personal/*                               rwd    -      d      -
bucket/private/endpoints.json                   -      rw     -      -
bucket/private/rpc.json                         -      r      -      -
bucket/public/*                                 r      r      -      -
bucket/workspaces/*/audit-head.json             rw     rw     -      rw
bucket/workspaces/*/audit/*                     rw     rw     -      rw
bucket/workspaces/*/cases/*/case.json           rw     rw     rw     r
bucket/workspaces/*/cases/*/diffs/*             -      rw     -      r
bucket/workspaces/*/cases/*/evidence/*          -      rw     -      -
bucket/workspaces/*/cases/*/reports/*           -      rw     -      r
bucket/workspaces/*/cases/*/state/*             d      rw     d      -
bucket/workspaces/*/list/*                      rw     -      -      -
bucket/workspaces/*/once/*                      rwd    -      d      -
bucket/workspaces/*/own/*                       rwd    -      d      -
bucket/workspaces/*/quota/*                     rw     -      -      -
bucket/workspaces/*/settings.json               rw     r      -      -
bucket/workspaces/*/tables/*                    -      rw     -      -
kms:Decrypt encryption, for s3                  x      x      x      x
kms:Decrypt encryption, for sns                 -      x      -      -
kms:GenerateDataKey encryption, for s3          x      x      x      x
kms:GenerateDataKey encryption, for sns         -      x      -      -
kms:GetPublicKey signing                        -      x      -      -
kms:Sign signing, by ED25519_SHA_512            -      x      -      -
logs:CreateLogStream its own                    x      x      x      x
logs:PutLogEvents its own                       x      x      x      x
s3:ListBucket due/                              -      -      x      -
s3:ListBucket nothing                           -      -      -      x
s3:ListBucket public/                           x      x      -      -
s3:ListBucket workspaces/*/cases/*/state/       x      -      x      -
s3:ListBucket workspaces/*/list/                x      -      -      -
s3:ListBucket workspaces/*/own/*/               x      -      -      -
sns:Publish alerts                              -      x      -      -
sqs:ChangeMessageVisibility jobs                -      x      -      -
sqs:DeleteMessage jobs                          -      x      -      -
sqs:GetQueueAttributes jobs                     -      x      -      -
sqs:ReceiveMessage jobs                         -      x      -      -
sqs:SendMessage jobs                            x      x      x      -
sqs:SendMessage schedule-dead                   -      -      x      -
`, "\n")

	if d := cmp.Diff(want, loadPlan(t).permissions(t)); d != "" {
		t.Errorf("permissions differ (- the table, + the plan):\n%s", d)
	}
}

// TestLockPermission: with Object Lock there is one permission more.
func TestLockPermission(t *testing.T) {
	m := load(t)
	without := loadPlan(t).permissions(t)
	locked, err := m.plan("-var=object_lock_days=365")
	if err != nil {
		t.Fatal(err)
	}
	var more []string
	for line := range strings.Lines(locked.permissions(t)) {
		if !strings.Contains(without, line) {
			more = append(more, strings.Join(strings.Fields(line), " "))
		}
	}
	if want := []string{"s3:PutObjectRetention bucket/workspaces/*/cases/*/reports/* - x - -"}; !slices.Equal(more, want) {
		t.Errorf("with Object Lock there is %q more, want %q", more, want)
	}
	if got := locked["aws_s3_bucket.cases"].Values["object_lock_enabled"]; got != true {
		t.Errorf("the bucket has Object Lock: %v", got)
	}
}

// permissions writes the permissions of all functions as a table.
func (p plan) permissions(t *testing.T) string {
	t.Helper()
	got := table{}
	for i, f := range mains {
		for _, s := range p.document(t, role(f), "policy").Statement {
			if s.Effect != "Allow" || len(s.Action) == 0 || len(s.Resource) == 0 {
				t.Fatalf("%s has a statement that is no plain permission: %+v", f, s)
			}
			for _, action := range s.Action {
				for _, on := range s.Resource {
					got.add(t, i, f, action, on, s.Condition)
				}
			}
		}
	}
	return got.String()
}

// A table has a row for each permission and a column for each function.
type table map[string]*[4]string

func (m table) add(t *testing.T, column int, f, action, on string, c conditions) {
	t.Helper()
	mark, row := "x", ""
	letters := map[string]string{"s3:GetObject": "r", "s3:PutObject": "w", "s3:DeleteObject": "d"}
	name := strings.NewReplacer(
		"arn:aws:s3:::scamtrace-"+account+"-"+region, "bucket",
		"arn:aws:sqs:"+region+":"+account+":scamtrace-", "",
		"arn:aws:sns:"+region+":"+account+":scamtrace-", "",
		"arn:aws:kms:"+region+":"+account+":key/", "",
		"arn:aws:logs:"+region+":"+account+":log-group:/aws/lambda/scamtrace-"+f+":log-stream:*", "its own",
	).Replace(on)
	c = c.clone()
	get := func(op, key string) string {
		v := strings.Join(c[op][key], " ")
		delete(c[op], key)
		if len(c[op]) == 0 {
			delete(c, op)
		}
		return v
	}
	switch {
	case letters[action] != "":
		mark, row = letters[action], name
	case action == "s3:ListBucket" && name == "bucket":
		for prefix := range strings.FieldsSeq(get("StringLikeIfExists", "s3:prefix")) {
			m.mark(action+" "+prefix, column, mark)
		}
	case name == "encryption":
		service, _, _ := strings.Cut(get("StringEquals", "kms:ViaService"), ".")
		row = action + " encryption, for " + service
		key := map[string]string{"s3": "aws:s3:arn", "sns": "aws:sns:topicArn"}[service]
		want := map[string]string{"s3": "arn:aws:s3:::scamtrace-" + account + "-" + region, "sns": "arn:aws:sns:" + region + ":" + account + ":scamtrace-alerts"}[service]
		if got := get("StringEquals", "kms:EncryptionContext:"+key); got != want {
			t.Errorf("%s may use the encryption key for %q, want %q", f, got, want)
		}
	case action == "kms:Sign":
		row = action + " " + name + ", by " + get("StringEquals", "kms:SigningAlgorithm")
	default:
		row = action + " " + name
	}
	for op := range c {
		row += fmt.Sprintf(" if %s %v", op, c[op])
	}
	if row != "" {
		m.mark(row, column, mark)
	}
}

func (m table) mark(row string, column int, mark string) {
	if m[row] == nil {
		m[row] = new([4]string)
	}
	m[row][column] += mark
}

func (m table) String() string {
	var b strings.Builder
	line := func(name string, cells ...string) {
		for i, c := range cells {
			if c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("%-47s %-6s %-6s %-6s %s", name, cells[0], cells[1], cells[2], cells[3]), " "))
	}
	line("", "submit", "trace", "retra.", "downl.")
	for _, row := range slices.Sorted(maps.Keys(m)) {
		line(row, m[row][:]...)
	}
	return b.String()
}

// TestMay asks the policies themselves, by the rules of IAM.
func TestMay(t *testing.T) {
	p := loadPlan(t)
	const (
		bucket = "arn:aws:s3:::scamtrace-" + account + "-" + region
		folder = bucket + "/workspaces/ngo/cases/0123456789abcdefghijklmnopqrstuv0123/"
		kms    = "arn:aws:kms:" + region + ":" + account + ":key/"
		sqs    = "arn:aws:sqs:" + region + ":" + account + ":scamtrace-jobs"
	)
	viaS3 := request{"kms:ViaService": "s3." + region + ".amazonaws.com", "kms:EncryptionContext:aws:s3:arn": bucket}
	tests := []struct {
		name   string
		action string
		on     string
		with   request
		who    string // may
	}{
		{"read a case", "s3:GetObject", folder + "case.json", nil, "submit trace retrace download"},
		{"change a case", "s3:PutObject", folder + "case.json", nil, "submit trace retrace"},
		{"delete a case", "s3:DeleteObject", folder + "case.json", nil, ""},
		{"read the state of a walk", "s3:GetObject", folder + "state/7.snap", nil, "trace"},
		{"erase the state of a walk", "s3:DeleteObject", folder + "state/7.snap", nil, "submit retrace"},
		{"read a report", "s3:GetObject", folder + "reports/21000000/report.json", nil, "trace download"},
		{"write a report", "s3:PutObject", folder + "reports/21000000/manifest.sig", nil, "trace"},
		{"delete a report", "s3:DeleteObject", folder + "reports/21000000/report.json", nil, ""},
		{"delete an old version", "s3:DeleteObjectVersion", folder + "reports/21000000/report.json", nil, ""},
		{"lift a lock", "s3:BypassGovernanceRetention", folder + "reports/21000000/report.json", nil, ""},
		{"read what a person gave", "s3:GetObject", bucket + "/personal/ngo/0123.json", nil, "submit"},
		{"erase what a person gave", "s3:DeleteObject", bucket + "/personal/ngo/0123.json", nil, "submit retrace"},
		{"delete from the audit log", "s3:DeleteObject", bucket + "/workspaces/ngo/audit/0000000001.json", nil, ""},
		{"read the webhooks' secrets", "s3:GetObject", bucket + "/workspaces/ngo/settings.json", nil, "submit trace"},
		{"read the nodes' addresses", "s3:GetObject", bucket + "/private/rpc.json", nil, "trace"},
		{"change the nodes' addresses", "s3:PutObject", bucket + "/private/rpc.json", nil, ""},
		{"change public data", "s3:PutObject", bucket + "/public/labels/a.csv", nil, ""},
		{"list what people gave", "s3:ListBucket", bucket, request{"s3:prefix": "personal/"}, ""},
		{"list the cases of a workspace", "s3:ListBucket", bucket, request{"s3:prefix": "workspaces/ngo/list/"}, "submit"},
		{"list what is due", "s3:ListBucket", bucket, request{"s3:prefix": "due/"}, "retrace"},
		{"learn that a key is not there", "s3:ListBucket", bucket, nil, "submit trace retrace download"},
		{"change the bucket", "s3:PutBucketPolicy", bucket, nil, ""},
		{"queue a job", "sqs:SendMessage", sqs, nil, "submit trace retrace"},
		{"take a job", "sqs:ReceiveMessage", sqs, nil, "trace"},
		{"take a job put aside", "sqs:ReceiveMessage", sqs + "-dead", nil, ""},
		{"empty the queue", "sqs:PurgeQueue", sqs, nil, ""},
		{"sign", "kms:Sign", kms + "signing", request{"kms:SigningAlgorithm": "ED25519_SHA_512"}, "trace"},
		{"sign by another algorithm", "kms:Sign", kms + "signing", request{"kms:SigningAlgorithm": "ED25519_PH_SHA_512"}, ""},
		{"sign with the other key", "kms:Sign", kms + "encryption", request{"kms:SigningAlgorithm": "ED25519_SHA_512"}, ""},
		{"delete the signing key", "kms:ScheduleKeyDeletion", kms + "signing", nil, ""},
		{"decrypt what is in the bucket", "kms:Decrypt", kms + "encryption", viaS3, "submit trace retrace download"},
		{"decrypt anything", "kms:Decrypt", kms + "encryption", nil, ""},
		{"tell people", "sns:Publish", "arn:aws:sns:" + region + ":" + account + ":scamtrace-alerts", nil, "trace"},
		{"start a function", "lambda:InvokeFunction", "arn:aws:lambda:" + region + ":" + account + ":function:scamtrace-trace", nil, ""},
		{"become another", "sts:AssumeRole", "arn:aws:iam::" + account + ":role/scamtrace-trace", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var who []string
			for _, f := range mains {
				if p.document(t, role(f), "policy").allows("", tt.action, tt.on, tt.with) {
					who = append(who, f)
				}
			}
			if got := strings.Join(who, " "); got != tt.who {
				t.Errorf("%s on %s: may %q, want %q", tt.action, tt.on, got, tt.who)
			}
		})
	}
}
