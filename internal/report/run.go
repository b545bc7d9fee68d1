package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"imagemirror/internal/link"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// A Run is the run that a report is about.
type Run struct {
	// ID is the name of the PipelineRun, or the name that split gave the run, such as
	// 20261129T145700Z-4f9a1c2e, which sorts by time. It is "" if there is no plan and no
	// PipelineRun, and that of the run which started last if there are several.
	ID      string    `json:"id"`
	Start   time.Time `json:"start,omitzero"` // of split
	End     time.Time `json:"end,omitzero"`   // of the last command
	Version string    `json:"version"`        // of the program that reports
	Trigger string    `json:"trigger"`        // one of Triggers
	Set     string    `json:"set,omitempty"`  // if the run is of one image set
	URL     string    `json:"url,omitempty"`  // of a page about the run, by the operator's policy
}

// Triggers are what starts runs.
var Triggers = []string{"cron", "event", "manual"}

// An Origin is what is known of a run besides its streams.
type Origin struct {
	Trigger string `default:"manual" desc:"what started the run, for report.json: cron, event or manual"`
	Set     string `desc:"name of the image set, for report.json of a run that has no plan"`

	ID      string `ignored:"true"` // of a run that has a name of its own: the PipelineRun's
	Version string `ignored:"true"` // of the program
}

// Check fails if the trigger is neither one of Triggers nor "", which stands for manual.
func (o Origin) Check() error {
	if o.Trigger != "" && !slices.Contains(Triggers, o.Trigger) {
		return fmt.Errorf("MIRROR_TRIGGER is %.80q: set it to cron, event or manual", o.Trigger)
	}
	return nil
}

// From notes where the run comes from.
func (r *Report) From(o Origin) {
	r.Run.ID = cmp.Or(text.Line(o.ID, maxName), r.Run.ID)
	r.Run.Version, r.Run.Trigger = text.Line(o.Version, maxName), cmp.Or(o.Trigger, r.Run.Trigger)
	r.Run.Set = cmp.Or(r.Run.Set, text.Line(o.Set, maxName))
	r.Run.URL = r.runLink.Expand(map[string]string{"run": r.Run.ID, "set": r.Run.Set})
}

// run returns the run of the streams so far.
func (b *Builder) run() Run {
	run := Run{ID: text.Line(b.latest.Run, maxName), Trigger: "manual", Start: boundTime(b.started), End: boundTime(b.ended)}
	names := map[string]bool{}
	for k := range b.sets {
		names[k.set] = true
	}
	if len(names) == 1 {
		run.Set = text.Line(slices.Collect(maps.Keys(names))[0], maxName)
	}
	return run
}

// addLatest notes a stream of the run that started last.
func (b *Builder) addLatest(h stream.Header) {
	if d := h.Started.Compare(b.latest.Started); d > 0 || d == 0 && h.Run > b.latest.Run {
		b.latest = h
	}
}

// Traffic is what a run asked of one registry, and of the hosts that it leads to, except for
// tokens.
type Traffic = stream.Traffic

// maxRegistries bounds the registries of a report.
const maxRegistries = 1000

// trafficCounts gathers what was asked of registries.
type trafficCounts struct {
	copies  []Traffic            // of all attempts of copy
	plans   map[string][]Traffic // by run, of the plan itself
	relayed map[string][]Traffic // by run, of the plan as copy relayed it
}

func (t *trafficCounts) add(c *stream.Content) {
	if t.plans == nil {
		t.plans, t.relayed = map[string][]Traffic{}, map[string][]Traffic{}
	}
	switch run := c.Header.Run; {
	case c.End == nil:
	case c.Header.Stream == stream.Plan:
		t.plans[run] = append(t.plans[run], c.End.Registries...)
	default:
		t.copies = append(t.copies, c.End.Registries...)
		if len(t.relayed[run]) == 0 {
			t.relayed[run] = c.End.PlanRegistries
		}
	}
}

// total returns the traffic of each registry, by host.
func (t *trafficCounts) total() []Traffic {
	all := slices.Clone(t.copies)
	for run, of := range t.relayed {
		if len(t.plans[run]) == 0 {
			all = append(all, of...)
		}
	}
	for _, of := range t.plans {
		all = append(all, of...)
	}
	byHost := map[string]*Traffic{}
	for _, one := range all {
		host := text.Line(one.Host, maxHost)
		to := byHost[host]
		if to == nil {
			to = &Traffic{Host: host}
			byHost[host] = to
		}
		to.Requests, to.Retries = sum(to.Requests, one.Requests), sum(to.Retries, one.Retries)
		to.Throttled, to.Bytes = sum(to.Throttled, one.Throttled), sum(to.Bytes, one.Bytes)
	}
	hosts := slices.Sorted(maps.Keys(byHost))
	list := []Traffic{}
	for _, host := range hosts[:min(maxRegistries, len(hosts))] {
		list = append(list, *byHost[host])
	}
	return list
}

// linkOf returns a template of a set, or none if it is not valid: it comes from a stream.
func linkOf(template string, names []string) link.Template {
	if t := link.Template(template); t.Check(names...) == nil {
		return t
	}
	return ""
}
