package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
	"imagemirror/internal/secret"
	"imagemirror/internal/strictjson"
)

// Bounds on the list of referrers of one manifest.
const (
	maxReferrers     = 1000
	maxReferrerPages = 100
	// A page is an image index, and no registry needs to accept a larger one.
	maxReferrersPage  = manifest.MaxSize
	maxReferrersBytes = 4 * maxReferrersPage // of all pages
)

// A Referrer is an entry of the list of manifests whose subject is another manifest.
type Referrer struct {
	MediaType    string `json:"mediaType"`
	Digest       string `json:"digest"`
	Size         int64  `json:"size"`
	ArtifactType string `json:"artifactType,omitempty"`
}

// ReferrersTag returns the tag of the index that lists the referrers of a manifest in a registry
// without the referrers API (OCI distribution spec, "Referrers Tag Schema").
func ReferrersTag(subject string) string { return strings.Replace(subject, ":", "-", 1) }

// A Presence tells what is known of a tag before it is asked for.
type Presence int

// The zero Presence is Unlisted: nobody has listed the repository's tags.
const (
	Unlisted Presence = iota
	Absent
	Present
)

// A ReferrersQuery narrows what Referrers asks for.
type ReferrersQuery struct {
	Type  string   // the only artifact type that is wanted, or "": a registry may ignore it
	Index Presence // of ReferrersTag
}

// Referrers lists the manifests whose subject is the one with the digest. It asks the referrers
// API (OCI distribution spec, "Listing Referrers"), and a registry that does not have it for the
// index under ReferrersTag. A registry that got the API later may still have such an index: it is
// read too if it is known to be there.
//
// A mirror may hold only a part of the list, so the location is asked, as for tags.
func (r *Repository) Referrers(ctx context.Context, subject string, q ReferrersQuery) ([]Referrer, error) {
	location := r.endpoints[len(r.endpoints)-1]
	list, err := location.referrers(ctx, subject, q)
	if err != nil {
		return nil, r.fail(err, "listing referrers of", subject)
	}
	return list, nil
}

func (ep repoEndpoint) referrers(ctx context.Context, subject string, q ReferrersQuery) (list []Referrer, err error) {
	api, path := &ep.host.referrers, ep.access.Repository
	// The first request to a registry goes alone: if the API is not there, it is the only one.
	first := false
	api.asked.Do(func() {
		first = true
		list, err = ep.askReferrers(ctx, subject, q)
	})
	var unknown error
	if !first && !api.isMissing(path) {
		if unknown = api.hopeless(); unknown == nil {
			list, err = ep.askReferrers(ctx, subject, q)
		}
	}
	switch {
	case api.isMissing(path) || regerror.StatusOf(err) == http.StatusNotFound:
		if err = nil; q.Index == Absent {
			return list, nil
		}
	case unknown != nil: // if the registry is without the API, there may be an index
		if q.Index == Absent {
			return nil, unknown
		}
	case err != nil || q.Index != Present:
		return list, err
	}
	tagged, err := ep.taggedReferrers(ctx, subject, q.Index)
	if err = cmp.Or(err, unknown); err != nil && len(tagged) == 0 {
		return nil, err
	}
	for _, d := range tagged {
		if !slices.ContainsFunc(list, func(o Referrer) bool { return o.Digest == d.Digest }) {
			list = append(list, d)
		}
	}
	return list, nil
}

// askReferrers asks the referrers API, and remembers whether the registry has it.
func (ep repoEndpoint) askReferrers(ctx context.Context, subject string, q ReferrersQuery) ([]Referrer, error) {
	query := ""
	if q.Type != "" && !ep.host.unfiltered.Load() {
		query = url.Values{"artifactType": {q.Type}}.Encode()
	}
	list, err := ep.listReferrers(ctx, subject, query)
	if query != "" && regerror.StatusOf(err) == http.StatusBadRequest {
		if list, err = ep.listReferrers(ctx, subject, ""); err == nil {
			ep.host.unfiltered.Store(true)
		}
	}
	ep.host.referrers.note(ctx, ep.access.Repository, err)
	return list, err
}

// taggedReferrers reads the index under ReferrersTag. If nobody has listed the tags, it may not
// exist, so it is asked for as UseIfThere does.
func (ep repoEndpoint) taggedReferrers(ctx context.Context, subject string, p Presence) (list []Referrer, err error) {
	var parsed error
	use := func(m manifest.Raw) { list, parsed = parseReferrers(m.Content) }
	if p == Unlisted {
		_, err = ep.useIfThere(ctx, ReferrersTag(subject), use)
	} else {
		err = ep.useManifest(ctx, ReferrersTag(subject), use)
	}
	if regerror.StatusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	return list, cmp.Or(err, parsed)
}

// listReferrers reads all pages of the referrers API. The query is that of the first page.
func (ep repoEndpoint) listReferrers(ctx context.Context, subject, query string) ([]Referrer, error) {
	l := &referrerList{repoEndpoint: ep, subject: subject, query: query, room: maxReferrersBytes}
	seen := map[string]bool{}
	pages := map[string]bool{}
	for at := new(url.URL); at != nil; {
		if pages[at.String()] || len(pages) == maxReferrerPages {
			return nil, &regerror.Error{Err: regerror.Permanent(errTooManyReferrers)}
		}
		pages[at.String()] = true
		page, next, err := l.page(ctx, at)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if !seen[d.Digest] {
				seen[d.Digest] = true
				l.all = append(l.all, d)
			}
		}
		if len(l.all) > maxReferrers {
			return nil, &regerror.Error{Err: regerror.Permanent(errTooManyReferrers)}
		}
		at = next
	}
	return l.all, nil
}

