package interop

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"imagemirror/internal/stream"
)

var (
	update = flag.Bool("update", false, "write what was found into "+page)
	show   = flag.Bool("matrix", false, "print what was found")
)

// page is the document that has what was found, between marks.
const (
	page  = "../../docs/reference/registries.md"
	begin = "<!-- go test ./test/interop -update writes this part -->\n\n"
	end   = "\n<!-- until here -->\n"
)

// A matrix is what became of all images between all pairs of registries.
type matrix struct {
	mu       sync.Mutex
	missing  []string // registries that this machine cannot have
	pairs    map[pair]count
	images   map[pair]count              // with the kind of image as from
	refusals map[refusal]map[string]bool // by destination
}

type pair struct{ from, to string }

// itself is the destination of copies from one repository of a registry to another.
const itself = "itself"

type count struct{ arrived, refused int }

// A refusal is why a kind of image failed.
type refusal struct{ image, message, advice string }

func newMatrix() *matrix {
	return &matrix{pairs: map[pair]count{}, images: map[pair]count{}, refusals: map[refusal]map[string]bool{}}
}

var (
	objects = regexp.MustCompile(`127\.0\.0\.1:\d+/\S*[^\s:,]`)
	digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
)

func (m *matrix) add(from, to, image string, r stream.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := count{arrived: 1}
	if r.Error != nil {
		n = count{refused: 1}
		message := digests.ReplaceAllString(objects.ReplaceAllString(r.Error.Message, "IMAGE"), "sha256:…")
		key := refusal{image, message, r.Error.Advice}
		if m.refusals[key] == nil {
			m.refusals[key] = map[string]bool{}
		}
		m.refusals[key][to] = true
	}
	m.pairs[pair{from, to}] = m.pairs[pair{from, to}].plus(n)
	m.images[pair{image, to}] = m.images[pair{image, to}].plus(n)
}

func (c count) plus(d count) count { return count{c.arrived + d.arrived, c.refused + d.refused} }

func (c count) String() string {
	switch {
	case c.refused == 0:
		return fmt.Sprint(c.arrived)
	case c.arrived == 0:
		return fmt.Sprintf("refused: %d", c.refused)
	}
	return fmt.Sprintf("%d, refused: %d", c.arrived, c.refused)
}

// String returns three tables in Markdown.
func (m *matrix) String() string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	columns := append(slices.Clip(names), itself)
	var images []string
	for _, c := range contents {
		if !slices.Contains(images, c.kind) {
			images = append(images, c.kind)
		}
	}
	return "Images that arrived, by source and destination:\n\n" +
		table("from \\ to", names, columns, m.pairs) +
		"\nFrom how many of them a kind of image arrived. Some do not accept it, so it is not there:\n\n" +
		table("image", images, columns, m.images) +
		"\nAn image that is refused fails alone:\n\n" +
		m.reasons(images, columns)
}

func table(corner string, rows, columns []string, counts map[pair]count) string {
	var b strings.Builder
	row(&b, corner, columns...)
	b.WriteString(strings.Repeat("|---", len(columns)+1) + "|\n")
	for _, name := range rows {
		var cells []string
		for _, column := range columns {
			cells = append(cells, counts[pair{name, column}].String())
		}
		row(&b, name, cells...)
	}
	return b.String()
}

func row(b *strings.Builder, first string, cells ...string) {
	fmt.Fprintf(b, "| %s | %s |\n", first, strings.Join(cells, " | "))
}

// reasons returns a table of the refusals.
func (m *matrix) reasons(images, names []string) string {
	inOrder := slices.SortedFunc(maps.Keys(m.refusals), func(a, b refusal) int {
		return cmp.Or(slices.Index(images, a.image)-slices.Index(images, b.image), cmp.Compare(a.message, b.message))
	})
	var b strings.Builder
	row(&b, "image", "to", "why", "what to do")
	b.WriteString("|---|---|---|---|\n")
	for _, r := range inOrder {
		var to []string
		for _, name := range names {
			if m.refusals[r][name] {
				to = append(to, name)
			}
		}
		row(&b, r.image, strings.Join(to, ", "), strings.ReplaceAll(r.message, "|", `\|`), r.advice)
	}
	return b.String()
}

// compare compares what was found with the page. Without a registry that this machine cannot
// have, it compares the refusals of the others.
func (m *matrix) compare(t *testing.T) {
	t.Helper()
	found := m.String()
	if *show {
		fmt.Println(found)
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(b), begin)
	documented, after, ok := strings.Cut(rest, end)
	switch {
	case !ok:
		t.Fatalf("%s has no part between %q and %q", page, begin, end)
	case len(m.missing) > 0:
		if diff := gocmp.Diff(refusals(documented, m.missing), refusals(found, m.missing)); diff != "" {
			t.Errorf("refusals, without %v (-%s +found):\n%s", m.missing, page, diff)
		}
	case *update:
		if err := os.WriteFile(page, []byte(before+begin+found+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		if diff := gocmp.Diff(documented, found); diff != "" {
			t.Errorf("%s (-documented +found); go test ./test/interop -update writes it:\n%s", page, diff)
		}
	}
}

// refusals returns the rows of the last table, one for each destination that is not missing.
func refusals(tables string, missing []string) map[string]bool {
	rows := map[string]bool{}
	for line := range strings.Lines(tables[strings.LastIndex(tables, "|---|"):]) {
		cells := strings.SplitN(line, " | ", 3)
		if len(cells) < 3 {
			continue
		}
		for _, to := range strings.Split(cells[1], ", ") {
			if !slices.Contains(missing, to) {
				rows[cells[0]+" to "+to+": "+cells[2]] = true
			}
		}
	}
	return rows
}
