package link

import (
	"net/url"
	"strings"

	"imagemirror/internal/reference"
)

// Visibility returns the address of the page where its owners make an image's repository public,
// or "" if none is known.
func Visibility(image reference.Reference) string {
	first, rest, nested := strings.Cut(image.Repository, "/")
	switch image.Registry {
	case "quay.io":
		return "https://quay.io/repository/" + image.Repository + "?tab=settings"
	case "docker.io":
		return "https://hub.docker.com/repository/docker/" + image.Repository + "/settings"
	case "ghcr.io":
		// For a person's package GitHub has the same page below users/.
		if nested {
			return "https://github.com/orgs/" + first + "/packages/container/" + url.PathEscape(rest) + "/settings"
		}
	case "registry.gitlab.com":
		// An image has the path of its project, and may have up to two elements more. With two,
		// all of them are the project's; with more, its settings are found from its group.
		if nested && !strings.Contains(rest, "/") {
			return "https://gitlab.com/" + image.Repository + "/edit"
		}
		return "https://gitlab.com/" + first
	}
	return ""
}
