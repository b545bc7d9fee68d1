package text

import (
	"io"
	"regexp"
	"strings"
)

// ciCommands are what CI systems read in a line of a log as a command to them, wherever it
// stands in the line: "##[group]" of GitHub and Azure, "##vso[" of Azure and "##teamcity[".
var ciCommands = strings.NewReplacer("##[", `#\u0023[`, "##vso[", `#\u0023vso[`, "##teamcity[", `#\u0023teamcity[`)

// githubCommand is a command such as "::error file=x::message", and "::token::", which ends what
// "::stop-commands::token" began. GitHub reads them at the beginning of a line only
// (https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions); others
// read its logs by looser rules, so a command's name counts anywhere. An IPv6 address has no
// letter beyond f.
var githubCommand = regexp.MustCompile(`(?m)^(\s*)::(.*::)|::((?i:[a-f-]*[g-z-][a-z-]*)(?:[ \t].*)?::)`)

// CI returns lines for a log without what CI systems take for a command: a name or a message
// from outside may have one. What it replaces can still be read, as an escape of Go and JSON.
func CI(lines string) string {
	if strings.Contains(lines, "##") {
		lines = ciCommands.Replace(lines)
	}
	if strings.Contains(lines, "::") {
		lines = githubCommand.ReplaceAllString(lines, `$1:\u003a$2$3`)
	}
	return lines
}

// NewCIWriter returns a writer that writes what CI makes of each text. Give it whole lines.
func NewCIWriter(w io.Writer) io.Writer { return ciWriter{w} }

type ciWriter struct{ w io.Writer }

func (c ciWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(c.w, CI(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
