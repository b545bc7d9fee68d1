package credentials

import "strings"

// hubServer is the name that Docker's files and helpers have for Docker Hub.
const hubServer = "https://index.docker.io/v1/"

// normalizeKey makes HOST or HOST/PATH of a key of a file or a helper. Only the path of the registry API (/v1/, /v2/) is
// dropped from it: an entry for https://quay.io/team must not become one for the whole of quay.io, nor may Docker
// Desktop's https://index.docker.io/v1/refresh-token become Docker Hub's.
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

// normalizeHost gives Docker Hub the one name that references have for it.
func normalizeHost(host string) string {
	host = strings.ToLower(host)
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

// serverURL is what a helper is asked for, where it has not said itself how it calls key.
func serverURL(key string) string {
	if key == "docker.io" {
		return hubServer
	}
	return key
}
