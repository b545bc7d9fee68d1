package link

import (
	"testing"

	"imagemirror/internal/reference"
)

func TestVisibility(t *testing.T) {
	for name, want := range map[string]string{
		"quay.io/org/image:v1":                       "https://quay.io/repository/org/image?tab=settings",
		"quay.io/org/deep/image":                     "https://quay.io/repository/org/deep/image?tab=settings",
		"docker.io/org/image:v1":                     "https://hub.docker.com/repository/docker/org/image/settings",
		"org/image:v1":                               "https://hub.docker.com/repository/docker/org/image/settings",
		"ghcr.io/org/image:v1":                       "https://github.com/orgs/org/packages/container/image/settings",
		"ghcr.io/org/deep/image:v1":                  "https://github.com/orgs/org/packages/container/deep%2Fimage/settings",
		"ghcr.io/image:v1":                           "",
		"registry.gitlab.com/group/project:v1":       "https://gitlab.com/group/project/edit",
		"registry.gitlab.com/group/project/image:v1": "https://gitlab.com/group",
		"quay.example/org/image:v1":                  "",
		"localhost:5000/org/image:v1":                "",
	} {
		r, err := reference.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := Visibility(r); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
