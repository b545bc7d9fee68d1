package foreign

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Bounds on a selection, which are those of settings.
const (
	maxExpressions = 50
	maxExpression  = 500 // bytes
)

// whole returns an expression that matches a tag as a whole if the given one matches anywhere in
// it.
func whole(expression string) (string, error) {
	if _, err := regexp.Compile(expression); err != nil {
		return "", expressionError(err)
	}
	if strings.Contains(expression, `\Q`) {
		return "", errors.New(`\Q quotes what follows it: escape its characters one by one`)
	}
	anywhere := ".*(?:" + expression + ").*"
	if alternates(expression) {
		return anywhere, nil
	}
	inner, begins := strings.CutPrefix(expression, "^")
	inner, ends := cutEnd(inner)
	if !begins {
		inner = ".*" + inner
	}
	if !ends {
		inner += ".*"
	}
	if _, err := regexp.Compile("(?:" + inner + ")"); err != nil {
		return anywhere, nil // such as ^*
	}
	return inner, nil
}

// between returns an expression that matches a tag as a whole if ^ and $ around the given one match
// it. With a | outside of parentheses, each of the two is for one side only.
func between(expression string) (string, error) { return whole("^" + expression + "$") }

// cutEnd returns an expression without its last $, if that is the end of the text.
func cutEnd(expression string) (string, bool) {
	inner, ends := strings.CutSuffix(expression, "$")
	escapes := len(inner) - len(strings.TrimRight(inner, `\`))
	if !ends || escapes%2 == 1 {
		return expression, false
	}
	return inner, true
}

// alternates reports whether an expression may have a | outside of parentheses.
func alternates(expression string) bool {
	if strings.Contains(expression, "[") {
		return strings.Contains(expression, "|")
	}
	depth := 0
	for i := 0; i < len(expression); i++ {
		switch expression[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth == 0 {
				return true
			}
		}
	}
	return false
}

// expressionError returns the part of an error that says what is wrong with an expression.
func expressionError(err error) error {
	if e, ok := err.(*syntax.Error); ok {
		return fmt.Errorf("%s: %s", e.Code, quotedName(e.Expr))
	}
	return err
}

// expressions returns the expressions of a list in the form that rewrite gives them. Many short
// ones are joined, so that settings accept them.
func expressions(list []string, rewrite func(string) (string, error)) ([]string, error) {
	var all []string
	for _, e := range list {
		if len(e) > maxExpression {
			return nil, fmt.Errorf("%s has more than the %d bytes that settings accept", quotedName(e), maxExpression)
		}
		got, err := rewrite(e)
		if err != nil {
			return nil, fmt.Errorf("%s is not a regular expression of RE2: %w", quotedName(e), err)
		}
		if len(got) > maxExpression {
			return nil, fmt.Errorf("%s has more than the %d bytes that settings accept", quotedName(e), maxExpression)
		}
		all = append(all, got)
	}
	if len(all) <= maxExpressions {
		return all, nil
	}
	joined := []string{""}
	for _, e := range all {
		last := &joined[len(joined)-1]
		part := "(?:" + e + ")"
		switch {
		case *last == "":
			*last = part
		case len(*last)+1+len(part) <= maxExpression:
			*last += "|" + part
		default:
			joined = append(joined, part)
		}
	}
	if len(joined) > maxExpressions {
		return nil, fmt.Errorf("there are %d expressions, more than settings accept: join some with |", len(all))
	}
	return joined, nil
}

// Join returns the selection of what either of two selects. It returns false if no one selection
// says that.
func Join(a, b *TagFilter) (*TagFilter, bool) {
	switch {
	case a == nil || b == nil:
		return nil, true // one of them selects all
	case a.Semver == b.Semver && a.Prereleases == b.Prereleases && same(a.Exclude, b.Exclude):
	default:
		return nil, false
	}
	both := *a
	switch {
	case len(a.Include) == 0 || len(b.Include) == 0:
		both.Include = nil
	case !same(a.Include, b.Include):
		both.Include = append(append([]string{}, a.Include...), b.Include...)
	}
	return &both, len(both.Include) <= maxExpressions
}

// Equal reports whether two selections say the same.
func (s *TagFilter) Equal(other *TagFilter) bool {
	if s == nil || other == nil {
		return s == other
	}
	return s.Semver == other.Semver && s.Prereleases == other.Prereleases && same(s.Include, other.Include) && same(s.Exclude, other.Exclude)
}

func same(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }
