package status

import (
	"slices"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/record"
)

// A causeRow is a cause in a table.
type causeRow struct {
	Key, Kind, Side, Host  string
	Title, Message, Advice string
	Count, Sets            int
	Owners                 []string // of all sets that it hits
	First, Last            time.Time
}

// rowOf returns a cause as one set has it.
func rowOf(c *record.Cause) causeRow {
	return causeRow{
		Key: c.Key, Kind: c.Kind, Side: c.Side, Host: c.Host, Title: titleOf(c), Message: c.Message, Advice: c.Advice,
		Count: c.Count, Sets: 1, First: c.First, Last: c.Last,
	}
}

// titleOf tells what is wrong. A kind of a later program has its message only.
func titleOf(c *record.Cause) string {
	if kind := fault.Kind(c.Kind); slices.Contains(fault.Kinds(), kind) {
		return kind.Title(c.Host)
	}
	return c.Message
}

// row returns a cause with all that it hits.
func (c *cause) row() causeRow {
	row := rowOf(c.Cause)
	row.Count, row.Sets, row.Owners, row.First, row.Last = c.count, len(c.hits), c.owners(), c.first, c.last
	return row
}

// A causesBody is what the list of causes shows.
type causesBody struct {
	All    int
	Causes []causeRow
	Pager  pager
}

func (v view) causesPage(q query) *page {
	b := &causesBody{All: len(v.causes)}
	p := v.page(causesPath, q, "causes", "Causes", b)
	var shown []*cause
	shown, b.Pager = cut(v.causes, q, destinationsShown, func(q query) string { return p.variant(causesPath, q) })
	for _, c := range shown {
		b.Causes = append(b.Causes, c.row())
	}
	return p
}

// A causeBody is what the page of a cause shows.
type causeBody struct {
	causeRow
	PerImage bool // each failure has a message of its own to read
	Hits     []hitRow
	Rows     []destinationRow
	Pager    pager
}

// A hitRow is what a cause does to a set.
type hitRow struct {
	Set         string
	Owners      []string
	Count, All  int // destinations
	First, Last time.Time
	LastGood    time.Time
}

func (v view) causePage(c *cause, q query) *page {
	b := &causeBody{causeRow: c.row(), PerImage: fault.Parse(c.Kind).PerImage()}
	p := v.page(causePath(c.Key), q, "cause", b.Title, b)
	for _, h := range c.hits {
		b.Hits = append(b.Hits, hitRow{
			h.set.Set, h.set.Owners, h.cause.Count, h.set.total(), h.cause.First, h.cause.Last, h.set.lastGood(),
		})
	}
	var failures []failure
	failures, b.Pager = cut(c.failures(), q, destinationsShown, func(q query) string { return p.variant(p.Path, q) })
	for _, f := range failures {
		b.Rows = append(b.Rows, f.set.destinationRow(f.Destination))
	}
	return p
}
