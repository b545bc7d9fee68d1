package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
	"imagemirror/internal/secret"
	"imagemirror/internal/strictjson"
)

// Bounds on a list of tags.
const (
	tagsPerPage  = 1000 // what ECR takes at most
	maxTags      = 200_000
	maxTagsPage  = 16 << 20 // bytes
	maxTagsBytes = 64 << 20 // bytes of all pages: more than maxTags tags of 128 characters need
	maxPages     = 10_000
	maxStale     = 100 // pages without a new tag, one after the other
)

// Tags lists all tags of the repository, each once. It skips names that are invalid by
// the distribution spec's grammar: no request could name them. So it does with names that
// give away a credential.
//
// A mirror may hold only a part of the tags, so the location is asked. Mirrors are asked
// if the location cannot be reached, or refuses.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	location := len(r.endpoints) - 1
	tags, err := r.endpoints[location].tags(ctx)
	if err == nil {
		return tags, nil
	}
	if regerror.StatusOf(err) == 0 || regerror.IsRefusal(err) {
		for _, mirror := range r.endpoints[:location] {
			if tags, err := mirror.tags(ctx); err == nil {
				return tags, nil
			}
		}
	}
	return nil, r.fail(err, "listing tags of", "")
}

// errPageSize means that the registry deals with the size of a page in a way that may
// have left tags out.
var errPageSize = errors.New("the list of tags may be cut")

// tags lists all tags. If the registry refuses the size of a page, it is asked without
// one from then on.
func (ep repoEndpoint) tags(ctx context.Context) ([]string, error) {
	return ep.tagsWithin(ctx, maxPages, false)
}

// tagsWithin lists all tags if they are on at most that many pages. If the list is optional, each
// page is tried once, and twice if it breaks off.
func (ep repoEndpoint) tagsWithin(ctx context.Context, pages int, optional bool) ([]string, error) {
	if ep.host.unsized.Load() {
		return ep.list(ctx, "", pages, optional)
	}
	tags, err := ep.list(ctx, "n="+strconv.Itoa(tagsPerPage), pages, optional)
	if !errors.Is(err, errPageSize) {
		return tags, err
	}
	if tags, err = ep.list(ctx, "", pages, optional); err == nil {
		ep.host.unsized.Store(true)
	}
	return tags, err
}

// refusesPageSize reports whether a registry may have refused the size of a page:
// distribution's does with 400 PAGINATION_NUMBER_INVALID. The statuses that are left out
// are about the repository and its credentials.
func refusesPageSize(err error) bool {
	switch status := regerror.StatusOf(err); status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return false
	case http.StatusInternalServerError, http.StatusNotImplemented:
		return true
	}
	return regerror.IsRefusal(err)
}

// list lists all tags, page by page. The size is the query of the first page, which may
// be empty.
func (ep repoEndpoint) list(ctx context.Context, size string, pages int, optional bool) ([]string, error) {
	l := &tagList{repoEndpoint: ep, size: size, most: pages, optional: optional, room: maxTagsBytes, tags: map[string]bool{}, pages: map[string]bool{}}
	defer func() { ep.host.client.tagRoom.release(l.holds) }()
	for at := (&tagsPage{query: size}); at != nil; {
		if err := l.visit(at); err != nil {
			return nil, &regerror.Error{Err: err}
		}
		found, err := l.page(ctx, at)
		switch {
		case err != nil && at.guessed && l.lacks(err):
			return l.all, nil
		case err != nil:
			return nil, l.sizeFault(at, err)
		}
		fresh, err := l.add(found.tags)
		if err != nil {
			return nil, &regerror.Error{Err: err}
		}
		if at, err = l.after(at, found, fresh); err != nil {
			return nil, err
		}
	}
	return l.all, nil
}

// A tagList is the list of tags of one repository while it is read.
type tagList struct {
	repoEndpoint
	size     string // the query that asks for the size of a page, or ""
	most     int    // pages at most
	optional bool   // other requests can replace the list
	room     int    // bytes that may still come, with those of pages that are read again
	holds    int64  // bytes of the client's tagRoom
	count    int    // tags that came, with repeated and invalid ones
	stale    int    // pages without a new tag since the last one that had some
	cut      int    // tags on a page that may have been cut; 0: none was
	all      []string
	tags     map[string]bool // all
	pages    map[string]bool // by address
}

// A tagsPage is where a page of a list is.
type tagsPage struct {
	query   string   // at the repository's own address
	address *url.URL // instead of query: elsewhere on the registry
	guessed bool     // no link leads to it: see after
}

