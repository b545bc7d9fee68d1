package foreign

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/settings"
	"imagemirror/internal/strictyaml"
)

// regsync reads regsync's configuration
// (https://github.com/regclient/regclient/blob/main/cmd/regsync/config.go). Keys that begin with
// x- are its users' own.
func (r *reader) regsync(v strictyaml.Value) {
	var defaults syncEntry
	var steps []strictyaml.Value
	known := readers{
		"version":  func(v strictyaml.Value) { v.Number(0, 1) },
		"creds":    func(v strictyaml.Value) { v.List(func(v strictyaml.Value) { creds.read(v, "creds") }) },
		"defaults": func(v strictyaml.Value) { defaults.readers("defaults").read(v, "defaults") },
		"sync":     func(v strictyaml.Value) { v.List(func(v strictyaml.Value) { steps = append(steps, v) }) },
	}
	v.Each(func(key string, v strictyaml.Value) {
		switch {
		case known[key] != nil:
			known[key](v)
		case !strings.HasPrefix(key, "x-"):
			unsaid(v, shown(key), "unknown here: what it asks for is not in the set")
		}
	})
	for _, v := range steps {
		s := syncEntry{}
		s.readers("sync").read(v, "sync")
		r.step(v, s.withDefaults(defaults))
	}
}

// creds has the keys of regsync's registries.
var creds = readers{
	"registry": func(strictyaml.Value) {},
	"tls": func(v strictyaml.Value) {
		if word, ok := v.Word(); ok && word != "enabled" {
			unsaid(v, "creds.tls", belongsRegistries)
		}
	},
	"regcert":       elsewhere("creds.regcert", belongsCA),
	"user":          elsewhere("creds.user", belongsCredentials),
	"pass":          elsewhere("creds.pass", belongsCredentials),
	"token":         elsewhere("creds.token", belongsCredentials),
	"clientCert":    elsewhere("creds.clientCert", belongsCredentials),
	"clientKey":     elsewhere("creds.clientKey", belongsCredentials),
	"credHelper":    elsewhere("creds.credHelper", belongsCredentials),
	"credExpire":    elsewhere("creds.credExpire", belongsCredentials),
	"credHost":      elsewhere("creds.credHost", belongsCredentials),
	"repoAuth":      elsewhere("creds.repoAuth", notNeeded),
	"hostname":      elsewhere("creds.hostname", belongsRegistries),
	"pathPrefix":    elsewhere("creds.pathPrefix", belongsRegistries),
	"mirrors":       elsewhere("creds.mirrors", belongsRegistries),
	"priority":      elsewhere("creds.priority", belongsRegistries),
	"scheme":        elsewhere("creds.scheme", belongsRegistries),
	"api":           elsewhere("creds.api", notNeeded),
	"apiOpts":       elsewhere("creds.apiOpts", notNeeded),
	"blobChunk":     elsewhere("creds.blobChunk", notNeeded),
	"blobMax":       elsewhere("creds.blobMax", notNeeded),
	"reqPerSec":     elsewhere("creds.reqPerSec", "limits are not for single registries: write spec.rate, which is for each registry of the set"),
	"reqConcurrent": elsewhere("creds.reqConcurrent", "limits are not for single registries: write spec.cap, which is for each registry of the set"),
}

// A syncEntry is an entry of sync, or the defaults of all. Keys that are missing have the zero
// value.
type syncEntry struct {
	source, target, kind   string
	sourceLine, targetLine strictyaml.Value
	sets                   []strictyaml.Value // of tags
	options                Options
	digestTags, referrers  *bool
	fastCheck              *bool
	types                  *string
}

