package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
	"imagemirror/internal/secret"
)

// Bounds on the list of referrers of one manifest.
const (
	maxReferrers     = 1000
	maxReferrerPages = 100
	// A page is an image index, and no registry needs to accept a larger one.
	maxReferrersPage = manifest.MaxSize
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

// Referrers lists the manifests whose subject is the one with the digest. It asks the referrers
// API (OCI distribution spec, "Listing Referrers"), and a registry that does not have it for the
// index under ReferrersTag. tagged reports whether the repository has a tag; it is called before
// that index is asked for and may be nil if nobody knows.
//
// A mirror may hold only a part of the list, so the location is asked, as for tags.
func (r *Repository) Referrers(ctx context.Context, subject string, tagged func(tag string) bool) ([]Referrer, error) {
	location := r.endpoints[len(r.endpoints)-1]
	list, err := location.referrers(ctx, subject, tagged)
	if err != nil {
		return nil, r.fail(err, "listing referrers of", subject)
	}
	return list, nil
}

func (ep repoEndpoint) referrers(ctx context.Context, subject string, tagged func(string) bool) (list []Referrer, err error) {
	// The first request to a registry goes alone: if the API is not there, it is the only one.
	first := false
	ep.host.referrersAsked.Do(func() {
		first = true
		list, err = ep.askReferrers(ctx, subject)
	})
	if !first && !ep.host.referrers.useless() {
		list, err = ep.askReferrers(ctx, subject)
	}
	if ep.host.referrers.useless() {
		return ep.taggedReferrers(ctx, subject, tagged)
	}
	return list, err
}

// askReferrers asks the referrers API, and remembers whether the registry has it.
func (ep repoEndpoint) askReferrers(ctx context.Context, subject string) ([]Referrer, error) {
	list, err := ep.listReferrers(ctx, subject)
	if err == nil {
		ep.host.referrers.worked()
	} else if lacksReferrers(ctx, err) {
		ep.host.referrers.refuse(err)
	}
	return list, err
}

// lacksReferrers reports whether an error is how registries without the referrers API answer: 404
// by the specification, but also other refusals, a redirect to a web site, and pages for people.
func lacksReferrers(ctx context.Context, err error) bool {
	return dispensable(ctx, err) && !regerror.IsThrottling(err) && !errors.Is(err, errTooManyReferrers) &&
		(regerror.IsRefusal(err) || regerror.IsMalformed(err) || regerror.StatusOf(err) == http.StatusNotImplemented || regerror.StatusOf(err)/100 == 3)
}

// taggedReferrers reads the index under ReferrersTag.
func (ep repoEndpoint) taggedReferrers(ctx context.Context, subject string, tagged func(string) bool) ([]Referrer, error) {
	tag := ReferrersTag(subject)
	if tagged != nil && !tagged(tag) {
		return nil, nil
	}
	m, err := ep.manifest(ctx, tag)
	if regerror.StatusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseReferrers(m.Content)
}

// listReferrers reads all pages of the referrers API.
func (ep repoEndpoint) listReferrers(ctx context.Context, subject string) ([]Referrer, error) {
	var all []Referrer
	seen := map[string]bool{}
	pages := map[string]bool{}
	for at := new(url.URL); at != nil; {
		if pages[at.String()] || len(pages) == maxReferrerPages {
			return nil, &regerror.Error{Err: regerror.Permanent(errTooManyReferrers)}
		}
		pages[at.String()] = true
		page, next, err := ep.referrersPage(ctx, subject, at)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if !seen[d.Digest] {
				seen[d.Digest] = true
				all = append(all, d)
			}
		}
		if len(all) > maxReferrers {
			return nil, &regerror.Error{Err: regerror.Permanent(errTooManyReferrers)}
		}
		at = next
	}
	return all, nil
}

// errTooManyReferrers means that a list of referrers is longer than a person would make it.
var errTooManyReferrers = errors.New("the list of referrers exceeds 1,000 entries or 100 pages, or does not end")

