package wire

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imagemirror/internal/execute"
	"imagemirror/internal/fault"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/record"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// images pushes so many images to the source, ci/i0:v1 and so on, and returns the lines that
// mirror them.
func (p pair) images(t *testing.T, n int) (lines []string) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("i%d", i)
		push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000)))
		lines = append(lines, p.source.Host+"/ci/"+name+":v1 "+p.destination.Host+"/m/"+name+":v1")
	}
	return lines
}

// counted returns how many results of a plan have a status, and how many images it copies.
func counted(p *stream.Content, status string) (results, copies int) {
	for _, r := range p.Results {
		if r.Status == status {
			results++
		}
	}
	return results, len(p.Copies)
}

// split takes no pull that a set keeps in reserve. One HEAD tells what is left. What does not fit
// is deferred, with the time at which it does.
func TestPullsAreKeptInReserve(t *testing.T) {
	p := newPair(t)
	meter := registrytest.NewPullMeter(5, 21600)
	p.source.Inject(meter.Rule())
	lines := p.images(t, 6)
	p.reset()
	c := planned(t, setWith(t, "reserve: 2\n  referrers: {copy: none}", lines...))
	if deferred, copies := counted(c, stream.Deferred); deferred != 3 || copies != 3 || meter.Left() != 2 {
		t.Errorf("%d images are deferred and %d copied, with %d pulls left; want 3, 3 and 2", deferred, copies, meter.Left())
	}
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 1, "GET manifest": 3})
	soon := time.Now().Add(6 * time.Hour).UTC().Format("2006-01-02 15:")
	for _, r := range c.Results {
		if r.Allowed || !strings.HasPrefix(r.Note, p.source.Host+" allows 2 more pulls, and the set keeps 2 in reserve: it fits by "+soon) {
			t.Errorf("the result is %+v", r)
		}
	}
}

func TestPullsOfParts(t *testing.T) {
	for _, c := range []struct {
		name             string
		pulls, reserve   int
		deferred, copies int
	}{
		{"all fit", 10, 1, 0, 1},
		{"just", 4, 1, 0, 1},
		{"the last child does not fit", 3, 1, 1, 0},
		{"nothing fits", 1, 1, 1, 0},
		{"nothing is left", 0, 5, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t)
			push(t, p.source, "ci/x:v1", registrytest.NewPlatforms(registrytest.OCI, "x", 1000, []string{"amd64", "arm64"}))
			meter := registrytest.NewPullMeter(c.pulls, 60)
			p.source.Inject(meter.Rule())
			spec := fmt.Sprintf("reserve: %d\n  allowDeferred: true\n  referrers: {copy: none}", c.reserve)
			got := planned(t, setWith(t, spec, p.source.Host+"/ci/x:v1 "+p.destination.Host+"/m/x:v1"))
			if deferred, copies := counted(got, stream.Deferred); deferred != c.deferred || copies != c.copies {
				t.Errorf("%d images are deferred and %d copied", deferred, copies)
			}
			if left := meter.Left(); left < min(c.pulls, c.reserve) {
				t.Errorf("%d pulls are left", left)
			}
			for _, r := range got.Results {
				if r.Status == stream.Deferred && !r.Allowed {
					t.Errorf("the settings allow it, and the result is %+v", r)
				}
			}
		})
	}
}

// A registry that says only in its refusal that there are no more pulls is asked once. Without a
// reserve the image fails, as from any registry that asks for fewer requests.
func TestRefusedPulls(t *testing.T) {
	for spec, want := range map[string]struct {
		status   string
		requests map[string]int
	}{
		"reserve: 1":  {stream.Deferred, map[string]int{"HEAD manifest": 1, "GET manifest": 1}},
		"retries: 10": {stream.Failed, nil},
	} {
		p := newPair(t)
		lines := p.images(t, 1)
		p.reset()
		p.source.Inject(registrytest.FaultRule{Kind: "GET manifest", Fault: registrytest.TooManyRequests("21600")})
		config := settings()
		config.Retries = 1
		made, err := plan.Make(t.Context(), plan.Options{Client: client(t, config)}, setWith(t, spec, lines...))
		if err != nil {
			t.Fatal(err)
		}
		r := made.Results[0]
		if r.Status != want.status || r.Status == stream.Failed && r.Error.Kind != fault.Throttled {
			t.Errorf("%s: the result is %+v", spec, r)
		}
		if want.requests != nil {
			wantRequests(t, p.source, want.requests)
		}
	}
}

