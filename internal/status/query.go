package status

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds on a query: its length in bytes, and what is read of it.
const (
	maxQuery = 1024
	maxAsked = 100  // characters of a text or an owner
	maxPage  = 9999 // number of a part
)

// A query is what a reader wants to see of a page, and in which order. Its zero value is the
// page as it is without a query.
type query struct {
	Text  string // part of a name
	Owner string
	State State
	Sort  string // a column
	Desc  bool
	Page  int // part of a long table, from 1; 0 is the first, too
}

var errQuery = errors.New("the query is not one of this page: remove what follows the question mark")

// parseQuery reads a query. What is not known is refused.
func parseQuery(raw string, states []State, sorts []string) (query, error) {
	if len(raw) > maxQuery {
		return query{}, errQuery
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, errQuery
	}
	q := query{
		Text:  strings.TrimSpace(values.Get("q")),
		Owner: strings.TrimSpace(values.Get("owner")),
		State: State(values.Get("state")),
		Sort:  values.Get("sort"),
		Desc:  values.Get("order") == "desc",
	}
	if page := values.Get("page"); page != "" {
		if q.Page, err = strconv.Atoi(page); err != nil || q.Page < 1 || q.Page > maxPage {
			return query{}, errQuery
		}
	}
	known := (q.State == "" || slices.Contains(states, q.State)) && (q.Sort == "" || slices.Contains(sorts, q.Sort)) &&
		utf8.RuneCountInString(q.Text) <= maxAsked && utf8.RuneCountInString(q.Owner) <= maxAsked
	if !known {
		return query{}, errQuery
	}
	return q, nil
}

// encode returns the query for an address.
func (q query) encode() string {
	values := url.Values{}
	set := func(key, value string) {
		if value != "" {
			values.Set(key, value)
		}
	}
	set("q", q.Text)
	set("owner", q.Owner)
	set("state", string(q.State))
	set("sort", q.Sort)
	if q.Desc {
		set("order", "desc")
	}
	if q.Page > 1 {
		set("page", strconv.Itoa(q.Page))
	}
	return values.Encode()
}

// file returns the path of the file for a page as the query asks for it. Files have no texts
// and owners to filter by.
func (q query) file(path string) string {
	var parts []string
	if q.State != "" {
		parts = append(parts, string(q.State))
	}
	if q.Sort != "" {
		parts = append(parts, "by-"+q.Sort)
	}
	if q.Desc {
		parts = append(parts, "desc")
	}
	if q.Page > 1 {
		parts = append(parts, "page-"+strconv.Itoa(q.Page))
	}
	if len(parts) == 0 {
		return path
	}
	file := strings.Join(parts, "-")
	if path == overviewPath {
		return file
	}
	return path + "/" + file
}

// by returns the query sorted by a column: in the other order if it is sorted by it already.
// The first column is the default.
func (q query) by(column string, columns []string) query {
	current := q.Sort
	if current == "" {
		current = columns[0]
	}
	q.Desc = current == column && !q.Desc
	q.Sort, q.Page = column, 0
	if column == columns[0] {
		q.Sort = ""
	}
	return q
}

// only returns the query for one state, or for all.
func (q query) only(state State) query {
	q.State, q.Page = state, 0
	return q
}

// matches reports whether a name and its owners are what the query asks for.
func (q query) matches(name string, owners []string) bool {
	if q.Owner != "" && !slices.Contains(owners, q.Owner) {
		return false
	}
	return q.Text == "" || strings.Contains(strings.ToLower(name), strings.ToLower(q.Text))
}
