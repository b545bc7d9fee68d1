package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"

	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// Bounds on a list of tags.
const (
	tagsPerPage  = 1000 // what ECR takes at most
	maxTag       = 128  // characters
	maxTags      = 200_000
	maxTagsPage  = 16 << 20 // bytes
	maxTagsBytes = 64 << 20 // bytes of all pages: more than maxTags tags of maxTag characters need
	maxPages     = 10_000
)

// Tags lists all tags of the repository, page by page. It skips names that are invalid
// by the distribution spec's grammar: no request could name them.
func (r *Repository) Tags(ctx context.Context) (tags []string, err error) {
	for _, ep := range r.endpoints {
		if tags, err = ep.tags(ctx); err == nil {
			return tags, nil
		}
	}
	return nil, r.fail(err, "listing tags of", "")
}

func (ep repoEndpoint) tags(ctx context.Context) ([]string, error) {
	var all []string
	list := tagReader{repoEndpoint: ep, room: maxTagsBytes}
	query := "n=" + strconv.Itoa(tagsPerPage)
	for pages := 0; query != ""; pages++ {
		if pages == maxPages {
			return nil, &regerror.Error{Err: regerror.Malformed("the list of tags exceeds %d pages", maxPages)}
		}
		page, err := list.page(ctx, query)
		if err != nil {
			return nil, err
		}
		all = append(all, page.tags...)
		if len(all) > maxTags {
			return nil, &regerror.Error{Err: regerror.Malformed("the list of tags exceeds %d tags", maxTags)}
		}
		if page.next == query {
			return nil, &regerror.Error{Err: regerror.Malformed("the list of tags leads back to the same page")}
		}
		query = page.next
	}
	return all, nil
}

// A tagReader reads the list of tags of one repository.
type tagReader struct {
	repoEndpoint
	room int // bytes that may still come, with those of pages that are read again
}

type tagPage struct {
	tags []string
	next string // query of the next page; "" after the last
}

// page reads one page, with retries if it breaks off.
func (t *tagReader) page(ctx context.Context, query string) (tagPage, error) {
	var page tagPage
	err := t.host.client.policy().Do(ctx, func(n int) (time.Duration, error) {
		var again bool
		var err error
		if page, again, err = t.read(ctx, query); again {
			return 0, &regerror.Error{Err: err, Tries: n}
		}
		return retry.Never, err
	})
	return page, err
}

// read reads a page once. It reports again if the page broke off.
func (t *tagReader) read(ctx context.Context, query string) (page tagPage, again bool, err error) {
	resp, err := t.host.do(ctx, &call{
		method: http.MethodGet, rest: "tags/list", query: query, access: t.access, expect: []int{http.StatusOK},
	})
	if err != nil {
		return page, false, err
	}
	defer resp.Body.Close()
	limit := min(maxTagsPage, t.room)
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	switch {
	case len(b) > maxTagsPage:
		return page, false, &regerror.Error{Err: regerror.Malformed("a page of the list of tags exceeds %d bytes", maxTagsPage)}
	case len(b) > limit:
		return page, false, &regerror.Error{Err: regerror.Malformed("the list of tags exceeds %d bytes", maxTagsBytes)}
	}
	t.room -= len(b)
	if err != nil {
		return page, true, regerror.Plain(ctx, err)
	}
	var answer struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		err = regerror.Malformed("the list of tags is not JSON: %w", err)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) && syntax.Offset == int64(len(b)) {
			return page, true, err // it ends too early
		}
		return page, false, &regerror.Error{Err: err}
	}
	tags := slices.DeleteFunc(answer.Tags, func(tag string) bool { return !isTag(tag) })
	return tagPage{tags: tags, next: nextPage(resp.Header)}, false, nil
}

// isTag reports whether s is a tag by the distribution spec's grammar.
func isTag(s string) bool {
	return s != "" && len(s) <= maxTag && reference.TagRegexp.FindString(s) == s
}

// nextPage returns the query of the next page from the Link header (RFC 8288). It
// ignores the header's host and path, which are known.
func nextPage(h http.Header) string {
	for _, link := range h.Values("Link") {
		target, params, _ := strings.Cut(link, ">")
		if !strings.Contains(params, "next") {
			continue
		}
		if u, err := url.Parse(strings.TrimPrefix(strings.TrimSpace(target), "<")); err == nil {
			return u.RawQuery
		}
	}
	return ""
}
