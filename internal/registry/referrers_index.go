package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
)

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
	if !manifest.IsManifest(about.MediaType) {
		about.MediaType = m.MediaType
	}
	entry, err := json.Marshal(struct {
		Referrer
		Annotations map[string]string `json:"annotations,omitempty"`
	}{Referrer{about.MediaType, m.Digest, int64(len(m.Content)), cmp.Or(about.ArtifactType, about.Config.MediaType)}, about.Annotations})
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
