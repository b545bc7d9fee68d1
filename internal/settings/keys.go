package settings

import (
	"strings"
	"time"

	"imagemirror/internal/bounds"
	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
)

// object reads the file as a whole.
func (s *Settings) object(v strictyaml.Value) {
	var apiVersion, kind bool
	v.Keys(
		strictyaml.Key{Name: "apiVersion", Read: func(v strictyaml.Value) { apiVersion = true; is(v, APIVersion) }},
		strictyaml.Key{Name: "kind", Read: func(v strictyaml.Value) { kind = true; is(v, Kind) }},
		strictyaml.Key{Name: "metadata", Read: s.metadata},
		strictyaml.Key{Name: "spec", Read: s.spec},
	)
	if !apiVersion {
		v.Refuse("apiVersion is missing: write apiVersion: %s", APIVersion)
	}
	if !kind {
		v.Refuse("kind is missing: write kind: %s", Kind)
	}
	if s.NameLine == 0 {
		v.Refuse("metadata.name is missing: write the name of the set, which is its directory's")
	}
}

// is refuses any text other than want.
func is(v strictyaml.Value, want string) {
	if got, ok := v.Text(); ok && got != want {
		v.Refuse("this is %q: write %s", got, want)
	}
}

func (s *Settings) metadata(v strictyaml.Value) {
	v.Keys(
		strictyaml.Key{Name: "name", Read: s.name},
		strictyaml.Key{Name: "annotations", Read: func(v strictyaml.Value) { s.LocalConfig = v.Texts()[LocalConfig] == "true" }},
		strictyaml.Key{Name: "labels", Read: func(v strictyaml.Value) { v.Texts() }},
	)
}

func (s *Settings) name(v strictyaml.Value) {
	s.NameLine = v.Line()
	name, ok := v.Text()
	if !ok {
		return
	}
	if err := CheckName(name); err != nil {
		v.Refuse("metadata.name is %.*q: %w", maxText, name, err)
		return
	}
	s.Name = name
}

func (s *Settings) spec(v strictyaml.Value) {
	v.Keys(
		strictyaml.Key{Name: "schedule", Read: s.schedule},
		strictyaml.Key{Name: "destinations", Read: s.destinations},
		strictyaml.Key{Name: "immutable", Read: func(v strictyaml.Value) { v.List(s.immutable) }},
		strictyaml.Key{Name: "shards", Read: number(&s.Shards, 1, bounds.Shards)},
		strictyaml.Key{Name: "cap", Read: number(&s.Cap, bounds.Share, bounds.Concurrency)},
		strictyaml.Key{Name: "retries", Read: number(&s.Retries, 1, bounds.Retries)},
		strictyaml.Key{Name: "timeout", Read: duration(&s.Timeout, MinTimeout, maxTimeout)},
		strictyaml.Key{Name: "notify", Read: func(v strictyaml.Value) { v.List(s.notify) }},
		strictyaml.Key{Name: "history", Read: s.history},
	)
}

func (s *Settings) history(v strictyaml.Value) {
	v.Keys(
		strictyaml.Key{Name: "runs", Read: number(&s.History.Runs, 1, 1000)},
		strictyaml.Key{Name: "failed", Read: number(&s.History.Failed, 1, 1000)},
		strictyaml.Key{Name: "age", Read: duration(&s.History.Age, time.Hour, 366*24*time.Hour)},
	)
}

func number(to *int, least, most int) func(strictyaml.Value) {
	return func(v strictyaml.Value) { *to = v.Number(least, most) }
}

func duration(to *time.Duration, least, most time.Duration) func(strictyaml.Value) {
	return func(v strictyaml.Value) { *to = v.Duration(least, most) }
}

func (s *Settings) schedule(v strictyaml.Value) {
	text, ok := v.Text()
	if !ok {
		return
	}
	if err := CheckSchedule(text); err != nil {
		v.Refuse("schedule %w", err)
		return
	}
	s.Schedule = text
}

func (s *Settings) destinations(v strictyaml.Value) {
	// An empty list could mean none or any.
	if v.Empty() {
		v.Refuse("spec.destinations allows nothing: name a prefix, or leave the key out, which allows any destination")
	}
	v.List(s.destination)
}

func (s *Settings) destination(v strictyaml.Value) {
	text, ok := v.Text()
	if !ok {
		return
	}
	prefix, ok := parsePrefix(text)
	if !ok {
		v.Refuse("destination %.*q is not a prefix of image names: write HOST, HOST/ORGANIZATION or HOST/REPOSITORY, without a tag or a final /", maxText, text)
		return
	}
	s.Destinations = append(s.Destinations, prefix)
}

// parsePrefix returns a prefix in the form of the names that it is compared with: one without
// a host is Docker Hub's.
func parsePrefix(text string) (string, bool) {
	// Two more elements make it a name. With only one, docker.io/ORG would be an image in
	// docker.io/library.
	const below = "/x/x"
	if strings.ContainsAny(text, "@*") {
		return "", false
	}
	r, err := reference.Parse(text + below)
	return strings.TrimSuffix(r.Name(), below), err == nil
}

func (s *Settings) immutable(v strictyaml.Value) {
	text, ok := v.Text()
	if !ok {
		return
	}
	if r, err := reference.ParsePattern("host.example/x:" + text); err != nil || r.Tag != text {
		v.Refuse("immutable %.*q is not a tag or a pattern of tags: write one such as v1.2 or v*", maxText, text)
		return
	}
	s.Immutable = append(s.Immutable, text)
}

func (s *Settings) notify(v strictyaml.Value) {
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
