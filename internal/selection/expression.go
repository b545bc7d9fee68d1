package selection

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/Masterminds/semver/v3"
)

// Bounds on expressions. Matching takes time in proportion to the instructions and to the length
// of the tag, whatever the expression is (https://github.com/google/re2/wiki/Syntax).
const (
	MaxExpressions  = 50   // of include, and of exclude
	MaxExpression   = 500  // bytes of one
	MaxInstructions = 1000 // of all expressions of a rule, as they are compiled

	// MaxWork bounds the instructions of a rule times the characters of all tags of a repository.
	// Expressions of the worst kind take about 20 s for that; others are ten times as fast.
	MaxWork = 1_000_000_000
)

// An Expression matches tags as a whole: v1 does not match v1.2. It has the syntax of RE2.
type Expression struct {
	text         string
	compiled     *regexp.Regexp
	instructions int
}

// Compile reads an expression.
func Compile(text string) (Expression, error) {
	if len(text) > MaxExpression {
		return Expression{}, fmt.Errorf("it has %d bytes, and at most %d are allowed", len(text), MaxExpression)
	}
	// The parentheses that are added below would let a text such as a)|(b pass.
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return Expression{}, compileError(err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	switch {
	case err != nil:
		return Expression{}, compileError(err)
	case len(program.Inst) > MaxInstructions:
		return Expression{}, fmt.Errorf("it takes %d instructions, and at most %d are allowed: repeat less", len(program.Inst), MaxInstructions)
	}
	compiled, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return Expression{}, compileError(err)
	}
	return Expression{text, compiled, len(program.Inst)}, nil
}

// compileError returns the part of an error that tells what is wrong with an expression.
func compileError(err error) error {
	var known *syntax.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s: %q", known.Code, known.Expr)
	}
	return err
}

// Match reports whether the expression matches the tag as a whole.
func (e Expression) Match(tag string) bool { return e.compiled.MatchString(tag) }

// String returns the expression as it is written.
func (e Expression) String() string { return e.text }

// Instructions returns how many instructions the expressions of the rule take.
func (r *Filter) Instructions() int {
	n := 0
	for _, list := range [][]Expression{r.Include, r.Exclude} {
		for _, e := range list {
			n += e.instructions
		}
	}
	return n
}

// A Constraint is a condition on versions, such as ">=1.2 <2 || ~3.1".
type Constraint struct {
	text          string
	releases, all *semver.Constraints // all admits prereleases everywhere
}

// ParseConstraint reads a constraint in the syntax of github.com/Masterminds/semver.
func ParseConstraint(text string) (*Constraint, error) {
	releases, err := semver.NewConstraint(text)
	if err != nil {
		return nil, err
	}
	all := *releases
	all.IncludePrerelease = true
	return &Constraint{text, releases, &all}, nil
}

// String returns the constraint as it is written.
func (c *Constraint) String() string { return c.text }

func (c *Constraint) check(v *semver.Version, prereleases bool) bool {
	if prereleases {
		return c.all.Check(v)
	}
	return c.releases.Check(v)
}
