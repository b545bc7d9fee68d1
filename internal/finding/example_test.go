package finding_test

import (
	"fmt"
	"os"

	"imagemirror/internal/finding"
)

// A finding becomes text only when it is written, in the form that a CI system shows.
func ExampleDocument_Write() {
	var found finding.List
	found.Refuse(finding.Input, "image-sets/team/mapping_team", 3, "source %q has no destination: write SRC DST", "quay.io/a/x:v1")
	found.Warn(finding.Odd, "image-sets/team/mapping_old", 0, "the file has no mapping")
	report := finding.Document{
		Files:    []string{"image-sets/team/mapping_old", "image-sets/team/mapping_team"},
		Findings: found.All(),
	}
	for _, f := range report.Findings {
		fmt.Println(f.Error())
	}
	if err := report.Write(os.Stdout, "github"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// image-sets/team/mapping_team:3: source "quay.io/a/x:v1" has no destination: write SRC DST
	// image-sets/team/mapping_old: the file has no mapping
	// ::error file=image-sets/team/mapping_team,line=3,title=input::source "quay.io/a/x:v1" has no destination: write SRC DST
	// ::warning file=image-sets/team/mapping_old,line=1,title=odd::the file has no mapping
}
