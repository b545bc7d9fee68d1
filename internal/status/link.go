package status

import "imagemirror/internal/reference"

// registryPage returns the address of the page on which a registry shows the tags of a
// destination, or "" if it has none that is known.
func registryPage(destination string) string {
	ref, err := reference.Parse(destination)
	if err != nil {
		return ""
	}
	switch ref.Registry {
	case "quay.io":
		return "https://quay.io/repository/" + ref.Repository + "?tab=tags"
	case "docker.io":
		return "https://hub.docker.com/r/" + ref.Repository + "/tags"
	case "ghcr.io":
		return "https://ghcr.io/" + ref.Repository // leads to the package
	case "public.ecr.aws":
		return "https://gallery.ecr.aws/" + ref.Repository
	case "gcr.io", "us.gcr.io", "eu.gcr.io", "asia.gcr.io":
		return "https://" + ref.Registry + "/" + ref.Repository
	}
	return ""
}
