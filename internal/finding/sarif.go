package finding

import (
	"encoding/json"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"
)

// The properties of SARIF 2.1.0 that a report needs:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"` // never null: that would mean that the check did not run
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
)

func (r *Document) sarif(w io.Writer) error {
	run := sarifRun{
		Tool:       sarifTool{Driver: sarifDriver{Name: "imagemirror", Rules: []sarifRule{}}},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
	}
	rules := &run.Tool.Driver.Rules
	for _, f := range r.Findings {
		index := slices.IndexFunc(*rules, func(known sarifRule) bool { return known.ID == f.Rule.ID })
		if index < 0 {
			index = len(*rules)
			*rules = append(*rules, sarifRule{ID: f.Rule.ID, ShortDescription: sarifText{f.Rule.Text}})
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: f.Rule.ID, RuleIndex: index, Level: f.level(),
			Message: sarifText{f.message()}, Locations: r.locations(f),
		})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

// locations returns the one place of a finding. GitHub refuses a whole upload if a result has none,
// so a finding about no file is at the first file that was checked, or at the root.
func (r *Document) locations(f Finding) []sarifLocation {
	file := "."
	switch {
	case f.File != "":
		file = relative(f.File)
	case len(r.Files) > 0:
		file = relative(r.Files[0])
	}
	at := sarifArtifact{URI: (&url.URL{Path: file}).String()}
	switch {
	case path.IsAbs(file):
		at.URI = "file://" + at.URI
	case file != ".." && !strings.HasPrefix(file, "../"):
		at.URIBaseID = "%SRCROOT%"
	}
	return []sarifLocation{{sarifPhysical{ArtifactLocation: at, Region: sarifRegion{max(f.Line, 1)}}}}
}
