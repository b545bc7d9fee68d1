package foreign

import (
	"fmt"
	"strconv"
	"strings"
)

// versionRange returns a range of regsync in the syntax of github.com/Masterminds/semver. The two
// differ in what 1.2 and ~1 mean, so that all versions are written out
// (https://github.com/regclient/regclient/blob/main/internal/semver/semver.go).
func versionRange(text string) (string, error) {
	var all []string
	for part := range strings.FieldsSeq(text) {
		version := strings.TrimLeft(part, "<>=^~")
		operator := strings.TrimSuffix(part, version)
		v, rest, err := parseVersion(version)
		if err != nil {
			return "", err
		}
		lower := ">=" + v.String() + rest
		switch operator {
		case "^":
			all = append(all, lower, "<"+v.caret().String())
		case "~":
			all = append(all, lower, "<"+version3{v[0], v[1] + 1, 0}.String())
		case "":
			all = append(all, "="+v.String()+rest)
		case ">=", "<=", ">", "<", "=":
			all = append(all, operator+v.String()+rest)
		default:
			return "", fmt.Errorf("%s is not a range of versions", quotedName(text))
		}
	}
	if len(all) == 0 {
		return "", fmt.Errorf("%s is not a range of versions", quotedName(text))
	}
	return strings.Join(all, " "), nil
}

type version3 [3]int

func (v version3) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// caret returns the least version that is not compatible with v.
func (v version3) caret() version3 {
	switch {
	case v[0] > 0:
		return version3{v[0] + 1, 0, 0}
	case v[1] > 0:
		return version3{0, v[1] + 1, 0}
	}
	return version3{0, 0, v[2] + 1}
}

// parseVersion returns the numbers of a version, and its prerelease with the dash.
func parseVersion(text string) (v version3, prerelease string, err error) {
	version, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "+")
	numbers, rest, found := strings.Cut(version, "-")
	if found {
		prerelease = "-" + rest
	}
	parts := strings.Split(numbers, ".")
	if len(parts) > len(v) {
		return v, "", fmt.Errorf("%s has more than three numbers, which is not a semantic version", quotedName(text))
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return v, "", fmt.Errorf("%s is not a version", quotedName(text))
		}
		v[i] = int(n)
	}
	return v, prerelease, nil
}
