package imageset

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/policy"
	"imagemirror/internal/settings"
)

// bound reads the operator's policies that bind the set in dir. One is beside the set. On a
// cluster nothing can be mounted there, so start mounts it among the files of the set.
func (l *loader) bound(set *Set, dir, absolute string) {
	beside, root := filepath.Join(dir, ".."), filepath.Dir(absolute)
	label := filepath.Join(beside, policy.File)
	// Above single files that are no set's, a policy can be of anything.
	isSet := l.named[root] || Contains(dir, OwnersFile) || Contains(dir, settings.File)
	if isSet && !l.spelled[root] {
		l.spelled[root] = true
		l.misnamed(beside, policy.File)
	}
	for _, in := range []struct{ dir, absolute string }{{beside, root}, {dir, absolute}} {
		if p := l.policy(in.dir, in.absolute, label); p != nil {
			b := p.For(set.Name)
			set.bounds = append(set.bounds, &b)
			l.demand(set, b.Verify, label, in.dir)
		}
	}
}

// Links returns where reports on the set lead to, by the policies of its operator.
func (s *Set) Links() policy.Links {
	var l policy.Links
	for _, b := range s.bounds {
		l.File, l.Run = cmp.Or(l.File, b.Links.File), cmp.Or(l.Run, b.Links.Run)
	}
	return l
}

// Public reports whether strangers have to be able to pull what the set publishes, by its settings
// or by a policy of its operator.
func (s *Set) Public() bool {
	return s.Settings.Public || slices.ContainsFunc(s.bounds, func(b *policy.Bounds) bool { return b.Public.Value })
}

// policy returns the policy in a directory, or nil. Each is read once.
func (l *loader) policy(dir, absolute, label string) *policy.Policy {
	p, known := l.policies[absolute]
	if known {
		return p
	}
	if data, ok := l.optional(filepath.Join(dir, policy.File), policy.MaxFile); ok {
		var found *finding.List
		p, found = policy.Parse(label, data)
		l.input.Found.Merge(found)
	}
	l.policies[absolute] = p
	return p
}

// optional reads a file that may be missing, and refuses one that cannot be read.
func (l *loader) optional(path string, size int64) (data []byte, ok bool) {
	data, err := ReadFile(path, size)
	// A link to nothing is a mistake: taken for no file, it would allow anything.
	if _, missing := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && missing != nil {
		return nil, false
	}
	if err != nil {
		l.refuse(path, 1, err)
	}
	return data, err == nil
}

// misnamed refuses the files of a directory whose names are other spellings of a file's.
func (l *loader) misnamed(dir, file string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !e.IsDir() && Misnamed(e.Name(), file) {
			l.input.Found.Refuse(finding.Input, filepath.Join(dir, e.Name()), 1, MisnamedText, file)
		}
	}
}

// MisnamedText is the format of what is wrong with a file under another spelling of a name.
const MisnamedText = "nothing reads a file of this name: rename it %s, or remove it"

// Misnamed reports whether a name is another spelling of a YAML file's. Without its settings or
// its policy, a run would do more than their author allows.
func Misnamed(name, file string) bool {
	stem := func(name string) string {
		return strings.TrimSuffix(strings.TrimSuffix(name, filepath.Ext(name)), "s")
	}
	lower := strings.ToLower(name)
	return name != file && stem(lower) == stem(file) && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(lower))
}
