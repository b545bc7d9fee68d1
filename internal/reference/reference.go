// Package reference holds the names of images as mapping files write them: a repository on a registry with a
// tag, a digest or neither. It parses with the reference grammar that registries
// themselves use, so that a name without a host is Docker Hub's, as everywhere else.
package reference

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"imagemirror/internal/digest"
)

// Reference names an image, or a repository when both Tag and Digest are empty. It is comparable: two
// spellings of one name (docker.io, index.docker.io, no host) are equal once parsed.
type Reference struct {
	Registry   string // host or host:port, such as quay.io
	Repository string // path on the registry, such as openshift-knative/client
	Tag        string // such as v1.2; a source's may hold * wildcards
	Digest     string // sha256:<64 hex digits>
}

// Parse reads HOST/PATH, HOST/PATH:TAG, HOST/PATH@DIGEST or HOST/PATH:TAG@DIGEST. In the last form both are kept.
// It does not supply a default tag. Wildcards are refused: see ParsePattern.
func Parse(s string) (Reference, error) { return parse(s, false) }

// ParsePattern is Parse for a source: its tag may hold * wildcards.
func ParsePattern(s string) (Reference, error) { return parse(s, true) }

func parse(s string, wildcards bool) (Reference, error) {
	rest, hash, pinned := strings.Cut(s, "@")
	repo, tag := rest, ""
	// A colon behind the last slash begins a tag; one before it is a port's.
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		repo, tag = rest[:i], rest[i+1:]
		if tag == "" {
			return Reference{}, fmt.Errorf("%q ends in a colon: write a tag behind it, or leave it out", s)
		}
		checked := tag
		if wildcards {
			checked = strings.ReplaceAll(tag, "*", "x")
		}
		if strings.Contains(checked, "*") {
			return Reference{}, fmt.Errorf("%q: only a source's tag may hold a * wildcard", s)
		}
		if reference.TagRegexp.FindString(checked) != checked {
			return Reference{}, fmt.Errorf("%q: %q is no tag: write at most 128 letters, digits, '_', '.' and '-', beginning with none of the last two", s, tag)
		}
	}
	if pinned && !digest.Valid(hash) {
		return Reference{}, fmt.Errorf("%q: %q is no digest: write sha256: and 64 hexadecimal digits", s, hash)
	}
	if strings.Contains(repo, "*") {
		return Reference{}, fmt.Errorf("%q: a * wildcard may stand in a source's tag only", s)
	}
	named, err := reference.ParseNormalizedNamed(lowerHost(repo))
	// A name that still has a tag was written with two, as in a:v1:v2. A host that is not in lower case is an
	// organisation's name, as in Org/image, taken for one.
	if err != nil || !reference.IsNameOnly(named) || reference.Domain(named) != strings.ToLower(reference.Domain(named)) {
		return Reference{}, fmt.Errorf("%q is no image name: write HOST/REPOSITORY:TAG in lower case, such as quay.io/org/image:v1", s)
	}
	return Reference{Registry: reference.Domain(named), Repository: reference.Path(named), Tag: tag, Digest: hash}, nil
}

// lowerHost writes the host in lower case: to DNS QUAY.IO and quay.io are one name.
func lowerHost(repo string) string {
	host, path, found := strings.Cut(repo, "/")
	if !found || !strings.ContainsAny(host, ".:") {
		return repo
	}
	return strings.ToLower(host) + "/" + path
}

// Name is HOST/PATH, without tag and digest.
func (r Reference) Name() string { return r.Registry + "/" + r.Repository }

// String is the name with the tag, where there is one, and the digest, where there is one.
func (r Reference) String() string {
	s := r.Name()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// Wildcard says whether the tag is a pattern.
func (r Reference) Wildcard() bool { return strings.Contains(r.Tag, "*") }

// WithTag is r's repository with another tag and no digest.
func (r Reference) WithTag(tag string) Reference {
	return Reference{Registry: r.Registry, Repository: r.Repository, Tag: tag}
}

// WithDigest is r's repository with a digest and no tag.
func (r Reference) WithDigest(digest string) Reference {
	return Reference{Registry: r.Registry, Repository: r.Repository, Digest: digest}
}

// Identifier is what a registry is asked for: the digest where there is one, and the tag where there is none.
func (r Reference) Identifier() string {
	if r.Digest != "" {
		return r.Digest
	}
	return r.Tag
}

// Match reports whether tag matches r's tag pattern, in which each * stands for any number of characters.
func (r Reference) Match(tag string) bool { return match(r.Tag, tag) }

func match(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return true
}