// A foundTags is the content of a page.
type foundTags struct {
	tags []string
	next *tagsPage // that a link leads to; nil if there is none
}

// visit notes a page, which must not have been read before.
func (l *tagList) visit(at *tagsPage) error {
	key := at.query
	if at.address != nil {
		key = at.address.String()
	}
	switch {
	case l.pages[key]:
		return regerror.Malformed("the list of tags leads back to a page that was read before")
	case len(l.pages) == l.most:
		return regerror.Malformed("the list of tags exceeds %d pages", l.most)
	}
	l.pages[key] = true
	return nil
}

// lacks reports whether the error of a guessed page means that no tag is behind the last
// one: there is nothing at all, or the registry cannot start from a tag.
func (l *tagList) lacks(err error) bool {
	return regerror.StatusOf(err) == http.StatusNotFound || l.size == "" && refusesPageSize(err)
}

// sizeFault returns errPageSize instead of the error of a page if that may be due to its
// size, or to the way in which it was asked for.
func (l *tagList) sizeFault(at *tagsPage, err error) error {
	if l.size != "" && (at.query == l.size || at.guessed) && refusesPageSize(err) {
		return errPageSize
	}
	return err
}

// add adds the valid tags of a page and returns how many were new. Registries are known
// to repeat tags within a page and across pages.
func (l *tagList) add(tags []string) (fresh int, err error) {
	for _, tag := range tags {
		if reference.IsTag(tag) && !l.tags[tag] && !givesAway(tag) {
			if err := l.hold(int64(len(tag) + tagSize)); err != nil {
				return 0, err
			}
			l.tags[tag] = true
			l.all = append(l.all, tag)
			fresh++
		}
	}
	l.count += len(tags)
	l.stale++
	if fresh > 0 {
		l.stale = 0
	}
	switch {
	case l.count > maxTags:
		return 0, errTooManyTags
	case l.stale > maxStale:
		return 0, regerror.Malformed("the list of tags goes on for %d pages without a new tag", maxStale)
	}
	return fresh, nil
}

// givesAway reports whether a tag has a secret of this process in it, which a registry got as a
// credential. A destination and a report would publish it. A short one may be an ordinary word.
func givesAway(tag string) bool { return len(tag) >= secret.Telling && secret.Hide(tag) != tag }

// after returns the page that follows one, or nil after the last.
//
// Some registries cut the list without a link: go-containerregistry's does at the size
// that was asked for, others at a size of their own. So if a registry has never sent a
// link, and a page without one has just as many tags as pages usually have, the tags
// behind its last one are asked for. A page with nothing new ends the list.
func (l *tagList) after(at *tagsPage, found foundTags, fresh int) (*tagsPage, error) {
	n := len(found.tags)
	switch {
	case found.next != nil:
		l.host.links.Store(true)
		return found.next, nil
	case at.guessed && fresh == 0 && n == tagsPerPage && l.size != "":
		return nil, errPageSize // it does not know how to go on: it may know how to send all
	case at.guessed && fresh == 0, l.host.links.Load(), l.cut == 0 && !isPageSize(n), l.cut > 0 && n != l.cut:
		return nil, nil
	}
	l.cut = n
	query := url.Values{"last": {found.tags[n-1]}}.Encode()
	if l.size != "" {
		query = l.size + "&" + query
	}
	return &tagsPage{query: query, guessed: true}, nil
}

// isPageSize reports whether registries are known to cut lists at n tags. Artifact
// Registry does at 10,000.
func isPageSize(n int) bool {
	switch n {
	case 50, 100, 200, 250, 500, tagsPerPage, 10_000:
		return true
	}
	return false
}

// page reads one page, with retries if it breaks off.
func (l *tagList) page(ctx context.Context, at *tagsPage) (foundTags, error) {
	var found foundTags
	err := l.host.policy().Do(ctx, func(n int) (time.Duration, error) {
		var again bool
		var err error
		if found, again, err = l.read(ctx, at); !again {
			return retry.Never, err
		}
		wait := time.Duration(0)
		if regerror.IsSlow(err) && n >= SlowTries || l.optional && n >= brokenTries {
			wait = retry.Never
		}
		return wait, &regerror.Error{Err: err, Tries: n}
	})
	return found, err
}

