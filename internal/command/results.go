package command

import (
	"fmt"
	"os"
	"path/filepath"

	"imagemirror/internal/text"
)

// maxSummary bounds a sentence among Tekton's results: all results of a Task have 4096 bytes together.
const maxSummary = 300

// Results is where a Tekton Task gives its results.
type Results struct {
	ResultsDir string `split_words:"true" desc:"with MIRROR_STATE: directory for a Tekton Task's results: summary, and of split shards, of copy IMAGES"`
}

// Write gives a result; where no directory is named it does nothing.
func (r Results) Write(name, value string) error {
	if r.ResultsDir == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(r.ResultsDir, name), []byte(value), 0o644); err != nil {
		return fmt.Errorf("MIRROR_RESULTS_DIR: %w", err)
	}
	return nil
}

// Summarize gives a sentence as the result summary.
func (r Results) Summarize(sentence string) error {
	return r.Write("summary", text.Line(sentence, maxSummary))
}
