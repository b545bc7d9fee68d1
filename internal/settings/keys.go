package settings

import (
	"time"

	"imagemirror/internal/bounds"
	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
)

// Object reads a file in the form of a Kubernetes object, which declares a kind of APIVersion.
func Object(v strictyaml.Value, kind string, metadata, spec func(strictyaml.Value)) {
	var hasVersion, hasKind bool
	v.Keys(
		strictyaml.Key{Name: "apiVersion", Read: func(v strictyaml.Value) { hasVersion = true; is(v, APIVersion) }},
		strictyaml.Key{Name: "kind", Read: func(v strictyaml.Value) { hasKind = true; is(v, kind) }},
		strictyaml.Key{Name: "metadata", Read: metadata},
		strictyaml.Key{Name: "spec", Read: spec},
	)
	if !hasVersion {
		v.Refuse("apiVersion is missing: write apiVersion: %s", APIVersion)
	}
	if !hasKind {
		v.Refuse("kind is missing: write kind: %s", kind)
	}
}

// object reads the file as a whole.
func (s *Settings) object(v strictyaml.Value) {
	Object(v, Kind, s.metadata, s.spec)
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
	var platforms strictyaml.Value
	keys := []strictyaml.Key{
		{Name: "schedule", Read: s.schedule},
		{Name: "sources", Read: func(v strictyaml.Value) { s.Sources.Read(v, "source") }},
		{Name: "destinations", Read: func(v strictyaml.Value) { s.Destinations.Read(v, "destination") }},
		{Name: "immutable", Read: func(v strictyaml.Value) { v.List(s.immutable) }},
		{Name: "shards", Read: number(&s.Shards, 1, bounds.Shards)},
		{Name: "cap", Read: number(&s.Cap, bounds.Share, bounds.Concurrency)},
		{Name: "rate", Read: number(&s.Rate, 1, bounds.Rate)},
		{Name: "retries", Read: number(&s.Retries, 1, bounds.Retries)},
		{Name: "timeout", Read: duration(&s.Timeout, MinTimeout, MaxTimeout)},
		{Name: "notify", Read: func(v strictyaml.Value) { v.List(s.notify) }},
		{Name: "remind", Read: duration(&s.Remind, MinRemind, maxRemind)},
		{Name: "stale", Read: duration(&s.Stale, time.Hour, maxStale)},
		{Name: "referrers", Read: s.referrers},
		{Name: "tags", Read: func(v strictyaml.Value) { v.List(s.tags) }},
		{Name: "keep", Read: s.keep},
		{Name: "select", Read: s.selectRules},
		{Name: "public", Read: s.public},
		{Name: "platforms", Read: func(v strictyaml.Value) { platforms = v; s.readPlatforms(v) }},
		{Name: "reserve", Read: number(&s.Reserve, 1, maxReserve)},
		{Name: "allowDeferred", Read: func(v strictyaml.Value) { s.AllowDeferred = v.Bool() }},
		{Name: "recheck", Read: duration(&s.Recheck, time.Minute, maxRecheck)},
		{Name: "window", Read: s.window},
		{Name: "bandwidth", Read: func(v strictyaml.Value) { s.Bandwidth = bytes(v) }},
		{Name: "verify", Read: func(v strictyaml.Value) { s.Verify = ReadVerifyRules(v, false) }},
		{Name: "prune", Read: s.prune},
		{Name: "history", Read: s.history},
	}
	s.Lines = map[string]int{}
	for i, k := range keys {
		keys[i].Read = func(v strictyaml.Value) { s.Lines[k.Name] = v.Line(); k.Read(v) }
	}
	v.Keys(keys...)
	s.checkPlatforms(platforms)
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
