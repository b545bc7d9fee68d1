package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/stream"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A sheet builds the text of one stream.
type sheet struct {
	name   string // of the file that it was read from
	header stream.Header
	lines  []any
	ended  time.Time
	cut    bool
}

func (s *sheet) add(kind string, record any) {
	s.lines = append(s.lines, map[string]any{kind: record})
}

func (s *sheet) bytes(t testing.TB) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	s.header.Version = stream.Version
	all := append([]any{map[string]any{"header": s.header}}, s.lines...)
	if !s.cut {
		all = append(all, map[string]any{"end": stream.End{Records: len(s.lines), Ended: s.ended}})
	}
	for _, l := range all {
		if err := enc.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func digestOf(of string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(of))) }

// A world has the mappings of three image sets, as a run meets them.
type world struct {
	sets     []stream.Set
	mappings []stream.Mapping
}

func newWorld() *world {
	w := &world{sets: []stream.Set{
		{Name: "integreatly", Owners: []string{"david-martin", "laurafitzgerald"}},
		{Name: "knative", Owners: []string{"alanfx", "mgencur", "openshift-knative-team"}, Notify: []string{"@knative-release"}, FileLink: "https://github.com/org/repo/blob/main/{file}#L{line}", RunLink: "https://tekton.example/#/namespaces/mirror/pipelineruns/{run}"},
		{Name: "tekton", Owners: []string{"vdemeester"}},
	}}
	for i, name := range []string{"client", "kn-cli-artifacts", "knative-eventing-controller", "knative-eventing-webhook", "knative-serving-activator", "knative-serving-autoscaler-hpa", "knative-serving-queue"} {
		for j, v := range []string{"v1.15", "v1.16"} {
			w.mapping("knative", "mapping_knative_"+v, 2*i+3, "registry.ci.openshift.org/openshift/knative-"+v+":"+name, fmt.Sprintf("quay.io/openshift-knative/%s:%s.%d", name, v, j))
		}
	}
	for i := range 14 {
		name := fmt.Sprintf("3scale-operator-%d", i)
		w.mapping("integreatly", "mapping_integr8ly_operator_2_9", i+1, "registry.ci.openshift.org/integr8ly/"+name+":2.9", "quay.io/integreatly/"+name+":2.9")
	}
	w.mapping("tekton", "mapping_tekton_pipelines", 4, "registry.ci.openshift.org/tekton/controller:v0.60", "quay.io/openshift-pipeline/controller:v0.60")
	w.mapping("tekton", "mapping_tekton_pipelines", 5, "registry.ci.openshift.org/tekton/webhook@"+digestOf("webhook"), "quay.io/openshift-pipeline/webhook")
	w.mapping("tekton", "mapping_tekton_pipelines", 9, "registry.ci.openshift.org/tekton/entrypoint:v0.60", "quay.io/openshift-pipeline/entrypoint:v0.60")
	return w
}

func (w *world) mapping(set, file string, line int, source, destination string) {
	w.mappings = append(w.mappings, stream.Mapping{
		ID: len(w.mappings) + 1, Source: source, Destination: destination,
		Set: set, File: "image-sets/" + set + "/" + file, Line: line,
	})
}

// sheet begins a stream of the mappings from one ID to another.
func (w *world) sheet(kind, shard string, started time.Duration, from, to int) *sheet {
	s := &sheet{
		header: stream.Header{Stream: kind, Run: "2026-03-01T12:00:00Z-9f3a", Shard: shard, Mappings: to - from + 1, Started: noon.Add(started)},
		ended:  noon.Add(started + 71*time.Second),
	}
	if shard == "" {
		s.header.Warnings = []string{"image-sets/tekton/mapping_tekton_v0.40:1: the file has no mapping: nothing is mirrored for it"}
	}
	for _, set := range w.sets {
		s.add("set", set)
	}
	for _, m := range w.mappings[from-1 : to] {
		s.add("mapping", m)
	}
	return s
}

func move(id int, bytes int64) stream.Copy {
	c := stream.Copy{ID: id, Digest: digestOf(fmt.Sprint("new", id)), Bytes: bytes}
	if id%3 != 0 {
		c.Old = digestOf(fmt.Sprint("old", id))
	}
	return c
}

func done(id int, status string) stream.Result {
	c := move(id, int64(id)*23_456_789)
	r := stream.Result{ID: id, Status: status, Digest: c.Digest, Old: c.Old, Bytes: c.Bytes, Seconds: float64(id) / 4}
	if status == stream.Current {
		r.Old, r.Bytes, r.Seconds = r.Digest, 0, 0.041
	}
	return r
}

func failed(id int, e stream.Error) stream.Result {
	return stream.Result{ID: id, Status: stream.Failed, Seconds: 1.25, Time: noon.Add(time.Duration(id) * time.Second), Error: &e}
}

