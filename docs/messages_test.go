package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	messageTable = regexp.MustCompile(`(?m)^\| message \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)`)
	codeSpan     = regexp.MustCompile("`([^`]+)`")
	// varying is what differs from message to message, and where the program joins texts.
	varying = regexp.MustCompile(`…|: |"[^"]*"|\d+\w*|\b[A-Z]{3,}\b|MIRROR_`)
)

// others are words of the Go library, the kernel, Kubernetes or HTTP, which the program passes on.
var others = []string{
	"HTTP", "no such host", "connection refused", "tls: failed to verify certificate", "certificate is valid for",
	"broken pipe", "no space left on device", "no such file or directory", "permission denied", "user: unknown userid",
	"configmaps is forbidden: User", "cannot create", "(TaskRunTimeout)", "decompressing the file:",
}

// Tables of messages quote what the program says.
func TestQuotedMessagesExist(t *testing.T) {
	literals := strings.Join(stringLiterals(t), "\n")
	count := 0
	for _, file := range markdown(t) {
		for _, table := range messageTable.FindAllStringSubmatch(read(t, file), -1) {
			for row := range strings.Lines(table[1]) {
				cell, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimPrefix(row, "|"), `\|`, "\x00"), "|")
				for _, message := range codeSpan.FindAllStringSubmatch(cell, -1) {
					count++
					for _, part := range parts(message[1]) {
						if !strings.Contains(literals, part) {
							t.Errorf("%s quotes %q, and the program has no text %q", file, message[1], part)
						}
					}
				}
			}
		}
	}
	if count < 50 {
		t.Errorf("the documents quote %d messages", count)
	}
}

// parts returns the pieces of a message that do not vary, and are the program's own.
func parts(message string) []string {
	for _, other := range others {
		message = strings.ReplaceAll(message, other, "…")
	}
	var all []string
	for _, part := range varying.Split(message, -1) {
		if part = strings.Trim(part, " :,()"); len(part) > 5 {
			all = append(all, part)
		}
	}
	return all
}

// stringLiterals returns the string literals of the program. Literals that are added are one.
func stringLiterals(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, dir := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				e, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				text, ok := literal(e)
				if ok {
					all = append(all, text)
				}
				return !ok
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// literal returns the text of a string literal, or of several that are added.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		x, okX := literal(e.X)
		y, okY := literal(e.Y)
		return x + y, e.Op == token.ADD && okX && okY
	}
	return "", false
}
