package infra

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A document is a policy of IAM, or of a resource.
type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid         string
	Effect      string
	Principal   principals
	Action      words
	Resource    words
	NotResource words
	Condition   conditions
}

// words are one text or a list of them.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}

// principals are names by kind; "*" is everybody.
type principals map[string]words

func (p *principals) UnmarshalJSON(b []byte) error {
	if string(b) == `"*"` {
		*p = principals{"AWS": {"*"}}
		return nil
	}
	return json.Unmarshal(b, (*map[string]words)(p))
}

// conditions are values by operator and key.
type conditions map[string]map[string]words

func (c conditions) clone() conditions {
	out := make(conditions)
	for op, keys := range c {
		out[op] = maps.Clone(keys)
	}
	return out
}

// A request is the context of a request: the values of condition keys.
type request map[string]string

// allows reports whether the document allows a request and does not deny it, by
// the rules of IAM as far as the documents here use them. who is the service or
// ARN that asks, and counts in policies of resources alone.
func (d document) allows(who, action, on string, r request) bool {
	return d.has("Allow", who, action, on, r) && !d.denies(who, action, on, r)
}

func (d document) denies(who, action, on string, r request) bool {
	return d.has("Deny", who, action, on, r)
}

func (d document) has(effect, who, action, on string, r request) bool {
	return slices.ContainsFunc(d.Statement, func(s statement) bool {
		if s.Effect != effect || !s.Action.match(action, true) || !s.Condition.hold(r) {
			return false
		}
		if len(s.NotResource) == 0 && !s.Resource.match(on, false) || s.NotResource.match(on, false) {
			return false
		}
		return s.Principal == nil || slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(s.Principal))...), func(p string) bool {
			return p == "*" || p == who
		})
	})
}

// match reports whether one of the patterns fits; * is any text, also with
// slashes.
func (w words) match(text string, fold bool) bool {
	return slices.ContainsFunc(w, func(pattern string) bool { return like(pattern, text, fold) })
}

func like(pattern, text string, fold bool) bool {
	expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	if fold {
		expr = "(?i)" + expr
	}
	return regexp.MustCompile("^(?s:" + expr + ")$").MatchString(text)
}

// hold reports whether all conditions hold. It panics at an operator that it
// does not know: a test must not guess.
func (c conditions) hold(r request) bool {
	for op, keys := range c {
		for key, want := range keys {
			got, ok := r[key]
			base, ifExists := strings.CutSuffix(op, "IfExists")
			if !ok && ifExists {
				continue
			}
			fits := false
			switch base {
			case "Null":
				fits = want[0] == strconv.FormatBool(!ok)
			case "Bool", "StringEquals", "ArnEquals":
				fits = ok && slices.Contains(want, got)
			case "StringLike":
				fits = ok && want.match(got, false)
			case "NumericLessThan":
				a, err1 := strconv.ParseFloat(got, 64)
				b, err2 := strconv.ParseFloat(want[0], 64)
				fits = err1 == nil && err2 == nil && a < b
			default:
				panic(fmt.Sprintf("the condition %s is not known here", op))
			}
			if !fits {
				return false
			}
		}
	}
	return true
}
