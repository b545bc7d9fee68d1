package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagemirror/internal/state"
	"imagemirror/internal/stream"
)

// planned returns a part of a plan of one mapping, which has to be copied if it has a shard.
func planned(shard string, id int) *stream.Content {
	destination := "quay.io/org/a:" + string(rune('a'+id))
	c := &stream.Content{
		Header:   stream.Header{Stream: stream.Plan, Run: "r", Shard: shard, Mappings: 1},
		Mappings: []stream.Mapping{{ID: id, Source: "ci.example.com/a:v1", Destination: destination, File: "mapping_a", Line: id}},
	}
	if shard == "" {
		c.Results = []stream.Result{{ID: id, Status: stream.Current, Digest: "sha256:" + strings.Repeat("ab", 32)}}
	} else {
		c.Copies = []stream.Copy{{ID: id, Digest: "sha256:" + strings.Repeat("cd", 32)}}
	}
	return c
}

// copied returns the results of a shard, in which the mapping with the ID was copied.
func copied(plan *stream.Content, edit func(*stream.Content)) *stream.Content {
	c := *plan
	c.Header.Stream, c.Copies = stream.Results, nil
	c.Results = []stream.Result{{ID: c.Mappings[0].ID, Status: stream.Copied, Digest: "sha256:" + strings.Repeat("cd", 32)}}
	edit(&c)
	return &c
}

// A run is green only if nothing in its state contradicts that.
func TestReportOfAStateAgreesOrIsRed(t *testing.T) {
	same := func(*stream.Content) {}
	for _, c := range []struct {
		name   string
		config config
		tamper func(t *testing.T, run *state.Run, dir string) error
		says   string // the verdict; "" is green
		names  string // in report.json
	}{
		{name: "all is well"},
		{name: "split is known to be well", config: config{SplitStatus: "Succeeded"}},
		{name: "split failed", config: config{SplitStatus: "Failed", SplitReason: "TaskRunTimeout"}, says: "split did not succeed (TaskRunTimeout)", names: `"problems":["split did not succeed (TaskRunTimeout)"]`},
		{name: "split never ran", config: config{SplitStatus: "None"}, says: "split did not succeed (None)"},
		{
			name: "split refused", says: "split: no such file",
			tamper: func(t *testing.T, run *state.Run, _ string) error {
				return run.Refuse(t.Context(), errors.New("no such file"))
			},
		},
		{
			name: "a second attempt with an extra mapping", says: "results-s0-2 of the run r has the mapping 9 from",
			tamper: func(t *testing.T, run *state.Run, _ string) error {
				return run.PutResults(t.Context(), "s0", copied(planned("s0", 2), func(c *stream.Content) {
					c.Header.Mappings, c.Mappings = 2, append(c.Mappings, stream.Mapping{ID: 9, Source: "ci.example.com/a:v1", Destination: "quay.io/org/evil:x"})
				}))
			},
			names: `"mappings":3,"copied":2,"current":1,"failed":0`,
		},
		{
			name: "a second attempt over a settled mapping", says: "results-s0-2 of the run r has the mapping 1 from",
			tamper: func(t *testing.T, run *state.Run, _ string) error {
				return run.PutResults(t.Context(), "s0", copied(planned("s0", 1), same))
			},
		},
		{
			name: "a second attempt at another digest", says: "1 of 3 mappings failed",
			tamper: func(t *testing.T, run *state.Run, _ string) error {
				return run.PutResults(t.Context(), "s0", copied(planned("s0", 2), func(c *stream.Content) { c.Results[0].Digest = "sha256:" + strings.Repeat("ef", 32) }))
			},
			names: `"error":"the result is of digest sha256:` + strings.Repeat("ef", 32) + `, the plan says sha256:` + strings.Repeat("cd", 32),
		},
		{
			name: "a second attempt without a digest", says: "1 of 3 mappings failed",
			tamper: func(t *testing.T, run *state.Run, _ string) error {
				return run.PutResults(t.Context(), "s0", copied(planned("s0", 2), func(c *stream.Content) { c.Results[0].Digest = "" }))
			},
			names: `"error":"the result has no digest, the plan says sha256:` + strings.Repeat("cd", 32),
		},
		{
			name: "another plan", says: "shard-s1 of the run r is not what the plan lists: it is from another run",
			tamper: func(_ *testing.T, _ *state.Run, dir string) error {
				return replace(filepath.Join(dir, "shard-s1"), "mapping_a", "mapping_b")
			},
		},
		{
			name: "a shard that is damaged", says: "shard-s1 of the run r:1: the first record is not a header",
			tamper: func(_ *testing.T, _ *state.Run, dir string) error {
				return os.WriteFile(filepath.Join(dir, "shard-s1"), []byte("garbage\n"), 0o600)
			},
		},
		{
			name: "another settled part", says: "settled of the run r is not what the plan lists: it is from another run",
			tamper: func(_ *testing.T, _ *state.Run, dir string) error {
				return replace(filepath.Join(dir, "settled"), "mapping_a", "mapping_b")
			},
		},
		{
			name: "a plan that split did not put", says: "plan of the run r was not written by the split that began the run",
			tamper: func(_ *testing.T, _ *state.Run, dir string) error { return os.Remove(filepath.Join(dir, "begun")) },
		},
		{
			name: "null shards", says: "plan of the run r:1: the stream has version 0",
			tamper: func(_ *testing.T, _ *state.Run, dir string) error {
				return os.WriteFile(filepath.Join(dir, "plan"), []byte(`{"shards":[null]}`+"\n"), 0o600)
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			place := state.Location{State: t.TempDir(), Run: "r", Attempts: 3}
			run, err := place.Open()
			if err != nil {
				t.Fatal(err)
			}
			s0, s1 := planned("s0", 2), planned("s1", 3)
			err = errors.Join(run.Begin(t.Context()), run.PutPlan(t.Context(), []*stream.Content{planned("", 1), s0, s1}, false),
				run.PutResults(t.Context(), "s0", copied(s0, same)), run.PutResults(t.Context(), "s1", copied(s1, same)))
			if err == nil && c.tamper != nil {
				err = c.tamper(t, run, filepath.Join(place.State, "r"))
			}
			if err != nil {
				t.Fatal(err)
			}
			c.config.Location = place
			checkRed(t, c.config, c.says, c.names)
		})
	}
}

// checkRed reports on a state, and compares the verdict and a part of report.json.
func checkRed(t *testing.T, c config, says, names string) {
	t.Helper()
	var table bytes.Buffer
	c.stdout, c.out = &table, t.TempDir()
	err := c.run(t.Context(), nil)
	if (err == nil) != (says == "") || err != nil && !strings.HasPrefix(err.Error(), says) {
		t.Errorf("got  %v\nwant %s", err, says)
	}
	content, err := os.ReadFile(filepath.Join(c.out, "report.json"))
	if names != "" && (err != nil || !strings.Contains(string(content), names) || !json.Valid(content)) {
		t.Errorf("report.json does not have %s, %v:\n%s", names, err, content)
	}
}

func replace(file, old, with string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, bytes.Replace(content, []byte(old), []byte(with), 1), 0o600)
}
