package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// download writes the published release of a project into a file, configured for the tests, and
// returns its name.
func (m *machine) download(ctx context.Context, p project) (file string, err error) {
	m.logf("downloading %s %s", p.title, p.version)
	var documents [][]byte
	for _, url := range p.published {
		content, err := fetch(ctx, url)
		if err != nil {
			return "", err
		}
		documents = append(documents, content)
	}
	yaml, err := configure(bytes.Join(documents, []byte("\n---\n")), p.released)
	if err != nil {
		return "", err
	}
	file = m.path("run", p.dir+".yaml")
	return file, os.WriteFile(file, yaml, 0o644)
}

// fetch gets a file of up to 16 MiB, within a minute.
func fetch(ctx context.Context, url string) ([]byte, error) {
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
	const limit = 16 << 20
	content, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if len(content) > limit {
		return nil, fmt.Errorf("downloading %s: larger than %d bytes", url, limit)
	}
	return content, err
}
