package settings

import (
	"fmt"
	"slices"
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
)

// Prefixes are the beginnings of image names that a file allows. None allow any name.
type Prefixes []Prefix

// A Prefix is a host, or a host and whole elements of a path.
type Prefix struct {
	Name string
	Line int // of the file
}

// Read reads a list of prefixes of sources or destinations, which is the word for them in
// messages.
func (p *Prefixes) Read(v strictyaml.Value, word string) {
	// An empty list could mean none or any.
	if v.Empty() {
		v.Refuse("spec.%ss allows nothing: name a prefix, or leave the key out", word)
	}
	v.List(func(v strictyaml.Value) {
		text, ok := v.Text()
		if !ok {
			return
		}
		if !reference.ValidPort(text) {
			v.Refuse("%s %.*q has an invalid port: write a number from 1 to 65535, or remove the colon", word, maxText, text)
			return
		}
		prefix, ok := parsePrefix(text)
		if !ok {
			v.Refuse("%s %.*q is not a prefix of image names: write HOST, HOST/ORGANIZATION or HOST/REPOSITORY, without a tag or a final /", word, maxText, text)
			return
		}
		*p = append(*p, Prefix{prefix, v.Line()})
	})
}

// parsePrefix returns a prefix in the form of the names that it is compared with: one without
// a host is Docker Hub's.
func parsePrefix(text string) (string, bool) {
	// Two more elements make it a name. With only one, docker.io/ORG would be an image in
	// docker.io/library.
	const below = "/x/x"
	if strings.ContainsAny(text, "@*") {
		return "", false
	}
	r, err := reference.Parse(text + below)
	return strings.TrimSuffix(r.Name(), below), err == nil
}

// Allow reports whether a name, or a longer prefix, begins with one of the prefixes.
func (p Prefixes) Allow(name string) bool {
	return len(p) == 0 || slices.ContainsFunc(p, func(allowed Prefix) bool { return allowed.begins(name) })
}

// Covers reports whether one of the prefixes covers a name, under any name of its registry. No
// prefixes cover all names. A prefix such as busybox covers both the official image and the
// organization of that name.
func (p Prefixes) Covers(name string) bool {
	one := reference.OneName(name)
	return len(p) == 0 || slices.ContainsFunc(p, func(covered Prefix) bool {
		prefix := reference.OneName(covered.Name)
		return Prefix{Name: prefix}.begins(one) || Prefix{Name: library(prefix)}.begins(one)
	})
}

// library returns the name of the official image of Docker Hub that a name without a host and a
// slash may mean, besides an organization. It returns any other name as it is.
func library(name string) string {
	if image, ok := strings.CutPrefix(name, "docker.io/"); ok && !strings.Contains(image, "/") {
		return "docker.io/library/" + image
	}
	return name
}

func (p Prefix) begins(name string) bool {
	rest, begins := strings.CutPrefix(name, p.Name)
	return begins && (rest == "" || rest[0] == '/')
}

// shownPrefixes bounds the prefixes that a message lists.
const shownPrefixes = 5

// String lists the first prefixes and counts the others.
func (p Prefixes) String() string {
	var names []string
	for _, prefix := range p[:min(len(p), shownPrefixes)] {
		names = append(names, prefix.Name)
	}
	list := strings.Join(names, ", ")
	if more := len(p) - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
