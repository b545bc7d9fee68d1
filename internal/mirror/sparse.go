package mirror

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"
	"slices"

	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
	"imagemirror/internal/text"
)

// leaveOut notes a child of an index that is not wanted.
func (m *wantedManifest) leaveOut(child string) {
	if m.absent == 0 {
		m.firstAbsent = child
	}
	m.absent++
}

// A sparseError is the cause of a push that a registry refuses since it wants all children of an
// index.
type sparseError struct{ absent int }

func (s sparseError) Error() string {
	return "the index lists " + text.Count(s.absent, "manifest") + " that spec.platforms leaves out"
}

// Kind returns what kind of failure the error is the cause of.
func (sparseError) Kind() fault.Kind { return fault.Unsupported }

// Advice returns what a person can do about the error.
func (sparseError) Advice() string {
	return "set platforms.form: rewrite in the set's settings.yaml, or configure the registry to accept an index without all of its manifests"
}

// explainSparse adds the missing manifests to the error of an index that its registry refuses.
// Most registries require all that an index lists (docs/reference/registries.md).
func (e *engine) explainSparse(m *wantedManifest, err error) error {
	var r *regerror.Error
	if m.absent == 0 || !errors.As(err, &r) || r.Err != nil {
		return err
	}
	named, _ := regerror.UnknownContent(err)
	named = append(slices.Clone(named), digestRE.FindAllString(r.Error(), -1)...)
	content := e.content(m).Content
	e.mu.Lock()
	defer e.mu.Unlock()
	known := func(d string) bool { return m.repo.wantsLocked(d) || !bytes.Contains(content, []byte(d)) }
	switch named = slices.DeleteFunc(named, known); {
	case len(named) > 0 && refused(r.Status):
		e.refusesSparseLocked(m.repo.queue)
	case !slices.Contains(refusals, r.Status):
		return err
	}
	explained := *r
	explained.Err = sparseError{m.absent}
	return &explained
}

// refusals are the statuses with which registries refuse an index for children that are not there,
// and do not name one: quay.io 400 (MANIFEST_INVALID), Nexus 404, cue-labs' ociserver 500.
var refusals = []int{http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusInternalServerError}

var digestRE = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// refusesSparseLocked remembers that a registry wants all children of an index. Its other sparse
// indexes that are not complete yet are checked before anything more is sent for them: only if the
// children happen to be there may the push succeed.
func (e *engine) refusesSparseLocked(q *uploadQueue) {
	if q.refusesSparse {
		return
	}
	q.refusesSparse = true
	for _, r := range e.repos {
		if r.queue != q {
			continue
		}
		for _, m := range r.manifests {
			if m.absent > 0 && m.missing > 0 && m.neededLocked() {
				q.addLocked(pushing, 0, func() { e.checkChildren(m) })
			}
		}
	}
}

// checkChildren fails a sparse index, before what it leads to has arrived, if the first child that
// is left out is not in its repository.
func (e *engine) checkChildren(m *wantedManifest) {
	_, err := m.repo.to.Head(e.work, m.firstAbsent)
	if regerror.StatusOf(err) != http.StatusNotFound {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.missing > 0 {
		e.failLocked(m, fault.New(fault.Fault{
			Kind: fault.Unsupported, Side: "destination", Host: m.repo.to.Registry(), Advice: sparseError{}.Advice(),
		}, "pushing manifest "+m.digest+" to "+m.repo.to.Name()+" at the destination: the registry has refused such an index before, and "+sparseError{m.absent}.Error()))
	}
}
