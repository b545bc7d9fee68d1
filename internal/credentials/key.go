package credentials

import "strings"

// hubServer is the name of Docker Hub in Docker's files and helpers.
const hubServer = "https://index.docker.io/v1/"

// normalizeKey turns the key of a file or a helper into HOST or HOST/PATH. Of a path it
// drops only that of the registry API (/v1/, /v2/): an entry for https://quay.io/team
// must not become one for all of quay.io, nor may Docker Desktop's
// https://index.docker.io/v1/refresh-token become Docker Hub's.
func normalizeKey(key string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	if rest != key {
		rest = strings.TrimRight(rest, "/") + "/"
	}
	rest = strings.TrimSuffix(strings.TrimSuffix(rest, "/v1/"), "/v2/")
	host, path, _ := strings.Cut(strings.TrimRight(rest, "/"), "/")
	if path == "" {
		return normalizeHost(host)
	}
	return normalizeHost(host) + "/" + path
}

// normalizeHost returns the host in lower case, and docker.io for all names of Docker
// Hub.
func normalizeHost(host string) string {
	host = strings.ToLower(host)
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

// serverURL returns what to ask a helper for if it does not list key.
func serverURL(key string) string {
	if key == "docker.io" {
		return hubServer
	}
	return key
}