func (s *syncEntry) readers(name string) readers {
	flag := func(to **bool) func(strictyaml.Value) {
		return func(v strictyaml.Value) { b := v.Bool(); *to = &b }
	}
	word := func(to *string) func(strictyaml.Value) {
		return func(v strictyaml.Value) { *to, _ = v.Word() }
	}
	return readers{
		"source":          func(v strictyaml.Value) { s.sourceLine = v; word(&s.source)(v) },
		"target":          func(v strictyaml.Value) { s.targetLine = v; word(&s.target)(v) },
		"type":            word(&s.kind),
		"tags":            func(v strictyaml.Value) { s.sets = append(s.sets, v) },
		"tagSets":         func(v strictyaml.Value) { v.List(func(v strictyaml.Value) { s.sets = append(s.sets, v) }) },
		"repos":           elsewhere(name+".repos", "a registry is not listed: write an entry of type repository for each repository"),
		"backup":          func(v strictyaml.Value) { s.backup(v, name) },
		"interval":        func(v strictyaml.Value) { s.options.Interval = v.Duration(time.Second, 31*24*time.Hour) },
		"schedule":        func(v strictyaml.Value) { s.schedule(v, name) },
		"ratelimit":       func(v strictyaml.Value) { s.ratelimit(name).read(v, name+".ratelimit") },
		"platform":        func(v strictyaml.Value) { s.platform(v, name) },
		"platforms":       func(v strictyaml.Value) { s.options.Platforms = strings.Join(texts(v), ",") },
		"digestTags":      flag(&s.digestTags),
		"referrers":       flag(&s.referrers),
		"referrerFilters": func(v strictyaml.Value) { s.filters(v, name) },
		"referrerSource":  elsewhere(name+".referrerSource", "referrers are looked for in the source's own repository"),
		"referrerTarget":  elsewhere(name+".referrerTarget", "referrers go into the destination's own repository"),
		"referrerSlow":    elsewhere(name+".referrerSlow", notNeeded),
		"fastCheck":       flag(&s.fastCheck),
		"forceRecursive":  elsewhere(name+".forceRecursive", "an image that is current is not copied again"),
		"includeExternal": elsewhere(name+".includeExternal", "layers at other hosts stay where their URLs lead"),
		"mediaTypes":      elsewhere(name+".mediaTypes", "images of every media type are mirrored"),
		"hooks":           elsewhere(name+".hooks", "a run starts no other program: see notifications (docs/how-to/notifications.md) and report.json"),
		"parallel":        elsewhere(name+".parallel", "settings limit requests in flight: write spec.cap"),
		"cacheCount":      elsewhere(name+".cacheCount", notNeeded),
		"cacheTime":       elsewhere(name+".cacheTime", notNeeded),
		"blobLimit":       elsewhere(name+".blobLimit", notNeeded),
		"userAgent":       elsewhere(name+".userAgent", notNeeded),
		"skipDockerConfig": elsewhere(name+".skipDockerConfig",
			"variables name the files with credentials (docs/reference/credentials.md)"),
	}
}

func (s *syncEntry) ratelimit(name string) readers {
	return readers{
		"min":   func(v strictyaml.Value) { s.options.Reserve = v.Number(0, 1<<30) },
		"retry": elsewhere(name+".ratelimit.retry", "what does not fit waits for a later run, by the schedule"),
	}
}

func (s *syncEntry) backup(v strictyaml.Value, name string) {
	word, ok := v.Word()
	if !ok {
		return
	}
	keep, err := keepTemplate(word)
	if err != nil {
		unsaid(v, name+".backup", "%w", err)
	}
	s.options.Keep = keep
}

func (s *syncEntry) schedule(v strictyaml.Value, name string) {
	word, ok := v.Word()
	if !ok {
		return
	}
	if err := settings.CheckSchedule(word); err != nil {
		unsaid(v, name+".schedule", "%w", err)
		return
	}
	s.options.Schedule = word
}

func (s *syncEntry) platform(v strictyaml.Value, name string) {
	word, ok := v.Word()
	switch {
	case !ok:
	case word == "local":
		unsaid(v, name+".platform", "runs are the same on every machine: write a platform, such as linux/amd64")
	default:
		s.options.Platforms, s.options.Flatten = word, true
	}
}

// filters reads which referrers travel.
func (s *syncEntry) filters(v strictyaml.Value, name string) {
	var types []string
	v.List(func(v strictyaml.Value) {
		readers{
			"artifactType": func(v strictyaml.Value) {
				if word, ok := v.Word(); ok {
					types = append(types, word)
				}
			},
			"annotations": elsewhere(name+".referrerFilters.annotations", "referrers are chosen by their artifact type only"),
		}.read(v, name+".referrerFilters")
	})
	joined := strings.Join(types, ",")
	s.types = &joined
}

// withDefaults returns the entry with what it leaves out.
func (s syncEntry) withDefaults(d syncEntry) syncEntry {
	o := &s.options
	if o.Schedule == "" && o.Interval == 0 {
		o.Schedule, o.Interval = d.options.Schedule, d.options.Interval
	}
	if o.Schedule != "" {
		o.Interval = 0
	}
	o.Keep = cmp.Or(o.Keep, d.options.Keep)
	o.Reserve = cmp.Or(o.Reserve, d.options.Reserve)
	if s.types = cmp.Or(s.types, d.types); s.types != nil {
		o.Types = *s.types
	}
	s.digestTags, s.referrers = cmp.Or(s.digestTags, d.digestTags), cmp.Or(s.referrers, d.referrers)
	travel := isTrue(s.digestTags) || isTrue(s.referrers)
	switch {
	case travel && isTrue(cmp.Or(s.fastCheck, d.fastCheck)):
		o.Referrers = "copied"
	case travel:
		o.Referrers = "always"
	case s.digestTags != nil || s.referrers != nil:
		o.Referrers = "none"
	}
	if !travel {
		o.Types = ""
	}
	return s
}

