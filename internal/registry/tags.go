package registry

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Bounds on a list of tags.
const (
	tagsPerPage = 1000 // what ECR takes at most
	maxTags     = 200_000
	maxTagsPage = 16 << 20 // bytes
	maxPages    = 10_000
)

// Tags lists all tags of the repository, page by page.
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
	query := "n=" + strconv.Itoa(tagsPerPage)
	for pages := 0; query != ""; pages++ {
		if pages == maxPages {
			return nil, &Error{Err: wrongAnswer("its list of tags has more than %d pages", maxPages)}
		}
		page, next, err := l.tagsPage(ctx, query)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(all) > maxTags {
			return nil, &Error{Err: wrongAnswer("it lists more than %d tags", maxTags)}
		}
		if next == query {
			return nil, &Error{Err: wrongAnswer("its list of tags leads back to the same page")}
		}
		query = next
	}
	return all, nil
}

func (l location) tagsPage(ctx context.Context, query string) (tags []string, next string, err error) {
	resp, err := l.host.do(ctx, &call{
		method: http.MethodGet, rest: "tags/list", query: query, access: l.access, expect: []int{http.StatusOK},
	})
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxTagsPage+1))
	if err != nil {
		return nil, "", &Error{Err: plain(ctx, err)}
	}
	if len(b) > maxTagsPage {
		return nil, "", &Error{Err: wrongAnswer("a page of its list of tags has more than %d bytes", maxTagsPage)}
	}
	var page struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(b, &page); err != nil {
		return nil, "", &Error{Err: wrongAnswer("its list of tags is no JSON: %v", err)}
	}
	return page.Tags, nextPage(resp.Header), nil
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
