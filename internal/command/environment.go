package command

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"github.com/kelseyhightower/envconfig"

	"imagemirror/internal/text"
)

// variableTable is the help's table of variables. envconfig executes it with the fields of a
// struct.
var variableTable = template.Must(template.New("variables").Parse(
	`{{range .}}  {{.Key}}	{{.Tags.Get "desc"}}{{with .Tags.Get "default"}} (default {{.}}){{end}}
{{end}}`))

// variableTypes lists variables with envconfig's names of their types, one a line.
const variableTypes = "{{range .}}{{usage_key .}} {{usage_type .}}\n{{end}}"

// maxValue bounds a variable's value in a message, in characters.
const maxValue = 100

// A plainNumber is the form that a number must have, and what people are told to give.
type plainNumber struct {
	form *regexp.Regexp
	want string
}

// plainNumbers has a form for each of envconfig's names of types that are numbers.
var plainNumbers = map[string]plainNumber{
	"Integer": {regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`), "a whole number, such as 16"},
	"Float":   {regexp.MustCompile(`^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)\.[0-9]+)$`), "a number, such as 0.5"},
}

var errNotPlain = errors.New("not a plain decimal number")

// readEnvironment reads variables into env, a pointer to an envconfig struct.
func readEnvironment(env any) error {
	if err := checkNumbers(env); err != nil {
		return err
	}
	if err := envconfig.Process(Prefix, env); err != nil {
		return explainVariable(err)
	}
	return nil
}

// checkNumbers refuses numbers that are not plain decimal ones. envconfig reads numbers as Go's
// compiler does: 010 is 8, 0x10 is 16 and 1_0 is 10.
func checkNumbers(env any) error {
	var list strings.Builder
	if err := envconfig.Usagef(Prefix, env, &list, variableTypes); err != nil {
		return fmt.Errorf("reading the environment: %w", err)
	}
	for line := range strings.Lines(list.String()) {
		name, goType, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		number, isNumber := plainNumbers[goType]
		if value, set := os.LookupEnv(name); isNumber && set && !number.form.MatchString(value) {
			return wrongVariable(name, value, errNotPlain, number.want)
		}
	}
	return nil
}

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
	return wrongVariable(bad.KeyName, bad.Value, cause, expected(bad.TypeName))
}

func wrongVariable(name, value string, cause error, want string) error {
	if value == "" {
		return fmt.Errorf("%s is empty: give %s, or unset it", name, want)
	}
	return fmt.Errorf("%s is %s: %w: give %s", name, text.Quote(value, maxValue), cause, want)
}

func expected(goType string) string {
	switch {
	case goType == "bool":
		return "true or false"
	case goType == "time.Duration":
		return "a duration, such as 90s"
	case strings.HasPrefix(goType, "float"):
		return "a smaller number"
	}
	return "a smaller whole number"
}

// A Whole is the value of a flag that takes a whole number in plain decimal digits. The flag
// package's own reads 010 as 8 and 0x10 as 16.
type Whole int

// Set reads the flag's value.
func (w *Whole) Set(value string) error {
	if number := plainNumbers["Integer"]; !number.form.MatchString(value) {
		return fmt.Errorf("%w: give %s", errNotPlain, number.want)
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("%w: give a smaller number", strconv.ErrRange)
	}
	*w = Whole(n)
	return nil
}

// String returns the number.
func (w *Whole) String() string { return strconv.Itoa(int(*w)) }
