package prune

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/record"
	"imagemirror/internal/registrytest"
)

// People edit files, and records change after a file is made. What the record does not have, and
// what a tag uses that mappings name, is left.
func TestEditedFilesDeleteNothingOfOthers(t *testing.T) {
	t.Parallel()
	all := []string{"gone", "gone-a", "shared", "gone-previous", "mine", "mine-a", "live"}
	same := map[string]string{}
	for _, tag := range all {
		same[tag] = "a"
	}
	w := fill(t, registrytest.Distribution(t, registrytest.DistributionOptions{}), registrytest.ProxyOptions{}, same)
	a := w.images["a"]
	name := func(tag string) string { return w.Host + "/m/a:" + tag }
	r := record.New("set")
	r.Destinations = []*record.Destination{
		{Name: name("gone"), Gone: ago(40), Moves: []*record.Move{{Digest: a, Wrote: true, Tags: []string{"gone-a", "shared"}, Kept: "gone-previous"}}},
		{Name: name("live"), Gone: time.Time{}, Moves: []*record.Move{{Digest: a, Wrote: true, Tags: []string{"shared"}}}},
	}
	f := &Proposal{Version: Version, Set: "set", Created: now, Most: 50, Tags: []Tag{
		{Tag: name("gone"), Digest: a, With: []With{
			{Additional, "gone-a", a}, {Additional, "shared", a}, {Kept, "gone-previous", a}, {Additional, "mine", a}, {Kept, "live", a}, {Additional, "absent", a},
		}},
		{Tag: name("mine"), Digest: a, With: []With{{Additional, "mine-a", a}}},
		{Tag: name("deleted-before"), Digest: a, With: []With{{Additional, "mine-a", a}}},
		{Tag: name("shared"), Digest: a},
	}}
	outcomes := (&Application{Client: client(t), Record: r}).Apply(t.Context(), f)
	if diff := cmp.Diff([]string{"shared", "mine", "mine-a", "live"}, w.tags(t, all...)); diff != "" {
		t.Errorf("tags that are left (-want +got):\n%s", diff)
	}
	var left []string
	for _, o := range outcomes {
		if o.Why != "" {
			left = append(left, strings.ReplaceAll(o.Tag.Tag+": "+o.Why, w.Host+"/m/a:", ""))
		}
		for _, l := range o.Left {
			left = append(left, strings.ReplaceAll(l.Tag+": "+l.Why, w.Host+"/m/a:", ""))
		}
	}
	want := []string{
		"shared: by the record it also goes with a tag that a mapping names",
		"mine: by the record it does not go with gone",
		"live: by the record it also goes with a tag that a mapping names",
		"mine: the record does not have mine, so somebody else may have pushed it",
		"mine-a: the record does not have deleted-before, so somebody else may have pushed it",
		"shared: by the record it also goes with a tag that a mapping names",
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("why they are left (-want +got):\n%s", diff)
	}
	if !outcomes[2].Gone {
		t.Errorf("of a tag that was deleted before came %+v", outcomes[2])
	}
}
