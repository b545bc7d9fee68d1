package reference_test

import (
	"fmt"

	"imagemirror/internal/reference"
)

// Two spellings of a name are equal once they are parsed.
func ExampleParse() {
	short, err := reference.Parse("busybox:1")
	if err != nil {
		fmt.Println(err)
	}
	long, err := reference.Parse("index.docker.io/library/busybox:1")
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(short, short == long)
	// Output:
	// docker.io/library/busybox:1 true
}

func ExampleReference_Match() {
	pattern, err := reference.ParsePattern("quay.io/team/app:v1.*")
	if err != nil {
		fmt.Println(err)
	}
	for _, tag := range []string{"v1.2", "v1.", "v10"} {
		fmt.Println(tag, pattern.Match(tag))
	}
	// Output:
	// v1.2 true
	// v1. true
	// v10 false
}
