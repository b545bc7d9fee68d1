// Package notify tells people that an image set fails, fails for a new cause, goes on failing, or
// is well again: a message per cause and set, to Slack, to a webhook or by mail.
//
// What has been told is in the set's record. So each run tells what the record does not have as
// told yet, whether or not the report of an earlier run was ended in between.
package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/link"
	"imagemirror/internal/record"
	"imagemirror/internal/secret"
	"imagemirror/internal/settings"
	"imagemirror/internal/text"
)

// An Event is why a message is sent.
type Event string

// The events. They are part of the types of CloudEvents.
const (
	Failing   Event = "failing"   // the set was well before
	Cause     Event = "cause"     // it fails for another cause, too
	Reminder  Event = "reminder"  // the cause goes on
	Recovered Event = "recovered" // the cause is over
)

// Bounds on what one run sends about a set, and on a message.
const (
	maxMessages = 10 // the last one has all further causes
	maxExamples = 3
	maxPeople   = 10
	maxLong     = 600 // characters of a cause's message, which quotes a registry
	maxShort    = 200
	maxMore     = 20 // further causes that one message lists
)

// early is which part of the time between two reminders the second one may be early. A daily run
// does not end at the same second each day, and with none the reminder would wait for the day
// after.
const early = 48

// maxBroken is after how many reports that were ended while they sent a message it counts as
// sent.
const maxBroken = 3

// A Message is what one notification tells. Each of its texts is one printable line.
type Message struct {
	Event        Event
	Set          string
	Owners       []string // who is to act
	Notify       []string // who else is to know, as the settings name them
	Title        string   // the cause, in a few words
	Kind         string
	Side         string
	Host         string
	Why          string // the message of a failure
	Advice       string
	Count        int // destinations that fail for the cause
	Destinations int // of the set
	Examples     []Example
	First, Last  time.Time
	Now          time.Time
	Others       int // further causes for which the set fails
	More         []string
	Run          string
	Links        []Link

	id     string
	to     []string // names of the targets that are to get it
	causes []*record.Cause
}

// An Example is a destination that fails.
type Example struct {
	Destination string `json:"destination"`
	File        string `json:"file,omitempty"`
	Line        int    `json:"line,omitempty"`
}

// A Link leads to more about the failure.
type Link struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// Due returns the messages that are due by a record: about causes that nobody was told of, those
// that were told longer ago than the set's settings say, and those that are over. status is the
// address of the status pages, or "".
func Due(r *record.Record, now time.Time, status string) []*Message {
	v := recordView{Record: r, now: now, status: status, remind: time.Duration(r.RemindSeconds) * time.Second}
	v.remind = cmp.Or(v.remind, settings.DefaultRemind)
	for _, t := range r.Targets {
		v.targets = append(v.targets, t.Name)
	}
	var due []*Message
	told := len(r.Recovered) > 0 || slices.ContainsFunc(r.Causes, func(c *record.Cause) bool { return !c.Told.IsZero() })
	for _, c := range byUrgency(r.Causes) {
		event, to := v.event(c, told)
		if len(to) > 0 {
			due = append(due, v.message(event, c, to))
		}
	}
	due = merge(due)
	for _, c := range r.Recovered {
		if to := v.owed(c); len(to) > 0 {
			due = append(due, v.message(Recovered, c, to))
		}
	}
	return due
}

// A recordView is a record at the time at which messages are due.
type recordView struct {
	*record.Record
	now     time.Time
	remind  time.Duration
	targets []string // names
	status  string
}

// byUrgency returns the causes, those of a whole run and of most destinations first.
func byUrgency(causes []*record.Cause) []*record.Cause {
	return slices.SortedStableFunc(slices.Values(causes), record.CompareUrgency)
}

