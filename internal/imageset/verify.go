package imageset

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"imagemirror/internal/finding"
	"imagemirror/internal/reference"
	"imagemirror/internal/settings"
	"imagemirror/internal/verify"
)

// A verifyRule is one of settings or of a policy, with what it demands.
type verifyRule struct {
	settings.VerifyRule
	demand *verify.Demand
}

// Demands returns what settings and policies ask of an image before it is mirrored from a source to
// a destination: all of them.
func (s *Set) Demands(source, destination reference.Reference) []*verify.Demand {
	var all []*verify.Demand
	for _, r := range s.rules {
		if r.Sources.Covers(source.Name()) && r.Destinations.Covers(destination.Name()) {
			all = append(all, r.demand)
		}
	}
	return all
}

// demand adds what the rules in a file demand of the set. The files that they name are in dir. What
// is wrong with them is reported at the line that names them, once.
func (l *loader) demand(set *Set, rules []settings.VerifyRule, file, dir string) {
	for _, r := range rules {
		at := fmt.Sprintf("%s:%d", file, r.Line)
		// A line may have several rules.
		key := fmt.Sprintf("%s %#v %q %t %d", at, r.AnyOf, r.Attestations, r.AttestationsOnly, r.MinAge)
		known, ok := l.demands[key]
		if !ok {
			known = l.compile(r, at, file, dir)
			l.demands[key] = known
		}
		set.rules = append(set.rules, verifyRule{r, known})
	}
}

func (l *loader) compile(r settings.VerifyRule, at, file, dir string) *verify.Demand {
	d := &verify.Demand{At: at, Attestations: r.Attestations, AttestationsOnly: r.AttestationsOnly, MinAge: r.MinAge}
	for _, s := range r.AnyOf {
		if signer := l.signer(s, file, dir); signer != nil {
			d.Signers = append(d.Signers, signer)
		}
	}
	return d
}

// signer returns whose signatures an alternative accepts, or nil if something is wrong with it.
func (l *loader) signer(s settings.Signer, file, dir string) *verify.Signer {
	root, ok := l.root(s.TrustedRoot, file, dir)
	if !ok {
		return nil
	}
	line := s.Line
	var signer *verify.Signer
	var err error
	switch {
	case s.Key.Name != "":
		content, read := l.beside(s.Key, "key", file, dir)
		if !read {
			return nil
		}
		line = s.Key.Line
		if signer, err = verify.NewKey(s.Key.Name, content, root); err != nil {
			err = fmt.Errorf("key %s: %w", s.Key.Name, err)
		}
	case root == nil:
		return nil // settings has refused it
	default:
		signer, err = verify.NewIdentity(verify.Identity{
			Issuer: s.Issuer, IssuerRegexp: s.IssuerRegexp, Subject: s.Subject, SubjectRegexp: s.SubjectRegexp, Unlogged: s.Unlogged,
		}, root)
	}
	if err != nil {
		l.input.Found.Refuse(finding.Input, file, line, "%w", err)
		return nil
	}
	return signer
}

// root returns a root of trust, or nil if none is named. It reports whether nothing is wrong.
func (l *loader) root(f settings.NamedFile, file, dir string) (root *verify.TrustedRoot, ok bool) {
	if f.Name == "" {
		return nil, true
	}
	path := filepath.Join(dir, f.Name)
	if root, known := l.roots[path]; known {
		return root, root != nil
	}
	l.roots[path] = nil
	content, ok := l.beside(f, "trustedRoot", file, dir)
	if !ok {
		return nil, false
	}
	root, err := verify.ParseRoot(f.Name, content)
	if err != nil {
		l.input.Found.Refuse(finding.Input, file, f.Line, "trustedRoot %s: %w", f.Name, err)
		return nil, false
	}
	l.roots[path] = root
	return root, true
}

// beside reads a file that a line names, and refuses the line if that fails.
func (l *loader) beside(f settings.NamedFile, key, file, dir string) ([]byte, bool) {
	path := filepath.Join(dir, f.Name)
	err := CheckRegular(path)
	var content []byte
	if err == nil {
		content, err = ReadFile(path, verify.MaxFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: put the file beside %s", err, filepath.Base(file))
	}
	if err != nil {
		l.input.Found.Refuse(finding.Input, file, f.Line, "%s %s: %w", key, f.Name, err)
	}
	return content, err == nil
}
