package registry

import (
	"context"
	"errors"
	"net/http"

	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
)

// errNoTagLists means that a registry has refused lists of tags before.
var errNoTagLists = errors.New("the registry refuses lists of tags")

// TagsWithin does what Tags does, for callers who can do without the list. It gives up on a list
// of more than pages pages, tries a page once, or twice if it breaks off, and asks only the
// location. A registry that refuses all lists, or has failed to send two and never sent one, is
// not asked again.
func (r *Repository) TagsWithin(ctx context.Context, pages int) ([]string, error) {
	location := r.endpoints[len(r.endpoints)-1]
	lists := &location.host.tagLists
	if lists.useless() {
		return nil, r.fail(errNoTagLists, "listing tags of", "")
	}
	tags, err := location.tagsWithin(ctx, pages, true)
	switch status := regerror.StatusOf(err); {
	case err == nil:
		lists.worked()
		return tags, nil
	case ctx.Err() != nil || lists.isProven():
	case status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented:
		lists.refuse(err)
	case status/100 == 5 || status/100 == 2 || regerror.IsSlow(err):
		lists.doubt() // any other answer is about the repository and its credentials
	}
	return nil, r.fail(err, "listing tags of", "")
}

// brokenTries is how often an optional answer that breaks off is read.
const brokenTries = 2

// UseIfThere reads the manifest under a tag that nobody has listed, and calls use with it if there
// is one. It asks only the location, with one GET: a HEAD of what is there would cost a second
// request. Any refusal means that the tag is not there, since registries answer 400, 401 and 403
// to such requests as well as 404. Any other failure gets one more try.
func (r *Repository) UseIfThere(ctx context.Context, tag string, use func(manifest.Raw)) (there bool, err error) {
	if there, err = r.endpoints[len(r.endpoints)-1].useIfThere(ctx, tag, use); err != nil {
		err = r.fail(err, "reading manifest", tag)
	}
	return there, err
}

func (ep repoEndpoint) useIfThere(ctx context.Context, tag string, use func(manifest.Raw)) (there bool, err error) {
	for range brokenTries {
		m, release, _, failed := ep.readManifest(ctx, tag, true)
		if failed == nil {
			use(m)
			release()
			return true, nil
		}
		release()
		if err = failed; regerror.IsRefusal(err) && !regerror.IsThrottling(err) {
			return false, nil
		}
		if ctx.Err() != nil || regerror.IsPermanent(err) {
			break
		}
	}
	return false, err
}
