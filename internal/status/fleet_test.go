package status

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/record"
	"imagemirror/internal/report"
)

// now is the moment of all tests: a Sunday.
var now = time.Date(2026, 11, 29, 15, 4, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// digestOf returns a digest that differs from number to number.
func digestOf(n int) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte{byte(n), byte(n >> 8), byte(n >> 16)}))
}

// goodSet returns the record of a set with so many destinations, whose runs were all good.
func goodSet(name string, destinations, runs, moves int) *record.Record {
	r := &record.Record{
		Version: record.Version, Set: name, Schedule: fmt.Sprintf("%d * * * *", 7+len(name)), Updated: ago(time.Hour),
		Owners: []string{"ada", "grace-of-" + name},
	}
	for i := range runs {
		start := now.Truncate(time.Hour).Add(-time.Duration(runs-i) * time.Hour).Add(time.Duration(7+len(name)) * time.Minute)
		run := &record.Run{
			ID: fmt.Sprintf("mirror-%s-%05x", name, i), Trigger: "cron", Program: "v0.4.1", Start: start,
			End: start.Add(time.Duration(30+(i*37)%400) * time.Second), Verdict: record.Good, Mappings: destinations, Current: destinations - i%3,
			Copied: i % 3, Bytes: int64(i%3) * 48_123_456,
		}
		for _, host := range []string{"quay.io", "registry.ci.openshift.org"} {
			run.Registries = append(run.Registries, &record.Traffic{Host: host, Requests: int64(destinations + i), Retries: int64(i % 2), Bytes: run.Bytes})
		}
		r.Runs = append(r.Runs, run)
	}
	for i := range destinations {
		d := &record.Destination{
			Name:   fmt.Sprintf("quay.io/openshift-%s/component-%d:v1.%d", name, i/4, i%4),
			Source: fmt.Sprintf("registry.ci.openshift.org/%s/component-%d:v1.%d", name, i/4, i%4),
			File:   "image-sets/" + name + "/mapping_" + name + "_v1", Line: i + 1,
			URL: fmt.Sprintf("https://git.example/blob/main/image-sets/%s/mapping_%s_v1#L%d", name, name, i+1), LastGood: ago(53 * time.Minute),
		}
		if runs > 0 {
			d.Run = r.Runs[runs-1].ID
		}
		for m := range moves {
			move := &record.Move{Digest: digestOf(i*31 + m), When: ago(time.Duration(moves-m) * 26 * time.Hour)}
			if runs > 0 {
				move.Run = r.Runs[max(0, runs-1-m)].ID
			}
			d.Moves = append(d.Moves, move)
			d.Digest, d.Since = move.Digest, move.When
		}
		r.Destinations = append(r.Destinations, d)
	}
	slices.SortFunc(r.Destinations, func(a, b *record.Destination) int { return cmp.Compare(a.Name, b.Name) })
	return r
}

// fail makes the first n destinations of a set fail for a cause, for so long.
func fail(r *record.Record, c record.Cause, n int, since time.Duration) *record.Record {
	c.Count, c.First, c.Last = n, ago(since), ago(53*time.Minute)
	r.Causes = append(r.Causes, &c)
	left := n
	for _, d := range r.Destinations {
		if left > 0 && d.Cause == "" {
			left--
			d.Cause, d.Error, d.FailingSince, d.LastGood = c.Key, c.Message, ago(since), ago(since+time.Hour)
		}
	}
	for _, run := range r.Runs {
		if run.End.After(c.First) {
			run.Verdict, run.Failed, run.Current, run.Copied = record.Failed, run.Failed+n, run.Mappings-run.Failed-n, 0
			run.Reason = fmt.Sprintf("%d of %d mappings failed", run.Failed, run.Mappings)
		}
	}
	return r
}

var (
	expired = record.Cause{
		Key: "destination/quay.io/credentials", Kind: "credentials", Side: "destination", Host: "quay.io",
		Message: "writing manifest quay.io/openshift-tekton/component-0:v1.0: HTTP 401: Invalid Username or Password",
		Advice:  "make a new robot token, and replace the secret push-NAME with it",
	}
	missing = record.Cause{
		Key: "source/registry.ci.openshift.org/missing", Kind: "missing", Side: "source", Host: "registry.ci.openshift.org",
		Message: "reading manifest registry.ci.openshift.org/console-plugins/component-2:v1.1: HTTP 404: manifest unknown", Advice: "check the tags in the mapping file",
	}
)

