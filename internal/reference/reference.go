// Package reference has the names of images in mapping files: a repository on a
// registry, with a tag, a digest or neither. It uses the grammar of
// distribution/reference, as Docker and podman do, so a name without a host is Docker
// Hub's.
package reference

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"imagemirror/internal/digest"
)

// A Reference names an image, or a repository if Tag and Digest are empty. It is
// comparable: two spellings of one name (docker.io, index.docker.io, no host) are equal
// after Parse.
type Reference struct {
	Registry   string // host or host:port, such as quay.io
	Repository string // path on the registry, such as openshift-knative/client
	Tag        string // such as v1.2; a source's may have * wildcards
	Digest     string // sha256:<64 hex digits>
}

// Parse reads HOST/PATH, HOST/PATH:TAG, HOST/PATH@DIGEST or HOST/PATH:TAG@DIGEST, and
// keeps both tag and digest. It adds no default tag. It refuses wildcards: see
// ParsePattern.
func Parse(s string) (Reference, error) { return parseReference(s, false) }

// ParsePattern reads a source like Parse. The tag may have * wildcards.
func ParsePattern(s string) (Reference, error) { return parseReference(s, true) }

// IsTag reports whether s is a tag by the distribution spec's grammar: at most 128 characters.
func IsTag(s string) bool { return s != "" && reference.TagRegexp.FindString(s) == s }

func parseReference(s string, wildcards bool) (Reference, error) {
	rest, hash, pinned := strings.Cut(s, "@")
	repo, tag := rest, ""
	// A colon after the last slash begins a tag; one before it begins a port.
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		repo, tag = rest[:i], rest[i+1:]
		if tag == "" {
			return Reference{}, fmt.Errorf("%q ends in a colon: add a tag, or remove the colon", s)
		}
		checked := tag
		if wildcards {
			checked = strings.ReplaceAll(tag, "*", "x")
		}
		if strings.Contains(checked, "*") {
			return Reference{}, fmt.Errorf("%q has a * wildcard in its tag: only a source may", s)
		}
		if !IsTag(checked) {
			return Reference{}, fmt.Errorf("%q has the invalid tag %q: write up to 128 letters, digits, '_', '.' and '-', and begin with neither of the last two", s, tag)
		}
	}
	if pinned && !digest.Valid(hash) {
		return Reference{}, fmt.Errorf("%q has the invalid digest %q: write sha256: and 64 hexadecimal digits", s, hash)
	}
	if strings.Contains(repo, "*") {
		return Reference{}, fmt.Errorf("%q has a * wildcard outside of a tag", s)
	}
	if strings.Contains(repo, "/") && !ValidPort(repo) {
		return Reference{}, fmt.Errorf("%q has an invalid port: write a number from 1 to 65535, or remove the colon", s)
	}
	named, err := reference.ParseNormalizedNamed(lowerHost(repo))
	// If the name still has a tag, it was written with two, as in a:v1:v2. A host with
	// upper case is an organization, as in Org/image.
	if err != nil || !reference.IsNameOnly(named) || reference.Domain(named) != strings.ToLower(reference.Domain(named)) {
		return Reference{}, fmt.Errorf("%q is not an image name: write HOST/REPOSITORY:TAG in lower case, such as quay.io/org/image:v1", s)
	}
	return Reference{Registry: reference.Domain(named), Repository: reference.Path(named), Tag: tag, Digest: hash}, nil
}

// ValidPort reports whether the host of a name has a valid port or none. The name is HOST or
// HOST/PATH.
func ValidPort(name string) bool {
	host, path, _ := strings.Cut(name, "/")
	i := strings.LastIndexByte(host, ':')
	inBrackets := i < strings.LastIndexByte(host, ']') // a colon of an IPv6 address
	isURL := strings.HasSuffix(host, ":") && strings.HasPrefix(path, "/")
	return i < 0 || inBrackets || isURL || IsPort(host[i+1:])
}

// IsPort reports whether s is a TCP port: 1 to 65535 in decimal digits, without leading zeros,
// so that a registry has one name.
func IsPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}

// lowerHost returns repo with its host in lower case: QUAY.IO and quay.io are one name
// in DNS.
func lowerHost(repo string) string {
	host, path, found := strings.Cut(repo, "/")
	if !found || !strings.ContainsAny(host, ".:") {
		return repo
	}
	return strings.ToLower(host) + "/" + path
}

// OneName returns a name with the canonical name of its registry: without port 443, the default of
// HTTPS, and with docker.io for the hosts of Docker Hub's API. Rules for one name of a registry
// apply to all of its names.
func OneName(name string) string {
	host, _, _ := strings.Cut(name, "/")
	one := strings.TrimSuffix(host, ":443")
	if one == "registry-1.docker.io" || one == "index.docker.io" {
		one = "docker.io"
	}
	if one == host {
		return name
	}
	return one + name[len(host):]
}

// Name returns HOST/PATH, without tag and digest.
func (r Reference) Name() string { return r.Registry + "/" + r.Repository }

// String returns the name with its tag and digest, if any.
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

// Wildcard reports whether the tag is a pattern.
func (r Reference) Wildcard() bool { return strings.Contains(r.Tag, "*") }

// WithTag returns r's repository with another tag and no digest.
func (r Reference) WithTag(tag string) Reference {
	return Reference{Registry: r.Registry, Repository: r.Repository, Tag: tag}
}

// WithDigest returns r's repository with a digest and no tag.
func (r Reference) WithDigest(digest string) Reference {
	return Reference{Registry: r.Registry, Repository: r.Repository, Digest: digest}
}

// Identifier returns what to ask a registry for: the digest, or the tag if there is none.
func (r Reference) Identifier() string {
	if r.Digest != "" {
		return r.Digest
	}
	return r.Tag
}

// Match reports whether tag matches r's tag pattern. Each * stands for any number of
// characters.
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