// A reserve changes nothing at a registry that does not count pulls but one HEAD.
func TestReserveWithoutAMeter(t *testing.T) {
	p := newPair(t)
	lines := p.images(t, 3)
	p.reset()
	c := planned(t, setWith(t, "reserve: 1000\n  referrers: {copy: none}", lines...))
	if deferred, copies := counted(c, stream.Deferred); deferred != 0 || copies != 3 {
		t.Errorf("%d images are deferred and %d copied", deferred, copies)
	}
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 1, "GET manifest": 3})
}

// An immutable tag that the record knows to be good costs no request, until it is to be checked
// again. What says that it may not be good costs what it costs without a record.
func TestImmutableTagsOfTheRecord(t *testing.T) {
	p := newPair(t)
	lines := p.images(t, 1)
	r := mirrorLines(t, lines...)
	name := p.destination.Host + "/m/i0:v1"
	digest := r.results[name].Digest
	known := func(change func(*record.Destination)) *record.Destination {
		d := &record.Destination{Name: name, Source: p.source.Host + "/ci/i0:v1", Digest: digest, LastGood: time.Now().Add(-time.Hour)}
		change(d)
		return d
	}
	for _, c := range []struct {
		name    string
		spec    string
		known   *record.Destination
		request bool
	}{
		{"lately", "immutable: [v*]", known(func(*record.Destination) {}), false},
		{"two days ago", "immutable: [v*]\n  recheck: 72h", known(func(d *record.Destination) { d.Checked = time.Now().Add(-48 * time.Hour) }), false},
		{"long ago", "immutable: [v*]", known(func(d *record.Destination) { d.Checked = time.Now().Add(-169 * time.Hour) }), true},
		{"in the future", "immutable: [v*]", known(func(d *record.Destination) { d.LastGood = time.Now().Add(time.Hour) }), true},
		{"of another source", "immutable: [v*]", known(func(d *record.Destination) { d.Source = "other.example.com/x:v1" }), true},
		{"that fails", "immutable: [v*]", known(func(d *record.Destination) { d.FailingSince = time.Now() }), true},
		{"that no mapping named", "immutable: [v*]", known(func(d *record.Destination) { d.Gone = time.Now().Add(-time.Minute) }), true},
		{"never good", "immutable: [v*]", known(func(d *record.Destination) { d.LastGood = time.Time{} }), true},
		{"without a digest", "immutable: [v*]", known(func(d *record.Destination) { d.Digest = "" }), true},
		{"of a tag that moves", "immutable: [release-*]", known(func(*record.Destination) {}), true},
		{"of nothing", "immutable: [v*]", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.reset()
			sets := setWith(t, c.spec, lines...)
			of := record.New(sets[0].Name)
			if c.known != nil {
				of.Destinations = []*record.Destination{c.known}
			}
			o := plan.Options{Client: client(t, settings()), Recall: func(context.Context, string) (*record.Record, error) { return of, nil }}
			made, err := plan.Make(t.Context(), o, sets)
			if err != nil {
				t.Fatal(err)
			}
			if r := made.Results[0]; r.Status != stream.Current || r.Digest != digest || r.Old != digest || r.Recorded == c.request {
				t.Errorf("the result is %+v", r)
			}
			if n := p.source.Stats().Total() + p.destination.Stats().Total(); (n > 0) != c.request {
				t.Errorf("there were %d requests", n)
			}
		})
	}
}