// read reads a page once. It reports again if the page broke off.
func (l *tagList) read(ctx context.Context, at *tagsPage) (found foundTags, again bool, err error) {
	resp, err := l.host.do(ctx, &call{
		method: http.MethodGet, rest: "tags/list", query: at.query, location: at.address, access: l.access, expect: []int{http.StatusOK},
		optional: l.optional, lists: l.optional,
	})
	if err != nil {
		return found, false, err
	}
	defer resp.Body.Close()
	limit, held := min(maxTagsPage, l.room), l.holds
	b, err := l.readBody(resp.Body, limit)
	defer func() {
		l.host.client.tagRoom.release(l.holds - held)
		l.holds = held
	}()
	switch {
	case errors.Is(err, tagRoomError{}):
		return found, false, &regerror.Error{Err: err}
	case len(b) > maxTagsPage:
		return found, false, &regerror.Error{Err: regerror.Malformed("a page of the list of tags exceeds %d bytes", maxTagsPage)}
	case len(b) > limit:
		return found, false, &regerror.Error{Err: regerror.Malformed("the list of tags exceeds %d bytes", maxTagsBytes)}
	}
	l.room -= len(b)
	if err != nil {
		return found, true, regerror.Plain(ctx, err)
	}
	first := at.address == nil && at.query == l.size
	if found.tags, again, err = parseTags(b, first); err != nil {
		return found, again, err
	}
	if found.next, err = l.next(resp); err != nil {
		return found, false, &regerror.Error{Err: err}
	}
	return found, false, nil
}

// parseTags reads the content of a page, whose tags may be null. Pages after the first
// may be without tags, if they have the repository's name. It reports again if the page
// ends too early.
func parseTags(b []byte, first bool) (tags []string, again bool, err error) {
	var answer struct {
		Name string          `json:"name"`
		Tags json.RawMessage `json:"tags"`
	}
	if err = json.Unmarshal(b, &answer); err == nil && answer.Tags != nil {
		switch {
		case hasTooMany(answer.Tags):
			return nil, false, &regerror.Error{Err: errTooManyTags}
		case hasTwoLists(b):
			return nil, false, &regerror.Error{Err: errTwoLists}
		}
		err = json.Unmarshal(answer.Tags, &tags)
	}
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax) && syntax.Offset == int64(len(b)):
		return nil, true, regerror.Malformed("the list of tags is not JSON: %w", err)
	case err != nil:
		err = regerror.Malformed("the list of tags is not JSON: %w", err)
	case answer.Tags == nil && (first || answer.Name == ""):
		err = regerror.Malformed(`the list of tags has no "tags"`)
	default:
		return tags, false, nil
	}
	// It may be a page for people, or an error with the wrong status.
	e := regerror.FromResponse(&http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(b))})
	e.Err = err
	return nil, false, e
}

var errTooManyTags = regerror.Malformed("the list of tags exceeds %d tags", maxTags)

var errTwoLists = regerror.Malformed(`the list of tags has "tags" twice`)

// hasTwoLists reports whether an answer that is JSON has the key of the tags twice, also in another
// spelling. encoding/json takes the last, so that the list would lack the tags of the others.
func hasTwoLists(b []byte) bool {
	v := strictjson.Value(bytes.TrimLeft(b, " \t\r\n"))
	n := 0
	if v[0] == '{' {
		for key := range v.Members() {
			if strings.EqualFold(string(key), "tags") {
				n++
			}
		}
	}
	return n > 1
}

// hasTooMany reports whether a list has more than maxTags elements. Empty ones would take six times
// the memory of their text.
func hasTooMany(list json.RawMessage) bool {
	n := 0
	if list[0] == '[' {
		for range strictjson.Value(list).Elements() {
			if n++; n > maxTags {
				return true
			}
		}
	}
	return false
}

// next returns the page that an answer's Link leads to, or nil. A list of tags is always
// at the repository's own address, since front servers are known to change hosts and
// paths and leave links as they are. Any other address must be on the registry.
func (l *tagList) next(resp *http.Response) (*tagsPage, error) {
	link, err := nextLink(resp.Header)
	if err != nil || link == "" {
		return nil, err
	}
	u, err := resp.Request.URL.Parse(link)
	switch {
	case err != nil:
		return nil, regerror.Malformed("the list of tags has an invalid link %.120q", secret.Hide(link))
	case strings.HasSuffix(u.Path, "/tags/list"):
		return &tagsPage{query: u.RawQuery}, nil
	case !l.host.at(u):
		return nil, regerror.Malformed("the list of tags continues on another host, %.120q", secret.Hide(u.Host))
	}
	u.Scheme, u.Host, u.User, u.Fragment = *l.host.scheme.Load(), l.host.address, nil, ""
	return &tagsPage{address: u}, nil
}
