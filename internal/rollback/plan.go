package rollback

import (
	"crypto/rand"
	"strings"

	"imagemirror/internal/manifest"
	"imagemirror/internal/record"
	"imagemirror/internal/stream"
)

// Plan returns the plan that copy carries out to move the tags back. The source of each is its own
// repository.
func (r *Rollback) Plan() *stream.Content {
	now := r.options.Now().UTC()
	p := &stream.Content{
		Name: "rollback", Archive: manifest.NewArchive(), Sets: []stream.Set{{Name: r.options.Set.Name, Owners: r.options.Set.Owners}},
		Header: stream.Header{Version: stream.Version, Stream: stream.Plan, Run: record.RollbackID + now.Format("20060102T150405Z-") + strings.ToLower(rand.Text()[:8]), Started: now},
	}
	var refs []manifest.Ref
	added := map[string]bool{}
	for _, t := range r.Tags {
		if !t.chosen() {
			continue
		}
		id := len(p.Mappings) + 1
		p.Mappings = append(p.Mappings, stream.Mapping{
			ID: id, Source: t.at.WithDigest(t.To).String(), Destination: t.at.String(), Set: r.options.Set.Name, File: t.File, Line: t.Line,
		})
		if !t.MustMove() {
			p.Results = append(p.Results, stream.Result{ID: id, Status: stream.Current, Digest: t.To, Old: t.From, Time: now})
			continue
		}
		if parsed, err := manifest.Parse(t.manifest.MediaType, t.manifest.Content); err == nil && !added[t.To] { // no error: see readTree
			added[t.To] = true
			refs = append(refs, p.Archive.Add(t.To, t.manifest.Content, parsed))
		}
		p.Copies = append(p.Copies, stream.Copy{ID: id, Digest: t.To, Old: t.From, There: true})
	}
	p.Header.Mappings = len(p.Mappings)
	p.Manifests = p.Archive.All(refs)
	return p
}
