package command

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template"

	"github.com/kelseyhightower/envconfig"
)

// environment is the help's table of variables; envconfig runs it over the fields of the struct.
var environment = template.Must(template.New("environment").Parse(
	`{{range .}}  {{.Key}}	{{.Tags.Get "desc"}}{{with .Tags.Get "default"}} ({{.}} unless set){{end}}{{if eq (.Tags.Get "required") "true"}} (has to be set){{end}}
{{end}}`))

// explain makes envconfig's error one line that names the variable, its value and what it should be.
func explain(err error) error {
	var bad *envconfig.ParseError
	if !errors.As(err, &bad) {
		return fmt.Errorf("reading the environment: %w", err)
	}
	var number *strconv.NumError
	if errors.As(bad.Err, &number) {
		return fmt.Errorf("the environment variable %s=%q is not %s: %w", bad.KeyName, bad.Value, wanted(bad.TypeName), number.Err)
	}
	return fmt.Errorf("the environment variable %s=%q: %w", bad.KeyName, bad.Value, bad.Err)
}

func wanted(goType string) string {
	switch {
	case goType == "bool":
		return "true or false"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	}
	return "a whole number"
}
