package command

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template"

	"github.com/kelseyhightower/envconfig"
)

// variableTable is the help's table of variables. envconfig executes it with the fields of a
// struct.
var variableTable = template.Must(template.New("variables").Parse(
	`{{range .}}  {{.Key}}	{{.Tags.Get "desc"}}{{with .Tags.Get "default"}} (default {{.}}){{end}}
{{end}}`))

// explainVariable turns envconfig's error into one line: the variable, its value, and what to
// give it.
func explainVariable(err error) error {
	var bad *envconfig.ParseError
	if !errors.As(err, &bad) {
		return fmt.Errorf("reading the environment: %w", err)
	}
	cause := bad.Err
	if bad.TypeName == "quantity.Bytes" { // its error says all
		return fmt.Errorf("%s: %w", bad.KeyName, cause)
	}
	var number *strconv.NumError
	if errors.As(cause, &number) {
		cause = number.Err
	}
	return fmt.Errorf("%s is %q: %w: give %s", bad.KeyName, bad.Value, cause, expected(bad.TypeName))
}

func expected(goType string) string {
	switch {
	case goType == "bool":
		return "true or false"
	case goType == "time.Duration":
		return "a duration, such as 90s"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	}
	return "a whole number"
}
