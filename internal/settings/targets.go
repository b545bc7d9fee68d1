package settings

import (
	"regexp"
	"slices"

	"imagemirror/internal/strictyaml"
)

// A Target is where notifications about a set are sent. Its address and its secrets are in the
// set's secret, below its name.
type Target struct {
	Kind string `json:"kind"` // Slack, Webhook or Email
	Name string `json:"name"`
}

// The kinds of targets.
const (
	Slack   = "slack"
	Webhook = "webhook"
	Email   = "email"
)

// MaxTargets bounds the targets of a set: report sends to each within minutes.
const MaxTargets = 10

// targetRE matches the names of targets: a part of a key of a secret, and of a file's name.
var targetRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// IsTarget reports whether a target has a kind and a name that a settings file may have.
func IsTarget(t Target) bool {
	return (t.Kind == Slack || t.Kind == Webhook || t.Kind == Email) && targetRE.MatchString(t.Name)
}

// AreTargets reports whether each of targets is one.
func AreTargets(targets []Target) bool {
	return !slices.ContainsFunc(targets, func(t Target) bool { return !IsTarget(t) })
}

// notify reads an entry of notify: a text names somebody, and KIND: NAME is a target.
func (s *Settings) notify(v strictyaml.Value) {
	if v.IsMapping() {
		var keys []strictyaml.Key
		for _, kind := range []string{Slack, Webhook, Email} {
			keys = append(keys, strictyaml.Key{Name: kind, Read: func(v strictyaml.Value) { s.target(v, kind) }})
		}
		v.Keys(keys...)
		return
	}
	text, ok := v.Text()
	if !ok {
		return
	}
	if len(text) > maxText {
		v.Refuse("notify %.*q has more than %d bytes: write a name or an address", maxText, text, maxText)
		return
	}
	s.Notify = append(s.Notify, text)
}

func (s *Settings) target(v strictyaml.Value, kind string) {
	name, ok := v.Text()
	if !ok {
		return
	}
	switch {
	case !targetRE.MatchString(name):
		v.Refuse("%s %.*q is not the name of a target: write 1 to 40 lower-case letters, digits and '-', with no '-' at its ends", kind, maxText, name)
		return
	case len(s.Targets) == MaxTargets:
		v.Refuse("notify has more than %d targets: remove some", MaxTargets)
		return
	}
	for _, other := range s.Targets {
		if other.Name == name {
			v.Refuse("notify has two targets %s, whose secrets would have the same keys: rename one", name)
			return
		}
	}
	s.Targets = append(s.Targets, Target{kind, name})
}
