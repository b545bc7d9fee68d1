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
	maxTagsBytes = 64 << 20 // bytes of all pages: more than as many tags as are taken, of the greatest length, come to
	maxPages     = 10_000
)

// Tags lists all tags of the repository, page by page. What is no tag by the distribution spec's grammar is left out: it
// could not be asked for.
func (r *Repository) Tags(ctx context.Context) (tags []string, err error) {
	for _, l := range r.locations {
		if tags, err = l.tags(ctx); err == nil {
			return tags, nil
		}
	}
	return nil, r.fail(err, "listing the tags of")
}

func (l location) tags(ctx context.Context) ([]string, error) {
	var all []string
	list := tagReader{location: l, room: maxTagsBytes}
	query := "n=" + strconv.Itoa(tagsPerPage)
	for pages := 0; query != ""; pages++ {
		if pages == maxPages {
			return nil, &regerror.Error{Err: regerror.Malformed("its list of tags has more than %d pages", maxPages)}
		}
		page, err := list.page(ctx, query)
		if err != nil {
			return nil, err
		}
		all = append(all, page.tags...)
		if len(all) > maxTags {
			return nil, &regerror.Error{Err: regerror.Malformed("it lists more than %d tags", maxTags)}
		}
		if page.next == query {
			return nil, &regerror.Error{Err: regerror.Malformed("its list of tags leads back to the same page")}
		}
		query = page.next
	}
	return all, nil
}

// tagReader is a list of tags that is being read.
type tagReader struct {
	location
	room int // bytes that may still come, those of pages that are read again among them
}

type tagPage struct {
	tags []string
	next string // query of the page behind it; empty where there is none
}

// page reads a page, and again where it breaks off.
func (l *tagReader) page(ctx context.Context, query string) (tagPage, error) {
	var page tagPage
	err := l.host.client.policy().Do(ctx, func(n int) (time.Duration, error) {
		var again bool
		var err error
		if page, again, err = l.read(ctx, query); again {
			return 0, &regerror.Error{Err: err, Tries: n}
		}
		return retry.Never, err
	})
	return page, err
}

// read reads a page once. again says that it broke off, which another try may mend.
func (l *tagReader) read(ctx context.Context, query string) (page tagPage, again bool, err error) {
	resp, err := l.host.do(ctx, &call{
		method: http.MethodGet, rest: "tags/list", query: query, access: l.access, expect: []int{http.StatusOK},
	})
	if err != nil {
		return page, false, err
	}
	defer resp.Body.Close()
	limit := min(maxTagsPage, l.room)
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	switch {
	case len(b) > maxTagsPage:
		return page, false, &regerror.Error{Err: regerror.Malformed("a page of its list of tags has more than %d bytes", maxTagsPage)}
	case len(b) > limit:
		return page, false, &regerror.Error{Err: regerror.Malformed("its list of tags has more than %d bytes", maxTagsBytes)}
	}
	l.room -= len(b)
	if err != nil {
		return page, true, regerror.Plain(ctx, err)
	}
	var answer struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		err = regerror.Malformed("its list of tags is no JSON: %w", err)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) && syntax.Offset == int64(len(b)) {
			return page, true, err // it ends too early
		}
		return page, false, &regerror.Error{Err: err}
	}
	tags := slices.DeleteFunc(answer.Tags, func(tag string) bool { return !isTag(tag) })
	return tagPage{tags: tags, next: nextPage(resp.Header)}, false, nil
}

// isTag says whether the distribution spec's grammar has such a tag.
func isTag(s string) bool {
	return s != "" && len(s) <= maxTag && reference.TagRegexp.FindString(s) == s
}

// nextPage is the query of the Link header's next page (RFC 8288). Only the query is taken from it: the path and
// the host are known.
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
