// Package draft writes new image sets: files that the presubmit passes and a cluster runs as
// they are.
package draft

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"sigs.k8s.io/yaml"

	"imagemirror/internal/atomicfile"
	"imagemirror/internal/command"
	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/kustomization"
	"imagemirror/internal/policy"
	"imagemirror/internal/settings"
)

// A Draft is an image set that is not written yet. Its name has passed CheckNewName.
type Draft struct {
	Name    string
	Mapping string   // the mapping file
	Spec    string   // of settings.yaml: lines of YAML, indented by two
	Owners  []string // who approve changes
}

var ownerRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// CheckNewName refuses a name that no new set may have.
func CheckNewName(name string) error {
	if err := settings.CheckName(name); err != nil {
		return fmt.Errorf("the name %q: %w", name, err)
	}
	if name == imageset.Base {
		return fmt.Errorf("the name %s is reserved for what all sets include: choose another name", name)
	}
	if text, err := yaml.Marshal(name); err != nil || string(text) != name+"\n" || unicode.IsDigit(rune(name[0])) {
		return fmt.Errorf("the name %s is a number or a truth value in YAML: begin it with a letter, or lengthen it", name)
	}
	return nil
}

// CheckOwners refuses names that OWNERS files do not have.
func CheckOwners(owners []string) error {
	for _, owner := range owners {
		if !ownerRE.MatchString(owner) {
			return fmt.Errorf("the owner %q is not a name: separate names with commas, such as alice,bob", owner)
		}
	}
	return nil
}

// Caller returns the name that the caller commits under, as OWNERS files name people.
func Caller(ctx context.Context) (string, error) {
	email, err := exec.CommandContext(ctx, "git", "config", "user.email").Output()
	name, _, _ := strings.Cut(strings.TrimSpace(string(email)), "@")
	if err != nil || name == "" {
		return "", errors.New("git has no user.email to take your name from: name the approvers with -owners")
	}
	return name, nil
}

// Minute spreads sets over the hour by their names, since registries see them all at one address.
func (s *Draft) Minute() int {
	h := fnv.New32a()
	h.Write([]byte(s.Name))
	return int(h.Sum32() % 60)
}

const settingsText = `apiVersion: imagemirror/v1
kind: Settings
metadata:
  name: %s
  annotations:
    config.kubernetes.io/local-config: "true"
spec:
%s`

// files returns the set's files that people edit later, by name.
func (s *Draft) files() (map[string][]byte, error) {
	owners, err := yaml.Marshal(map[string][]string{"approvers": s.Owners})
	return map[string][]byte{
		imageset.OwnersFile:      owners,
		settings.File:            fmt.Appendf(nil, settingsText, s.Name, s.Spec),
		imageset.Prefix + s.Name: []byte(s.Mapping),
	}, err
}

// Write puts sets below root, which is a tree of image sets, and lists them there. If that fails,
// nothing has changed.
func Write(root string, sets []*Draft) error {
	if err := checkFree(root, sets); err != nil {
		return err
	}
	if !kustomization.IsTree(root) {
		return command.Refuse(fmt.Errorf("%s has no %s and %s: run this in the root of the repository, or name the directory of the image sets", root, kustomization.File, imageset.Base))
	}
	tree, _ := kustomization.Read(root) // a mistake of another set is not this set's
	return write(tree, sets, tree.WriteSet, func() error {
		return atomicfile.Write(filepath.Join(root, kustomization.File), tree.Listing(namesOf(sets)...))
	})
}

// WriteBare puts sets below root, which nothing installs with kustomize. It makes the directory if
// it is missing. If that fails, no set is there.
func WriteBare(root string, sets []*Draft) error {
	if err := checkFree(root, sets); err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	none := func(string) error { return nil }
	return write(&kustomization.Tree{Root: root}, sets, none, func() error { return nil })
}

// checkFree refuses a set whose directory exists.
func checkFree(root string, sets []*Draft) error {
	for _, s := range sets {
		dir := filepath.Join(root, s.Name)
		if _, err := os.Lstat(dir); err == nil {
			return command.Refuse(fmt.Errorf("%s exists: choose another name, or add mapping files to that set", dir))
		}
	}
	return nil
}

func namesOf(sets []*Draft) (names []string) {
	for _, s := range sets {
		names = append(names, s.Name)
	}
	return names
}

// write puts the sets into a temporary directory first, so that all visible steps are renames.
// finish does what is left for each, and list is the last step of all.
func write(tree *kustomization.Tree, sets []*Draft, finish func(dir string) error, list func() error) (err error) {
	aside, err := os.MkdirTemp(tree.Root, ".new-set-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(aside)) }()
	if err := stage(tree, sets, aside, finish); err != nil {
		return err
	}
	var there []string
	defer func() {
		for _, dir := range there {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	for _, s := range sets {
		dir := filepath.Join(tree.Root, s.Name)
		if err := os.Rename(filepath.Join(aside, s.Name), dir); err != nil {
			return err
		}
		there = append(there, dir)
	}
	if err := list(); err != nil {
		return err
	}
	there = nil
	return nil
}

// stage writes the sets into a directory of their own, and checks them.
func stage(tree *kustomization.Tree, sets []*Draft, aside string, finish func(dir string) error) error {
	for _, s := range sets {
		files, err := s.files()
		if err != nil {
			return err
		}
		dir := filepath.Join(aside, s.Name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				return err
			}
		}
	}
	// The policy beside the sets binds these, too.
	if data, err := os.ReadFile(filepath.Join(tree.Root, policy.File)); err == nil {
		if err := os.WriteFile(filepath.Join(aside, policy.File), data, 0o644); err != nil {
			return err
		}
	}
	if err := checkBeside(tree, sets, aside); err != nil {
		return command.Refuse(err)
	}
	for _, s := range sets {
		if err := finish(filepath.Join(aside, s.Name)); err != nil {
			return err
		}
	}
	return nil
}

// checkBeside checks the sets in aside beside those of the tree, unless those have mistakes
// already.
func checkBeside(tree *kustomization.Tree, sets []*Draft, aside string) error {
	var paths []string
	for _, other := range tree.Sets {
		paths = append(paths, filepath.Join(tree.Root, other.Name))
	}
	if _, err := imageset.Load(paths, nil); err != nil {
		paths = nil
	}
	for _, s := range sets {
		paths = append(paths, filepath.Join(aside, s.Name))
	}
	input, _ := imageset.Load(paths, nil)
	var found finding.List
	for _, f := range input.Found.All() {
		if name, inside := strings.CutPrefix(f.File, aside); inside {
			f.File = filepath.Join(tree.Root, name) // where it will be
		}
		f.Err = errors.New(strings.ReplaceAll(f.Err.Error(), aside, tree.Root))
		found.Add(f)
	}
	return found.Err()
}
