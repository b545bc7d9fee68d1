package imageset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"imagemirror/internal/mapping"

	"sigs.k8s.io/yaml"
)

// maxOwners bounds an OWNERS file, in bytes, and maxOwner a name in it.
const (
	maxOwners = 1 << 20
	maxOwner  = 100
)

// ownersFile is the OWNERS file that code review bots read. Only its approvers matter here; the other keys are known so
// that one that is misspelt is not passed over.
type ownersFile struct {
	Approvers         []string `json:"approvers"`
	Reviewers         []string `json:"reviewers"`
	EmeritusApprovers []string `json:"emeritus_approvers"`
	Labels            []string `json:"labels"`
	Options           struct {
		NoParentOwners bool `json:"no_parent_owners"`
	} `json:"options"`
}

// loadOwners returns the approvers that an OWNERS file names. Where there is none, the error is fs.ErrNotExist.
func loadOwners(path string) ([]string, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s:1: %w", path, reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxOwners+1))
	if err != nil {
		return nil, fmt.Errorf("%s:1: reading the file: %w", path, reason(err))
	}
	owners, line, err := parseOwners(data)
	if err != nil {
		return nil, &mapping.Problem{File: path, Line: line, Err: err}
	}
	return owners, nil
}

// parseOwners returns the approvers, or what is wrong and the line at which it is.
func parseOwners(data []byte) (approvers []string, line int, err error) {
	if len(data) > maxOwners {
		return nil, 1, fmt.Errorf("the file has more than %d MiB: name the approvers only", maxOwners>>20)
	}
	var f ownersFile
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		line, err := explain(err, string(data))
		return nil, line, err
	}
	for _, name := range f.Approvers {
		if name == "" || len(name) > maxOwner || strings.ContainsFunc(name, hidden) {
			return nil, lineOf(string(data), "approvers"), fmt.Errorf("%.*q is no approver: write a name of 1 to %d characters", maxOwner, name, maxOwner)
		}
	}
	return f.Approvers, 0, nil
}

var (
	yamlLineRE   = regexp.MustCompile(`line (\d+): (.*)`)
	unknownKeyRE = regexp.MustCompile(`unknown field "(.*)"`)
)

// explain turns the YAML library's error into a line's number and a message for the person who wrote the file.
func explain(err error, text string) (int, error) {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		if wrongType.Field == "" {
			return 1, errors.New("the file has no keys: write approvers: and below it a list of names")
		}
		return lineOf(text, wrongType.Field), fmt.Errorf("%q is not of the kind that OWNERS files have: write a list of names below approvers, reviewers, labels and emeritus_approvers, and true or false for no_parent_owners", wrongType.Field)
	}
	if m := unknownKeyRE.FindStringSubmatch(err.Error()); m != nil {
		return lineOf(text, m[1]), fmt.Errorf("unknown key %.*q: write approvers, reviewers, emeritus_approvers, labels or options (and below it no_parent_owners)", maxOwner, m[1])
	}
	if m := yamlLineRE.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		return max(line, 1), fmt.Errorf("the file is not YAML: %s", m[2])
	}
	_, message, _ := strings.Cut(err.Error(), "yaml: ")
	return 1, fmt.Errorf("the file is not YAML: %s", strings.ReplaceAll(message, "\n", " "))
}

// lineOf is the line on which a key stands, or 1. For a.b.c it is c's.
func lineOf(text, key string) int {
	key = key[strings.LastIndexByte(key, '.')+1:]
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		if strings.HasPrefix(strings.TrimLeft(line, " {\t"), key+":") {
			return n
		}
	}
	return 1
}
