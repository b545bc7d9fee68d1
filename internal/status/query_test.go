package status

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQuery(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want query
	}{
		{"", query{}},
		{"q=kna&owner=ada&state=failing&sort=good&order=desc&page=3", query{"kna", "ada", Failing, "good", true, 3}},
		{"q=%20%20&owner=&unknown=1&order=asc", query{}},
		{"q=%3Cscript%3E", query{Text: "<script>"}},
	} {
		got, err := parseQuery(c.raw, setStates, setColumns)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", c.raw, err, diff)
		}
	}
}

func TestQueriesThatAreRefused(t *testing.T) {
	for _, raw := range []string{
		"state=gone", "state=x", "sort=owner", "page=0", "page=-1", "page=x", "page=10000", "page=99999999999999999999",
		"q=" + strings.Repeat("a", 101), "owner=" + strings.Repeat("%C3%A9", 101), "q=%zz", "a;b", "x=" + strings.Repeat("y", maxQuery),
	} {
		if got, err := parseQuery(raw, setStates, setColumns); err == nil {
			t.Errorf("%.40q is read as %+v", raw, got)
		}
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("q=kna&owner=ada&state=failing&sort=good&order=desc&page=3")
	f.Add("page=1&q=%00%ff")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw, setStates, setColumns)
		if err != nil {
			return
		}
		if q.Page == 1 {
			q.Page = 0 // which is the same
		}
		again, err := parseQuery(q.encode(), setStates, setColumns)
		if err == nil && again != q {
			t.Errorf("%q is %+v, and written again %+v", raw, q, again)
		}
		if file := q.file("sets/x"); strings.Contains(file, "..") || strings.Count(file, "/") > 2 {
			t.Errorf("%q has the file %q", raw, file)
		}
	})
}

func TestOrderOfSets(t *testing.T) {
	v := view{Snapshot: NewSnapshot(Look{Records: fleet()}, now)}
	for _, c := range []struct {
		q    query
		want string
	}{
		{query{}, "console-plugins tekton payments nightly-builds brand-new gitops knative"},
		{query{Desc: true}, "toolbox serverless-operator pipelines-as-code ocp-release knative gitops brand-new"},
		{query{Sort: "name"}, "brand-new console-plugins gitops knative nightly-builds ocp-release payments"},
		{query{Sort: "good"}, "brand-new nightly-builds console-plugins tekton payments knative gitops"},
		{query{Sort: "next"}, "gitops tekton knative toolbox payments ocp-release nightly-builds"},
		{query{State: Good, Text: "OP"}, "gitops serverless-operator"},
		{query{Owner: "linus"}, "brand-new"},
		{query{Owner: "linu"}, ""},
	} {
		chosen, _ := v.choose(c.q)
		var names []string
		for _, s := range chosen[:min(7, len(chosen))] {
			names = append(names, s.Set)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", c.q, got, c.want)
		}
	}
}

func TestTablesAreCut(t *testing.T) {
	rows := make([]int, 205)
	for i := range rows {
		rows[i] = i
	}
	for _, c := range []struct {
		page, first, rows int
		want              pager
	}{
		{0, 0, 100, pager{1, 100, 205, 1, 3, "", "2"}},
		{2, 100, 100, pager{101, 200, 205, 2, 3, "1", "3"}},
		{3, 200, 5, pager{201, 205, 205, 3, 3, "2", ""}},
		{9, 200, 5, pager{201, 205, 205, 3, 3, "2", ""}},
	} {
		got, p := cut(rows, query{Page: c.page}, 100, func(q query) string { return fmt.Sprint(q.Page) })
		if diff := cmp.Diff(c.want, p); diff != "" || got[0] != c.first || len(got) != c.rows {
			t.Errorf("part %d has %d rows from %d (-want +got):\n%s", c.page, len(got), got[0], diff)
		}
	}
	if got, p := cut([]int{}, query{}, 100, nil); len(got) != 0 || p.Pages != 1 {
		t.Errorf("an empty table has %d rows in %d parts", len(got), p.Pages)
	}
}
