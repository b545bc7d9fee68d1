package registrytest

import (
	"net/http"
	"regexp"
	"strings"
)

// tokenPath is where a Proxy that demands Bearer tokens hands them out.
const tokenPath = "/token"

// quayTokenPath is where Quay does.
const quayTokenPath = "/v2/auth"

var routeRE = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs|tags|referrers)/(.*)$`)

// route is what a request asks for.
type route struct {
	kind string // see Request
	repo string
	ref  string // a tag, or a digest: for an upload the one it is committed as, for a mount the one it names
}

func routeOf(r *http.Request) route {
	path, query := r.URL.Path, r.URL.Query()
	switch path {
	case tokenPath, quayTokenPath:
		return route{kind: "token"}
	case "/v2", "/v2/":
		return route{kind: "ping"}
	}
	m := routeRE.FindStringSubmatch(path)
	if m == nil {
		return route{kind: "other"}
	}
	repo, class, ref := m[1], m[2], m[3]
	switch {
	case class == "tags" || class == "referrers":
		return route{r.Method + " " + class, repo, ref}
	case class == "manifests":
		return route{r.Method + " manifest", repo, ref}
	case ref != "uploads" && !strings.HasPrefix(ref, "uploads/"):
		return route{r.Method + " blob", repo, ref}
	case r.Method == http.MethodPost && query.Get("mount") != "":
		return route{"POST mount", repo, query.Get("mount")}
	}
	return route{r.Method + " upload", repo, query.Get("digest")}
}
