package registrytest

import (
	"net/http"
	"regexp"
	"strings"
)

// tokenPath is where a Proxy that demands Bearer tokens issues them.
const tokenPath = "/token"

// quayTokenPath is where Quay issues tokens.
const quayTokenPath = "/v2/auth"

var routeRE = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs|tags|referrers)/(.*)$`)

// An endpoint is what a request is about.
type endpoint struct {
	kind string // see Request
	repo string
	ref  string // a tag or a digest; of an upload, the digest that completes it
}

func endpointOf(r *http.Request) endpoint {
	path, query := r.URL.Path, r.URL.Query()
	switch path {
	case tokenPath, quayTokenPath:
		return endpoint{kind: "token"}
	case "/v2", "/v2/":
		return endpoint{kind: "ping"}
	}
	m := routeRE.FindStringSubmatch(path)
	if m == nil {
		return endpoint{kind: "other"}
	}
	repo, class, ref := m[1], m[2], m[3]
	switch {
	case class == "tags" || class == "referrers":
		return endpoint{r.Method + " " + class, repo, ref}
	case class == "manifests":
		return endpoint{r.Method + " manifest", repo, ref}
	case ref != "uploads" && !strings.HasPrefix(ref, "uploads/"):
		return endpoint{r.Method + " blob", repo, ref}
	case r.Method == http.MethodPost && query.Get("mount") != "":
		return endpoint{"POST mount", repo, query.Get("mount")}
	}
	return endpoint{r.Method + " upload", repo, query.Get("digest")}
}