// A referrerList is the list of the referrers of one manifest while it is read.
type referrerList struct {
	repoEndpoint
	subject string
	query   string // of the first page
	room    int    // bytes that may still come
	all     []Referrer
}

// errTooManyReferrers means that a list of referrers is longer than a person would make it.
var errTooManyReferrers = errors.New("the list of referrers exceeds 1,000 entries, 100 pages or 16 MiB, or does not end")

// page reads a page, with retries if it breaks off. The first one has an empty address.
func (l *referrerList) page(ctx context.Context, at *url.URL) (page []Referrer, next *url.URL, err error) {
	c := &call{
		method: http.MethodGet, rest: "referrers/" + l.subject, query: l.query, access: l.access, expect: []int{http.StatusOK},
		header: http.Header{"Accept": {manifest.OCIIndex}},
		lists:  l.host.referrers.isProven(), // else all others wait for this one
	}
	if *at != (url.URL{}) {
		c.location = at
	}
	err = l.host.policy().Do(ctx, func(n int) (time.Duration, error) {
		resp, err := l.host.do(ctx, c)
		if err != nil {
			return retry.Never, err
		}
		defer resp.Body.Close()
		b, release, err := l.host.readContent(ctx, resp.Body)
		defer release()
		if l.room -= len(b); l.room < 0 {
			return retry.Never, &regerror.Error{Err: regerror.Permanent(errTooManyReferrers)}
		}
		if err != nil {
			wait := time.Duration(0)
			if regerror.IsSlow(err) && n >= SlowTries {
				wait = retry.Never
			}
			return wait, &regerror.Error{Err: regerror.Plain(ctx, err), Tries: n}
		}
		if page, err = parseReferrers(b); err == nil {
			next, err = l.nextReferrers(resp)
		}
		return retry.Never, cmp.Or(err, l.checkFilter(resp.Header))
	})
	return page, next, err
}

// checkFilter refuses a list that is filtered although nobody asked for that: some are missing.
func (l *referrerList) checkFilter(h http.Header) error {
	if by := h.Get("OCI-Filters-Applied"); by != "" && l.query == "" {
		return &regerror.Error{Err: regerror.Permanent(regerror.Malformed("the list of referrers is filtered by %.80q, which was not asked for", by))}
	}
	return nil
}

// nextReferrers returns the address of the next page, or nil after the last. It is on the registry.
func (ep repoEndpoint) nextReferrers(resp *http.Response) (*url.URL, error) {
	link, err := nextLink(resp.Header)
	if err != nil || link == "" {
		return nil, err
	}
	u, err := resp.Request.URL.Parse(link)
	switch {
	case err != nil:
		return nil, &regerror.Error{Err: regerror.Permanent(regerror.Malformed("the list of referrers has an invalid link %.120q", secret.Hide(link)))}
	case !ep.host.at(u):
		return nil, &regerror.Error{Err: regerror.Permanent(regerror.Malformed("the list of referrers continues on another host, %.120q", secret.Hide(u.Host)))}
	}
	u.Scheme, u.Host, u.User, u.Fragment = *ep.host.scheme.Load(), ep.host.address, nil, ""
	return u, nil
}

// parseReferrers reads an index of referrers. An entry that cannot be copied makes all of it
// unusable: a signature that is left out would go unnoticed.
func parseReferrers(b []byte) ([]Referrer, error) {
	if len(b) > maxReferrersPage {
		return nil, &regerror.Error{Err: regerror.Permanent(regerror.Malformed("the list of referrers exceeds %d bytes", maxReferrersPage))}
	}
	entries, err := referrerEntries(b)
	switch {
	case errors.Is(err, errTooManyReferrers):
		return nil, &regerror.Error{Err: regerror.Permanent(err)}
	case err != nil: // such as a page for people
		return nil, &regerror.Error{Err: regerror.Malformed("the list of referrers is not an index: %w", err)}
	}
	var list []Referrer
	if err := json.Unmarshal(entries, &list); err != nil {
		return nil, &regerror.Error{Err: regerror.Permanent(regerror.Malformed("the list of referrers has an entry that is not a descriptor: %w", err))}
	}
	for i, d := range list {
		if !digest.Valid(d.Digest) || !manifest.IsManifest(cmp.Or(d.MediaType, manifest.OCIManifest)) || d.Size < 0 {
			return nil, &regerror.Error{Err: regerror.Permanent(regerror.Malformed("entry %d of the list of referrers is not a manifest with a sha256 digest", i+1))}
		}
	}
	return list, nil
}

// referrerEntries returns the entries of an index. It refuses too many before they take memory.
// null stands for none in answers of cue-labs' ociserver.
func referrerEntries(b []byte) (json.RawMessage, error) {
	var fields map[string]json.RawMessage // which takes no other spelling of a key
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	entries := fields["manifests"]
	switch {
	case len(entries) == 0:
		return nil, errors.New(`it has no "manifests"`)
	case strictjson.Value(entries).IsNull():
		return entries, nil
	case entries[0] != '[':
		return nil, fmt.Errorf(`its "manifests" are not a list: %.20q`, entries)
	}
	n := 0
	for range strictjson.Value(entries).Elements() {
		if n++; n > maxReferrers {
			return nil, errTooManyReferrers
		}
	}
	return entries, nil
}