// event returns what is to be told of a cause, and to which targets.
func (v recordView) event(c *record.Cause, told bool) (Event, []string) {
	first := Failing
	if told {
		first = Cause
	}
	switch age := v.now.Sub(c.Told); {
	case c.Told.IsZero():
		return first, v.targets
	case age >= v.remind-v.remind/early || age <= -v.remind: // a clock was ahead when people were told
		return Reminder, v.targets
	case len(c.Owed) > 0:
		return Reminder, v.owed(c)
	}
	return "", nil
}

// owed returns the targets that still have to get what was told of a cause.
func (v recordView) owed(c *record.Cause) []string {
	if c.Owed == nil {
		return v.targets
	}
	return slices.DeleteFunc(slices.Clone(c.Owed), func(name string) bool { return !slices.Contains(v.targets, name) })
}

// merge keeps one run from sending hundreds of messages: the last one lists all further causes.
func merge(all []*Message) []*Message {
	if len(all) <= maxMessages {
		return all
	}
	last := all[maxMessages-1]
	for i, m := range all[maxMessages:] {
		last.causes = append(last.causes, m.causes...)
		if i < maxMore {
			last.More = append(last.More, fmt.Sprintf("%s: %s", m.Title, m.counted()))
		}
	}
	if n := len(all) - maxMessages - maxMore; n > 0 {
		last.More = append(last.More, fmt.Sprintf("and %d more", n))
	}
	return all[:maxMessages]
}

func (v recordView) message(event Event, c *record.Cause, to []string) *Message {
	r := v.Record
	line := func(s string, limit int) string { return text.Line(secret.Hide(s), limit) }
	m := &Message{
		Event: event, Set: line(r.Set, maxShort), Owners: printableNames(r.Owners), Notify: printableNames(r.Notify),
		Title: line(fault.Kind(c.Kind).Title(c.Host), maxShort), Kind: line(c.Kind, maxShort), Side: line(c.Side, maxShort), Host: line(c.Host, maxShort),
		Why: line(c.Message, maxLong), Advice: line(c.Advice, maxLong), Count: c.Count, First: c.First, Last: c.Last, Now: v.now,
		to: to, causes: []*record.Cause{c},
	}
	for _, d := range r.Destinations {
		if !d.Gone.IsZero() {
			continue
		}
		m.Destinations++
		if d.Cause == c.Key && len(m.Examples) < maxExamples {
			m.Examples = append(m.Examples, Example{line(d.Name, maxShort), line(d.File, maxShort), d.Line})
		}
	}
	m.Others = len(r.Causes)
	if event != Recovered {
		m.Others--
	}
	if last := r.LastRun(); last != nil {
		m.Run = line(last.ID, maxShort)
	}
	m.Links = links(r, v.status)
	m.id = m.hash(string(event), fmt.Sprint(c.Told.UnixNano()))
	return m
}

// links returns the page of the set, if the status pages have an address.
func links(r *record.Record, status string) []Link {
	if status == "" {
		return nil
	}
	return []Link{{"status of " + text.Line(r.Set, maxShort), strings.TrimSuffix(status, "/") + "/sets/" + link.ID(r.Set)}}
}

func printableNames(names []string) []string {
	var list []string
	for _, name := range names[:min(len(names), maxPeople)] {
		list = append(list, text.Line(secret.Hide(name), maxShort))
	}
	if n := len(names) - maxPeople; n > 0 {
		list = append(list, fmt.Sprintf("%d more", n))
	}
	return list
}

// ID returns a name that stays the same if the message is sent again, so that receivers can drop
// a second copy.
func (m *Message) ID() string { return m.id }

// thread returns a name that all messages about one failure share.
func (m *Message) thread() string { return m.hash() }

func (m *Message) hash(more ...string) string {
	c := m.causes[0]
	sum := sha256.Sum256([]byte(strings.Join(append([]string{m.Set, c.Key, fmt.Sprint(c.First.UnixNano())}, more...), "\x00")))
	return hex.EncodeToString(sum[:16])
}