// fleet returns sets in all states, as operators see them.
func fleet() []*record.Record {
	all := []*record.Record{
		goodSet("knative", 148, 200, 6),
		fail(goodSet("tekton", 64, 120, 4), expired, 64, 7*time.Hour),
		fail(fail(goodSet("console-plugins", 37, 200, 3), expired, 9, 6*time.Hour), missing, 2, 50*time.Hour),
		goodSet("gitops", 22, 40, 2), goodSet("pipelines-as-code", 12, 30, 2), goodSet("serverless-operator", 420, 200, 5),
		goodSet("ocp-release", 51, 200, 3), goodSet("toolbox", 3, 9, 1),
	}
	all[4].Destinations[0].Platforms, all[4].Destinations[0].Rewritten = []string{"linux/amd64", "linux/arm64"}, "sha256:"+strings.Repeat("6", 64)
	for i, d := range all[3].Destinations[:2] {
		d.Hold = record.NewHold(d.Digest, ago(3*time.Hour), "ada", []string{"", "v1 crashes on arm64: <b>ISSUE-7</b>"}[i])
		d.Hold.Source = "sha256:" + strings.Repeat("5", 64)
		d.Moves[len(d.Moves)-1].Run = record.RollbackID + "20261129T120405Z-x7k2p"
		d.Referrers, d.Public = []report.ReferrerCount{{Kind: "sbom", Count: 2}, {Kind: "signature", Count: 1}}, ago(2*time.Hour)
	}
	idle := goodSet("nightly-builds", 18, 60, 2)
	for _, run := range idle.Runs {
		run.Start, run.End = run.Start.Add(-72*time.Hour), run.End.Add(-72*time.Hour)
	}
	refused := goodSet("payments", 7, 25, 2)
	last := refused.LastRun()
	last.Verdict, last.Reason = record.NoPlan, "nothing was mirrored: split: mapping_payments_v2:3: the destination has a digest: write a tag"
	fresh := &record.Record{Version: record.Version, Set: "brand-new", Owners: []string{"linus"}, Schedule: "0 4 * * 1"}
	all[2].StaleSeconds = 36 * 3600
	all[2].Selections = []*record.Selection{
		{Source: "registry.ci.openshift.org/console-plugins/component-1:v1.*", File: "image-sets/console-plugins/mapping_console_plugins", Line: 3, Rule: "image-sets/console-plugins/settings.yaml:12",
			Listed: 412, Selected: 3, Attrition: "412 tags, 40 match the pattern, 31 after exclude, 12 after semver, 3 newest: v1.10.2, v1.10.1, v1.9.7"},
		{Source: "registry.ci.openshift.org/console-plugins/component-2:*", File: "image-sets/console-plugins/mapping_console_plugins", Line: 4, Rule: "image-sets/console-plugins/settings.yaml:16",
			Listed: 3, Selected: 2, Minimum: 5, Attrition: "3 tags, 2 after include: v1.1, v1.0"},
	}
	return append(all, idle, refused, fresh)
}

// large returns 200 sets that have 5,000 destinations, most of them in one, and all the history
// that records hold.
func large() []*record.Record {
	all := []*record.Record{fail(goodSet("large", 4005, record.MaxRuns, record.MaxMoves), expired, 700, 5*time.Hour)}
	for i := range 199 {
		r := goodSet(fmt.Sprintf("set-%03d", i), 5, record.MaxRuns, record.MaxMoves)
		if i%10 == 3 {
			fail(r, missing, 2, 30*time.Hour)
		}
		all = append(all, r)
	}
	return all
}

// Attacks are texts that would do something if they were not escaped for the place that shows them.
var attacks = []string{
	`<script>pwned=1</script>`, `"><img src=x onerror=pwned=1>`, `' onmouseover='pwned=1`, `</title><script>pwned=1</script>`,
	`</style><style>*{display:none}</style>`, `javascript:pwned=1`, `]]><svg onload=pwned=1>`, "{{.}}<!--", "\x00\x1b[31m\u202eevil\r\n",
	`https://evil.example/x.png`, `<a href="javascript:pwned=1">x</a>`, `<meta http-equiv=refresh content="0;url=https://evil.example">`,
	`../../../../etc/passwd`, `//evil.example/`, `&lt;script&gt;`, strings.Repeat("W", 700), `<base href=https://evil.example>`,
	`https://evil.example/` + strings.Repeat("w", 700),
}

// hostile returns records that have an attack in each of their texts.
func hostile() []*record.Record {
	var all []*record.Record
	for i, attack := range attacks {
		r := goodSet("x", 3, 4, 2)
		r.Set, r.Schedule, r.Owners = attack, attack, []string{attack, attacks[(i+1)%len(attacks)]}
		c := record.Cause{Key: attack, Kind: attack, Side: attack, Host: attack, Message: attack, Advice: attack}
		fail(r, c, 2, 3*time.Hour)
		r.Selections = []*record.Selection{{Source: attack, File: attack, Rule: attack, Attrition: attack}}
		for n, d := range r.Destinations {
			d.Name, d.Source, d.File, d.URL, d.Digest, d.Run = fmt.Sprint(attack, n), attack, attack, attack, attack, attack
			d.Error += attack
			d.Hold = &record.Hold{Digest: attack, By: attack, Why: attack}
			d.Platforms, d.Rewritten = []string{attack, attack}, attack
			d.Referrers, d.Public = []report.ReferrerCount{{Kind: attack, Count: 2, Digests: []string{attack}}}, now
			for _, m := range d.Moves {
				m.Digest, m.Run = attack, attack
			}
		}
		for n, run := range r.Runs {
			run.ID, run.URL, run.Trigger, run.Program, run.Reason = attack, attack, attack, attack, attack
			if n == 1 {
				run.Verdict = record.Verdict(attack)
			}
			for _, host := range run.Registries {
				host.Host = attack
			}
		}
		all = append(all, r)
	}
	return all
}

// A fixed source always sees the same, or an error.
type fixed struct {
	look Look
	err  error
}

func (f *fixed) Look(context.Context) (Look, error) { return f.look, f.err }