// dryRun returns the plan that split writes to a pipe.
func dryRun() *sheet {
	w := newWorld()
	s := w.sheet(stream.Plan, "", 0, 1, len(w.mappings))
	s.name = "plan.jsonl"
	s.ended = noon.Add(2300 * time.Millisecond)
	for _, m := range w.mappings {
		switch {
		case m.ID == 9:
			s.add("result", failed(m.ID, stream.Error{Kind: fault.Missing, Side: "source", Host: "registry.ci.openshift.org", Status: 404, Message: "MANIFEST_UNKNOWN: manifest unknown: tag=knative-serving-activator", Advice: "correct the tag, or remove the line"}))
		case m.ID == 30:
			c := move(m.ID, 1234)
			c.Attached = []stream.Attachment{
				{Kind: "signature", Digest: digestOf("sig")}, {Kind: "application/spdx+json", Digest: digestOf("sbom")},
				{Kind: "application/spdx+json", Error: &stream.Error{Kind: fault.Missing, Side: "source", Message: "reading manifest: HTTP 404 Not Found"}},
			}
			s.add("copy", c)
		case m.ID%5 == 0 || m.ID == 12:
			s.add("copy", move(m.ID, int64(m.ID*m.ID)*3_456_789))
		default:
			s.add("result", done(m.ID, stream.Current))
		}
	}
	return s
}

// wholeRun returns the streams of a run in which everything happens: mappings that split
// settled, a shard that finished with failures, one that was killed, and one that never
// started.
func wholeRun() []*sheet {
	w := newWorld()
	unauthorized := stream.Error{Kind: fault.Denied, Side: "destination", Host: "quay.io", Status: 401, Message: "UNAUTHORIZED: access to the requested resource is not authorized", Advice: "give the account for quay.io/integreatly the right to push"}
	settled := w.sheet(stream.Plan, "settled", 0, 1, 10)
	settled.ended = noon.Add(2 * time.Second)
	for id := 1; id <= 10; id++ {
		if id == 6 {
			settled.add("result", failed(id, stream.Error{Kind: fault.Missing, Side: "source", Host: "registry.ci.openshift.org", Status: 404, Message: "MANIFEST_UNKNOWN: manifest unknown: tag=knative-eventing-controller", Advice: "correct the tag, or remove the line"}))
		} else {
			settled.add("result", done(id, stream.Current))
		}
	}
	settled.name = "settled.jsonl"
	all := []*sheet{settled}
	for _, shard := range []struct {
		name     string
		from, to int
	}{{"a", 11, 28}, {"b", 29, 30}, {"c", 31, 31}} {
		plan := w.sheet(stream.Plan, shard.name, 0, shard.from, shard.to)
		plan.name = "plan-" + shard.name + ".jsonl"
		plan.ended = noon.Add(2 * time.Second)
		for id := shard.from; id <= shard.to; id++ {
			plan.add("copy", move(id, int64(id)*23_456_789))
		}
		all = append(all, plan)
	}
	a := w.sheet(stream.Results, "a", 12*time.Second, 11, 28)
	for id := 28; id >= 11; id-- {
		switch {
		case id > 16:
			a.add("result", failed(id, unauthorized))
		case id == 13:
			hidden := done(id, stream.Copied)
			hidden.Status, hidden.Public = stream.Failed, &stream.Public{Answer: stream.No}
			hidden.Error = &stream.Error{Kind: fault.Private, Side: "destination", Host: "quay.io", Status: 401, Message: "published, not public: make quay.io/openshift-knative/knative-serving-queue public: https://quay.io/repository/openshift-knative/knative-serving-queue?tab=settings", Advice: "open the page"}
			a.add("result", hidden)
		case id == 11:
			unknown := done(id, stream.Copied)
			unknown.Public = &stream.Public{Answer: stream.Unknown, Error: &stream.Error{Kind: fault.Throttled, Message: "HTTP 429 Too Many Requests"}}
			a.add("result", unknown)
		case id == 15:
			a.add("result", failed(id, stream.Error{Kind: fault.Unavailable, Side: "source", Host: "registry.ci.openshift.org", Message: `dial tcp: lookup registry.ci.openshift.org: no such host`, Advice: "check the registry's name, and that this machine reaches it"}))
		default:
			a.add("result", done(id, stream.Copied))
		}
	}
	a.name = "result-a.jsonl"
	b := w.sheet(stream.Results, "b", 12*time.Second, 29, 30)
	signed := done(29, stream.Copied)
	signed.Public = &stream.Public{Answer: stream.Yes}
	signed.Travelled = []stream.Travelled{{Kind: "attestation|<b>", Copied: 1}, {Kind: "signature", Copied: 2}}
	b.add("result", signed)
	b.cut = true
	b.name = "result-b.jsonl"
	return append(all, a, b)
}