// A tag that was deleted while no mapping named it is copied again when one does, though the record
// knew it to be good.
func TestImmutableTagThatWasDeletedComesBack(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	lines := p.images(t, 2)
	s := newRecordedSet(t, p, lines...)
	both := setWith(t, "immutable: [v*]", lines...)[0]
	s.set = both
	s.mirror(t).allAre(t, stream.Copied)
	less := *both
	less.Mappings = less.Mappings[:1]
	s.set = &less
	s.mirror(t).allAre(t, stream.Current)
	to, err := client(t, settings()).Destination(t.Context(), parse(t, p.destination.backend+"/m/i1"), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Delete(t.Context(), "v1"); err != nil {
		t.Fatal(err)
	}
	s.set = both
	s.mirror(t).are(t, p.destination, map[string]string{"m/i0:v1": stream.Current, "m/i1:v1": stream.Copied})
	p.reset()
	s.mirror(t).allAre(t, stream.Current)
	if n := p.source.Stats().Total() + p.destination.Stats().Total(); n > 0 {
		t.Errorf("a quiet run sent %d requests", n)
	}
}

// A large image waits for the set's window, and a small one does not.
func TestWindow(t *testing.T) {
	p := newPair(t)
	lines := p.images(t, 1)
	push(t, p.source, "ci/large:v1", registrytest.NewImage(registrytest.OCI, "large", "amd64", registrytest.NewLayer("large", 5000)))
	lines = append(lines, p.source.Host+"/ci/large:v1 "+p.destination.Host+"/m/large:v1")
	hours := func(from, to time.Duration) string {
		now := time.Now().UTC()
		return now.Add(from).Format("15:04-") + now.Add(to).Format("15:04 UTC")
	}
	for name, c := range map[string]struct {
		hours            string
		deferred, copies int
	}{
		"closed": {hours(2*time.Hour, 3*time.Hour), 1, 1},
		"open":   {hours(-2*time.Hour, 2*time.Hour), 0, 2},
	} {
		got := planned(t, setWith(t, fmt.Sprintf("window: {hours: %q, above: 3k}", c.hours), lines...))
		if deferred, copies := counted(got, stream.Deferred); deferred != c.deferred || copies != c.copies {
			t.Errorf("%s: %d images are deferred and %d copied", name, deferred, copies)
		}
		for _, r := range got.Results {
			if !r.Allowed || !strings.Contains(r.Note, "waits for the window "+c.hours+", which begins in ") {
				t.Errorf("%s: the result is %+v", name, r)
			}
		}
	}
}

// A limit on the bandwidth holds, and a transfer that waits for it is not taken to be slow: it is
// not broken off, whatever the least rate of transfers is.
func TestBandwidth(t *testing.T) {
	timed(t, func(factor int) error { return copyLimited(t, factor) })
}

// copyLimited copies two layers at a limit that makes them wait for longer than a transfer may be
// slow. It returns what is wrong with how they arrived.
func copyLimited(t *testing.T, factor int) error {
	t.Helper()
	p := newPair(t)
	const size = 112 << 10
	for _, name := range []string{"a", "b"} {
		push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, size)))
	}
	config := settings()
	config.Stall, config.MinRate = seconds(factor), 1<<20
	made := split(t, config, p.source.Host+"/ci/a:v1 "+p.destination.Host+"/m/a:v1", p.source.Host+"/ci/b:v1 "+p.destination.Host+"/m/b:v1")
	p.reset()
	work, err := execute.Gather([]*stream.Content{made})
	if err != nil {
		t.Fatal(err)
	}
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), 2, 2*size)
	defer display.Close()
	limit := 128 << 10 / int64(factor)
	began := time.Now()
	results := work.Run(t.Context(), mirror.Options{Client: client(t, config), Observer: display, Grace: time.Second, Limit: limit})
	if least := time.Second * (2*size - 32<<10) / time.Duration(limit); time.Since(began) < least {
		t.Errorf("%d bytes took %s, want %s or more", 2*size, time.Since(began), least)
	}
	if gets := p.source.Stats().Requests["GET blob"]; gets != 4 { // two layers and two configs
		return fmt.Errorf("there were %d downloads, want 4", gets)
	}
	return run{results: resultsOf(t, results)}.differ(p.destination, map[string]string{"m/a:v1": stream.Copied, "m/b:v1": stream.Copied})
}

// Where pulls are counted, images are pulled one after the other. Of several that do not fit
// together, those that fit are copied, and no pulls are spent on parts of the others.
func TestPullsOfSeveralImages(t *testing.T) {
	for _, c := range []struct {
		name                      string
		pulls                     int
		platforms                 []int // of each image; 1 is no index
		deferred, copies, atLeast int
	}{
		{"one of three", 5, []int{3, 3, 3}, 2, 1, 1},
		{"small ones beside a large one", 5, []int{9, 1, 1}, 1, 2, 1},
		{"all", 13, []int{3, 3, 3}, 0, 3, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t)
			var lines []string
			for i, n := range c.platforms {
				name := fmt.Sprintf("x%d", i)
				var image remote.Taggable = registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000))
				if n > 1 {
					image = registrytest.NewPlatforms(registrytest.OCI, name, 1000, []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}[:n])
				}
				push(t, p.source, "ci/"+name+":v1", image)
				lines = append(lines, p.source.Host+"/ci/"+name+":v1 "+p.destination.Host+"/m/"+name+":v1")
			}
			meter := registrytest.NewPullMeter(c.pulls, 60)
			p.source.Inject(meter.Rule())
			got := planned(t, setWith(t, "reserve: 1\n  referrers: {copy: none}", lines...))
			if deferred, copies := counted(got, stream.Deferred); deferred != c.deferred || copies != c.copies {
				t.Errorf("%d images are deferred and %d copied: %+v", deferred, copies, got.Results)
			}
			if left := meter.Left(); left < c.atLeast {
				t.Errorf("%d pulls are left", left)
			}
		})
	}
}