// Headline tells the message in one line.
func (m *Message) Headline() string {
	switch m.Event {
	case Recovered:
		return fmt.Sprintf("%s: over after %s: %s", m.Set, span(m.Last.Sub(m.First)), m.Title)
	case Reminder:
		return fmt.Sprintf("%s: still failing after %s: %s", m.Set, span(m.Now.Sub(m.First)), m.Title)
	case Cause:
		return fmt.Sprintf("%s: fails for another cause: %s", m.Set, m.Title)
	}
	return fmt.Sprintf("%s: fails: %s", m.Set, m.Title)
}

// counted returns how many destinations fail.
func (m *Message) counted() string {
	if m.Count == 0 {
		return m.spoiled("")
	}
	return fmt.Sprintf("%d of %d destinations", m.Count, m.Destinations)
}

// A fact is a line of a message, with its name.
type fact struct{ name, text string }

// facts returns the parts of a message in the order in which people need them.
func (m *Message) facts() []fact {
	var all []fact
	add := func(name, text string) {
		if text != "" {
			all = append(all, fact{name, text})
		}
	}
	if m.Event == Recovered {
		add("What", m.recovery())
		add("From", fmt.Sprintf("%s to %s", formatTime(m.First), formatTime(m.Last)))
	} else {
		add("What", m.failure())
		add("Since", fmt.Sprintf("%s (%s)", formatTime(m.First), span(m.Now.Sub(m.First))))
		add("Why", m.Why)
		add("Do", m.Advice)
		for _, e := range m.Examples {
			add("Such as", e.String())
		}
		for _, line := range m.More {
			add("Also", line)
		}
	}
	add("Owners", strings.Join(m.Owners, ", "))
	add("Tell", strings.Join(m.Notify, ", "))
	add("Run", m.Run)
	return all
}

func (m *Message) failure() string {
	if m.Count == 0 {
		return m.spoiled(" of "+m.Set) + m.others()
	}
	verb := "are"
	if m.Count == 1 {
		verb = "is"
	}
	return fmt.Sprintf("%s of %s %s not mirrored%s", m.counted(), m.Set, verb, m.others())
}

// spoiled tells what a cause of a whole run did to it.
func (m *Message) spoiled(ofSet string) string {
	if m.Kind == string(fault.NoPlan) {
		return "nothing" + ofSet + " was mirrored"
	}
	return "the last run" + ofSet + " was not good"
}

func (m *Message) recovery() string {
	switch {
	case m.Others == 0 && m.Destinations == 1:
		return "the destination of " + m.Set + " is well"
	case m.Others == 0:
		return fmt.Sprintf("all %d destinations of %s are well", m.Destinations, m.Set)
	}
	return "no destination of " + m.Set + " fails for this any more" + m.others()
}

// others returns for how many further causes the set fails.
func (m *Message) others() string {
	switch m.Others {
	case 0:
		return ""
	case 1:
		return "; it fails for 1 other cause, too"
	}
	return fmt.Sprintf("; it fails for %d other causes, too", m.Others)
}

// String returns the destination, and the line that names it.
func (e Example) String() string {
	if e.File == "" {
		return e.Destination
	}
	return fmt.Sprintf("%s (%s:%d)", e.Destination, e.File, e.Line)
}

// Text returns the message as plain text, a fact a line.
func (m *Message) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", m.Headline())
	for _, f := range m.facts() {
		fmt.Fprintf(&b, "%-8s %s\n", f.name, f.text)
	}
	for _, l := range m.Links {
		fmt.Fprintf(&b, "\n%s: %s\n", l.Name, l.URL)
	}
	return b.String()
}

func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// span returns a time as people say it: "2d 3h", "25m".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return strings.TrimSuffix(fmt.Sprintf("%dd %dh", d/day, d%day/time.Hour), " 0h")
	case d >= time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute), " 0m")
	}
	return fmt.Sprintf("%dm", max(0, d)/time.Minute)
}
