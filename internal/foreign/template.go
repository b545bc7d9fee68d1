package foreign

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"imagemirror/internal/reference"
)

// functions are those of regsync's templates that depend on nothing but their arguments, and
// cannot make a text longer. Others read files and the environment.
var functions = template.FuncMap{
	"join":      strings.Join,
	"lower":     strings.ToLower,
	"split":     strings.Split,
	"trimSpace": strings.TrimSpace,
	"upper":     strings.ToUpper,
}

// A stepData is what templates of a sync entry can refer to as .Sync.
type stepData struct{ Source, Target, Type string }

// parseTemplate reads a template, and refuses what a template may not do here.
func parseTemplate(text string) (*template.Template, error) {
	if len(text) > maxName {
		return nil, fmt.Errorf("the template has more than %d bytes", maxName)
	}
	t, err := template.New("").Funcs(functions).Parse(text)
	if err != nil {
		_, reason, _ := strings.Cut(err.Error(), ":1: ")
		return nil, fmt.Errorf("%s cannot be expanded here (%s): write the result out", quotedName(text), shown(reason))
	}
	if t.Tree == nil || !allowed(t.Root) || len(t.Templates()) > 1 {
		return nil, fmt.Errorf("%s does more than this program expands: write the result out", quotedName(text))
	}
	return t, nil
}

// expand returns the text that a template makes of a sync entry. It returns most texts
// unchanged, since they have no template.
func expand(text string, step stepData) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := parseTemplate(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := t.Execute(&out, struct{ Sync stepData }{step}); err != nil {
		return "", fmt.Errorf("%s cannot be expanded: write the result out", quotedName(text))
	}
	if strings.Contains(out.String(), "<no value>") {
		return "", fmt.Errorf("%s has a value that is not known here: write the result out", quotedName(text))
	}
	return out.String(), nil
}

// allowed reports whether a node only inserts values: without loops, variables and templates of
// its own, each part is evaluated once.
func allowed(node parse.Node) bool {
	switch n := node.(type) {
	case *parse.ListNode:
		return !slices.ContainsFunc(n.Nodes, func(n parse.Node) bool { return !allowed(n) })
	case *parse.ActionNode:
		return allowed(n.Pipe)
	case *parse.PipeNode:
		return len(n.Decl) == 0 && !slices.ContainsFunc(n.Cmds, func(c *parse.CommandNode) bool {
			return slices.ContainsFunc(c.Args, func(n parse.Node) bool { return !allowed(n) })
		})
	case *parse.IdentifierNode:
		return n.Ident == "index" || functions[n.Ident] != nil
	case *parse.TextNode, *parse.FieldNode, *parse.StringNode, *parse.NumberNode, *parse.CommentNode:
		return true
	}
	return false
}

// errKeep refuses a template for another tag than one in the same repository.
var errKeep = errors.New("only a tag with {{.Ref.Tag}} in it can be expressed: write spec.keep, such as {tag}-previous")

// keepTemplate returns regsync's template of a backup tag in the form of settings.
func keepTemplate(text string) (string, error) {
	t, err := parseTemplate(strings.TrimSpace(text))
	if err != nil {
		return "", errKeep
	}
	var out strings.Builder
	for _, node := range t.Root.Nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			out.Write(n.Text)
		case *parse.ActionNode:
			if strings.Join(strings.Fields(n.Pipe.String()), " ") != ".Ref.Tag" {
				return "", errKeep
			}
			out.WriteString("{tag}")
		default:
			return "", errKeep
		}
	}
	if tag := out.String(); strings.Contains(tag, "{tag}") && reference.IsTag(strings.ReplaceAll(tag, "{tag}", "v1")) {
		return tag, nil
	}
	return "", errKeep
}
