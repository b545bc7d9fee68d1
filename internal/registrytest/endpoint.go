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

// An operation is what a request is about.
type operation struct {
	kind string // see Request
	repo string
	ref  string // a tag or a digest; of an upload, the digest that completes it
}

func operationOf(r *http.Request) operation {
	path, query := r.URL.Path, r.URL.Query()
	switch path {
	case tokenPath, quayTokenPath:
		return operation{kind: "token"}
	case "/v2", "/v2/":
		return operation{kind: "ping"}
	}
	m := routeRE.FindStringSubmatch(path)
	if m == nil {
		return operation{kind: "other"}
	}
	repo, class, ref := m[1], m[2], m[3]
	switch {
	case class == "tags" || class == "referrers":
		return operation{r.Method + " " + class, repo, ref}
	case class == "manifests":
		return operation{r.Method + " manifest", repo, ref}
	case ref != "uploads" && !strings.HasPrefix(ref, "uploads/"):
		return operation{r.Method + " blob", repo, ref}
	case r.Method == http.MethodPost && query.Get("mount") != "":
		return operation{"POST mount", repo, query.Get("mount")}
	}
	return operation{r.Method + " upload", repo, query.Get("digest")}
}
