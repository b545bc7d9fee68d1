// Package link makes the addresses that reports lead people to: of the line of a mapping file and
// of a run, by the templates of an operator's policy, and of an image's page at its registry.
package link

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"imagemirror/internal/reference"
)

// A Template is an address on the web with placeholders such as {file} after its host.
type Template string

// The placeholders of the address of a line of a mapping file, and of a run.
var (
	FileNames = []string{"file", "line", "set", "name"}
	RunNames  = []string{"run", "set"}
)

// maxTemplate bounds a template, in bytes.
const maxTemplate = 1000

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// Check fails if the template is not an address of http or https, or if it has other placeholders
// than names.
func (t Template) Check(names ...string) error {
	if len(t) > maxTemplate {
		return fmt.Errorf("it has more than %d bytes", maxTemplate)
	}
	for _, p := range placeholder.FindAllString(string(t), -1) {
		if !slices.Contains(names, strings.Trim(p, "{}")) {
			return fmt.Errorf("the placeholder %.80q is not known: write {%s}", p, strings.Join(names, "} or {"))
		}
	}
	u, err := url.Parse(placeholder.ReplaceAllString(string(t), "x"))
	before, _, _ := strings.Cut(string(t), "{")
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%.80q is not an address: begin it with https://", string(t))
	case !strings.Contains(strings.TrimPrefix(before, u.Scheme+"://"), "/") && before != string(t):
		return fmt.Errorf("%.80q has a placeholder in its host: write one after the host only", string(t))
	case u.User != nil || strings.ContainsAny(placeholder.ReplaceAllString(string(t), ""), "{}"):
		return fmt.Errorf("%.80q has a user or a single brace: leave them out", string(t))
	}
	return nil
}

// Expand returns the address for values of the placeholders, or "" for no template. A value is
// escaped; its slashes stay.
func (t Template) Expand(values map[string]string) string {
	return placeholder.ReplaceAllStringFunc(string(t), func(p string) string {
		return escapePath(values[strings.Trim(p, "{}")])
	})
}

// escapePath escapes the parts of a path, and drops those that would lead elsewhere.
func escapePath(path string) string {
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		if part != "" && part != "." && part != ".." {
			parts = append(parts, strings.ReplaceAll(url.QueryEscape(part), "+", "%20"))
		}
	}
	return strings.Join(parts, "/")
}

// IsWeb reports whether an address is one of http or https that a page may lead to.
func IsWeb(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http")
}

// plain matches names that are safe in an address and as the name of a file, also on systems
// that do not tell upper from lower case.
var plain = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,126}[a-z0-9])?$`)

// ID returns the ID of a name in the URLs of status pages and in the names of their files: the name
// itself if it is plain, and otherwise a hash. No plain name looks like a hash.
func ID(name string) string {
	if plain.MatchString(name) && !strings.Contains(name, "..") {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "_" + hex.EncodeToString(sum[:10])
}

// Image returns the address of the page that a registry has for an image's repository, or "" if
// none is known.
func Image(name string) string {
	r, err := reference.Parse(name)
	if err != nil {
		return ""
	}
	switch r.Registry {
	case "quay.io":
		return "https://quay.io/repository/" + r.Repository
	case "ghcr.io":
		return "https://ghcr.io/" + r.Repository // which leads browsers to the package's page
	case "docker.io":
		if official, ok := strings.CutPrefix(r.Repository, "library/"); ok {
			return "https://hub.docker.com/_/" + official
		}
		return "https://hub.docker.com/r/" + r.Repository
	}
	return ""
}