// referrersPage reads a page, with retries if it breaks off. The first page has an empty address.
func (ep repoEndpoint) referrersPage(ctx context.Context, subject string, at *url.URL) (page []Referrer, next *url.URL, err error) {
	c := &call{method: http.MethodGet, rest: "referrers/" + subject, access: ep.access, expect: []int{http.StatusOK}, header: http.Header{"Accept": {manifest.OCIIndex}}}
	if *at != (url.URL{}) {
		c.location = at
	}
	err = ep.host.policy().Do(ctx, func(n int) (time.Duration, error) {
		resp, err := ep.host.do(ctx, c)
		if err != nil {
			return retry.Never, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxReferrersPage+1))
		if err != nil {
			wait := time.Duration(0)
			if regerror.IsSlow(err) && n >= SlowTries {
				wait = retry.Never
			}
			return wait, &regerror.Error{Err: regerror.Plain(ctx, err), Tries: n}
		}
		if page, err = parseReferrers(b); err == nil {
			next, err = ep.nextReferrers(resp)
		}
		return retry.Never, err
	})
	return page, next, err
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
		return nil, &regerror.Error{Err: regerror.Malformed("the list of referrers has an invalid link %.120q", secret.Hide(link))}
	case !ep.host.at(u):
		return nil, &regerror.Error{Err: regerror.Malformed("the list of referrers continues on another host, %.120q", secret.Hide(u.Host))}
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
	var index struct {
		Manifests *[]Referrer `json:"manifests"`
	}
	err := json.Unmarshal(b, &index)
	if err == nil && index.Manifests == nil {
		err = errors.New(`it has no "manifests"`)
	}
	if err != nil {
		return nil, &regerror.Error{Err: regerror.Malformed("the list of referrers is not an index: %w", err)}
	}
	for i, d := range *index.Manifests {
		if !digest.Valid(d.Digest) || !manifest.IsManifest(cmp.Or(d.MediaType, manifest.OCIManifest)) || d.Size < 0 {
			return nil, &regerror.Error{Err: regerror.Permanent(regerror.Malformed("entry %d of the list of referrers is no manifest with a sha256 digest", i+1))}
		}
	}
	return *index.Manifests, nil
}

// ListsReferrers reports whether the registry has accepted a manifest with a subject and said that
// it lists it by itself (OCI distribution spec, "Pushing Manifests with Subject").
func (r *Repository) ListsReferrers() bool { return r.endpoints[0].host.lists.Load() }

// A referrersIndex is an OCI index as far as its entries are known. Other keys are kept as they
// are.
type referrersIndex struct {
	fields  map[string]json.RawMessage
	entries []json.RawMessage
	has     map[string]bool // digests
}

// AddReferrers adds manifests to the index under the ReferrersTag of their subject, which lists
// them in a registry without the referrers API. What others have written there stays. It sends
// nothing if the index has all of them.
//
// The protocol has no push that succeeds only if the index is still the one that was read: what
// somebody else adds between the two requests is lost. So the caller adds all referrers of a
// subject at once, and no two processes of a run write to one repository.
func (r *Repository) AddReferrers(ctx context.Context, subject string, add []manifest.Raw) error {
	ep, tag := r.endpoints[0], ReferrersTag(subject)
	index := referrersIndex{fields: map[string]json.RawMessage{}, has: map[string]bool{}}
	m, err := ep.manifest(ctx, tag)
	switch {
	case err == nil:
		err = index.parse(m.Content)
	case regerror.StatusOf(err) == http.StatusNotFound:
		err = nil
	}
	if err != nil {
		return r.fail(err, "listing referrers of", subject)
	}
	before := len(index.entries)
	for _, m := range add {
		if err := index.add(m); err != nil {
			return r.fail(err, regerror.PushingManifest, tag)
		}
	}
	if len(index.entries) == before {
		return nil
	}
	return r.PutManifest(ctx, tag, index.raw())
}

// parse reads the index that the registry has.
func (x *referrersIndex) parse(b []byte) error {
	list, err := parseReferrers(b)
	if err == nil {
		err = json.Unmarshal(b, &x.fields)
	}
	if err == nil {
		err = json.Unmarshal(x.fields["manifests"], &x.entries)
	}
	for _, d := range list {
		x.has[d.Digest] = true
	}
	return err
}

// add adds an entry for a manifest, with the properties that the specification asks for.
func (x *referrersIndex) add(m manifest.Raw) error {
	if x.has[m.Digest] {
		return nil
	}
	var about struct {
		MediaType    string            `json:"mediaType"`
		ArtifactType string            `json:"artifactType"`
		Config       Referrer          `json:"config"`
		Annotations  map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(m.Content, &about); err != nil {
		return err
	}
	entry, err := json.Marshal(struct {
		Referrer
		Annotations map[string]string `json:"annotations,omitempty"`
	}{Referrer{cmp.Or(about.MediaType, m.MediaType), m.Digest, int64(len(m.Content)), cmp.Or(about.ArtifactType, about.Config.MediaType)}, about.Annotations})
	x.entries, x.has[m.Digest] = append(x.entries, entry), true
	return err
}

// raw returns the index as a manifest.
func (x *referrersIndex) raw() manifest.Raw {
	x.fields["schemaVersion"] = json.RawMessage("2")
	x.fields["mediaType"], _ = json.Marshal(manifest.OCIIndex)
	x.fields["manifests"], _ = json.Marshal(x.entries)
	content, _ := json.Marshal(x.fields)
	return manifest.Raw{Digest: digest.Of(content), MediaType: manifest.OCIIndex, Content: content}
}
