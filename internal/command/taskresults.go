package command

import (
	"fmt"
	"os"
	"path/filepath"

	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// maxSummary bounds the summary, in characters: all results of a Task together have 4096 bytes.
const maxSummary = 300

// TaskResults is where a Tekton Task writes its results.
type TaskResults struct {
	ResultsDir string `split_words:"true" desc:"with MIRROR_STATE: directory for Tekton results: summary, split's shards, copy's IMAGES"`
}

// Write writes one result. Without a directory it does nothing.
func (r TaskResults) Write(name, value string) error {
	if r.ResultsDir == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(r.ResultsDir, name), []byte(value), 0o644); err != nil {
		return fmt.Errorf("MIRROR_RESULTS_DIR: %w", err)
	}
	return nil
}

// Summarize writes a sentence as the result summary.
func (r TaskResults) Summarize(sentence string) error {
	return r.Write("summary", text.Line(secret.Hide(sentence), maxSummary))
}