func isTrue(b *bool) bool { return b != nil && *b }

// step adds the Entry that an entry of sync stands for.
func (r *reader) step(v strictyaml.Value, s syncEntry) {
	source, target, err := s.names()
	if err != nil {
		unsaid(v, "sync", "the entry is left out: %w", err)
		return
	}
	e := Entry{Options: s.options}
	switch s.kind {
	case "image":
		e.Source, e.Destinations, err = parsePair(source, target)
	case "repository":
		e.Source, e.Destinations, err = s.wildcard(source, target)
		if err == nil {
			e.Select, err = s.selection()
		}
	case "registry":
		err = errors.New("a registry is not listed: write an entry of type repository for each repository")
	default:
		v.Refuse("type is %s: write image, repository or registry", quotedName(s.kind))
		return
	}
	if err != nil {
		unsaid(v, "sync", "the entry is left out: %w", err)
		return
	}
	r.add(v, e)
}

// names returns the source and the target, expanded.
func (s *syncEntry) names() (source, target string, err error) {
	if s.source == "" || s.target == "" {
		return "", "", errors.New("source or target is missing")
	}
	data := stepData{Source: s.source, Target: s.target, Type: s.kind}
	if source, err = expand(s.source, data); err != nil {
		return "", "", err
	}
	data.Source = source
	target, err = expand(s.target, data)
	return source, target, err
}

// parsePair reads the source and the destination of one image.
func parsePair(source, target string) (reference.Reference, []reference.Reference, error) {
	src, err := parseImage(source)
	if err != nil {
		return src, nil, err
	}
	dst, err := parseImage(target)
	if err == nil && dst.Digest != "" {
		err = errors.New("the target has a digest: write a tag")
	}
	return src, []reference.Reference{dst}, err
}

// parseImage reads the name of an image. One without a tag means latest.
func parseImage(name string) (reference.Reference, error) {
	if strings.HasPrefix(name, "ocidir://") || strings.HasPrefix(name, "ocifile://") {
		return reference.Reference{}, errors.New("images are copied between registries only")
	}
	r, err := parseName(name)
	if err == nil && r.Identifier() == "" {
		r = r.WithTag("latest")
	}
	return r, err
}

func (s *syncEntry) wildcard(source, target string) (reference.Reference, []reference.Reference, error) {
	src, err := parseRepository(source)
	if err != nil {
		return src, nil, err
	}
	dst, err := parseRepository(target)
	return src.WithTag(everyTag), []reference.Reference{dst}, err
}

// selection returns what the tags and tagSets of an entry select together, or nil for all tags.
func (s *syncEntry) selection() (all *TagFilter, err error) {
	var sets []*TagFilter
	for _, v := range s.sets {
		one, err := tagSet(v)
		if err != nil {
			return nil, err
		}
		if one != nil {
			sets = append(sets, one)
		}
	}
	for i, one := range sets {
		var ok bool
		if i == 0 {
			all = one
		} else if all, ok = Join(all, one); !ok {
			return nil, errors.New("its sets of tags differ in what they deny or in their versions: write them as entries for different targets")
		}
	}
	return all, nil
}

// tagSet reads one set of tags. It returns nil for one without any condition.
func tagSet(v strictyaml.Value) (*TagFilter, error) {
	var allow, deny, ranges []string
	readers{
		"allow":       func(v strictyaml.Value) { allow = texts(v) },
		"deny":        func(v strictyaml.Value) { deny = texts(v) },
		"semverRange": func(v strictyaml.Value) { ranges = texts(v) },
	}.read(v, "tags")
	if len(allow)+len(deny)+len(ranges) == 0 {
		return nil, nil
	}
	var s TagFilter
	var err error
	if s.Include, err = expressions(allow, between); err != nil {
		return nil, err
	}
	if s.Exclude, err = expressions(deny, between); err != nil {
		return nil, err
	}
	for i, text := range ranges {
		if ranges[i], err = versionRange(text); err != nil {
			return nil, err
		}
	}
	s.Semver, s.Prereleases = strings.Join(ranges, " || "), len(ranges) > 0
	return &s, nil
}
