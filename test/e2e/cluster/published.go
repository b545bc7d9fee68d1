package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// publishedYAML is where Tekton's project has the release.
const publishedYAML = "https://infra.tekton.dev/tekton-releases/pipeline/previous/" + Tekton + "/release.yaml"

// publishedTekton downloads Tekton's release, set up for restricted pods, and returns the file.
func (m *machine) publishedTekton(ctx context.Context) (file string, err error) {
	m.say("downloading Tekton Pipelines %s", Tekton)
	yaml, err := download(ctx, publishedYAML)
	if err != nil {
		return "", err
	}
	if yaml, err = configure(yaml, restricted); err != nil {
		return "", err
	}
	file = m.path("run", "tekton.yaml")
	return file, os.WriteFile(file, yaml, 0o644)
}

// download gets a file of some megabytes at most, within a minute.
func download(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("downloading %s: %s", url, response.Status)
	}
	const most = 16 << 20
	content, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if len(content) > most {
		return nil, fmt.Errorf("downloading %s: it is larger than %d bytes", url, most)
	}
	return content, err
}
