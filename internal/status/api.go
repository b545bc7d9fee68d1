package status

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"time"

	"imagemirror/internal/record"
)

// A SetList is the JSON of all sets.
type SetList struct {
	Version int          `json:"version"`
	Taken   time.Time    `json:"taken"`
	Sets    []SetSummary `json:"sets"` // by name
}

// A SetSummary is the JSON of a set without its history.
type SetSummary struct {
	Set        string          `json:"set"`
	ID         string          `json:"id"` // in addresses
	State      State           `json:"state"`
	Since      time.Time       `json:"since,omitzero"` // since when it is failing or overdue
	Owners     []string        `json:"owners,omitempty"`
	Schedule   string          `json:"schedule,omitempty"`
	NextRun    time.Time       `json:"nextRun,omitzero"`
	LastGood   time.Time       `json:"lastGood,omitzero"`
	LastRun    *record.Run     `json:"lastRun,omitempty"`
	ActiveRuns []string        `json:"activeRuns,omitempty"`
	Counts     map[State]int   `json:"counts"` // of destinations in each state
	Causes     []*record.Cause `json:"causes,omitempty"`
}

// A SetDetail is the JSON of a set: a summary, and what its record has besides.
type SetDetail struct {
	Version int       `json:"version"`
	Taken   time.Time `json:"taken"`
	SetSummary
	Selections   []*record.Selection   `json:"selections,omitempty"`
	Runs         []*record.Run         `json:"runs,omitempty"` // oldest first
	Destinations []*record.Destination `json:"destinations"`   // by name
}

// A CauseList is the JSON of all causes.
type CauseList struct {
	Version int           `json:"version"`
	Taken   time.Time     `json:"taken"`
	Causes  []CauseDetail `json:"causes"` // those that hit most destinations first
}

// A CauseDetail is the JSON of a cause in all sets that it hits.
type CauseDetail struct {
	Key     string    `json:"key"`
	ID      string    `json:"id"` // in addresses
	Kind    string    `json:"kind"`
	Side    string    `json:"side,omitempty"`
	Host    string    `json:"host,omitempty"`
	Title   string    `json:"title"`   // says for people what is wrong
	Message string    `json:"message"` // the error of one of them
	Advice  string    `json:"advice,omitempty"`
	Count   int       `json:"count"` // destinations that fail for it
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Sets    []string  `json:"sets"`
	Owners  []string  `json:"owners,omitempty"`
}

// apiVersion is the version of the JSON. Fields are added to it, never renamed or removed.
const apiVersion = 1

// list returns the sets that a query asks for.
func (s *Snapshot) list(q query) SetList {
	list := SetList{Version: apiVersion, Taken: s.Taken, Sets: []SetSummary{}}
	for _, set := range s.sets {
		if q.matches(set.Set, set.Owners) && (q.State == "" || q.State == set.state) {
			list.Sets = append(list.Sets, set.summary())
		}
	}
	return list
}

func (s *set) summary() SetSummary {
	sum := SetSummary{
		Set: s.Set, ID: s.id, State: s.state, Since: s.since, Owners: s.Owners, Schedule: s.Schedule, NextRun: s.next,
		LastGood: s.lastGood(), LastRun: s.LastRun(), Counts: s.counts, Causes: s.Causes,
	}
	for _, a := range s.active {
		sum.ActiveRuns = append(sum.ActiveRuns, a.Run)
	}
	return sum
}

func (s *Snapshot) detail(set *set) SetDetail {
	return SetDetail{Version: apiVersion, Taken: s.Taken, SetSummary: set.summary(), Selections: set.Selections, Runs: set.Runs, Destinations: set.Destinations}
}

func (s *Snapshot) causeList() CauseList {
	list := CauseList{Version: apiVersion, Taken: s.Taken, Causes: []CauseDetail{}}
	for _, c := range s.causes {
		list.Causes = append(list.Causes, c.detail())
	}
	return list
}

func (c *cause) detail() CauseDetail {
	d := CauseDetail{
		Key: c.Key, ID: c.id, Kind: c.Kind, Side: c.Side, Host: c.Host, Title: titleOf(c.Cause), Message: c.Message, Advice: c.Advice,
		Count: c.count, First: c.first, Last: c.last, Owners: c.owners(),
	}
	for _, h := range c.hits {
		d.Sets = append(d.Sets, h.set.Set)
	}
	return d
}

// A jsonDocument writes itself as JSON that is safe in HTML, too.
type jsonDocument interface{ writeJSON(io.Writer) error }

func (l SetList) writeJSON(w io.Writer) error     { return json.NewEncoder(w).Encode(l) }
func (l CauseList) writeJSON(w io.Writer) error   { return json.NewEncoder(w).Encode(l) }
func (d CauseDetail) writeJSON(w io.Writer) error { return json.NewEncoder(w).Encode(d) }

// writeJSON writes the destinations one by one: all of them in memory are many megabytes.
func (d SetDetail) writeJSON(w io.Writer) error {
	destinations := d.Destinations
	d.Destinations = []*record.Destination{}
	head, err := json.Marshal(d)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	const tail = "]}" // Destinations is the last field
	_, _ = out.Write(bytes.TrimSuffix(head, []byte(tail)))
	encoder := json.NewEncoder(out)
	for i, destination := range destinations {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		if err := encoder.Encode(destination); err != nil {
			return err
		}
	}
	_, _ = out.WriteString(tail + "\n")
	return out.Flush() // has the first error of all writes
}
