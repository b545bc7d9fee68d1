package presubmit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
)

// maxYAML bounds the YAML files that are read, in bytes.
const maxYAML = 1 << 20

// kustomization is what matters here of a kustomization.yaml. Its entries are nodes, since those know their lines.
// Whether the rest is right is kustomize's to say.
type kustomization struct {
	dir, path    string
	NamePrefix   yaml.Node            `yaml:"namePrefix"`
	NameSuffix   yaml.Node            `yaml:"nameSuffix"`
	Resources    yaml.Node            `yaml:"resources"`
	Components   yaml.Node            `yaml:"components"`
	Labels       []label              `yaml:"labels"`
	CommonLabels map[string]yaml.Node `yaml:"commonLabels"`
	ConfigMaps   []generator          `yaml:"configMapGenerator"`
	Generators   generatorOptions     `yaml:"generatorOptions"`
	Replacements []replacement        `yaml:"replacements"`
}

type label struct {
	Pairs     map[string]yaml.Node `yaml:"pairs"`
	Templates bool                 `yaml:"includeTemplates"`
	Selectors bool                 `yaml:"includeSelectors"` // which includes templates
}

type generator struct {
	Name    yaml.Node        `yaml:"name"`
	Files   []yaml.Node      `yaml:"files"`
	Options generatorOptions `yaml:"options"`
}

type generatorOptions struct {
	NoHash bool `yaml:"disableNameSuffixHash"`
}

type replacement struct {
	Path   string `yaml:"path"` // of a file that has it
	Source struct {
		Kind      string    `yaml:"kind"`
		FieldPath yaml.Node `yaml:"fieldPath"`
	} `yaml:"source"`
	Targets []struct {
		Select struct {
			Kind string `yaml:"kind"`
		} `yaml:"select"`
		FieldPaths []string `yaml:"fieldPaths"`
	} `yaml:"targets"`
}

// kustomizationFile is the path of a directory's kustomization, or empty.
func kustomizationFile(dir string) string {
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		if there(dir, name) {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// places are the kustomizations that were read.
type places struct {
	read map[string]*kustomization // by directory
}

// kustomization is that of a directory, or nil where there is none. What cannot be read is noted, once.
func (p *places) kustomization(c *checker, dir string) *kustomization {
	dir = filepath.Clean(dir)
	k, known := p.read[dir]
	if known {
		return k
	}
	if path := kustomizationFile(dir); path != "" {
		k = &kustomization{dir: dir, path: path}
		if line, err := readYAML(path, k); err != nil {
			c.found.Refuse(finding.Input, path, line, "%v", err)
			k = nil
		}
	}
	p.read[dir] = k
	return k
}

var yamlLineRE = regexp.MustCompile(`line (\d+): (.*)`)

// readYAML reads the first document of a file. With an error comes its line.
func readYAML(path string, into any) (int, error) {
	data, err := readSmall(path)
	if err != nil {
		return 1, err
	}
	err = yaml.Unmarshal(data, into)
	if err == nil {
		return 0, nil
	}
	line, text := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLineRE.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	return max(line, 1), fmt.Errorf("the file is not what kustomize reads: %.200s", strings.Join(strings.Fields(text), " "))
}

// readSmall reads a file of a size that people write. Opening what is no file, such as a named pipe, could wait for ever; and a link
// in a stranger's pull request may lead to what is not the stranger's to see.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil || !info.Mode().IsRegular():
		return nil, errors.New("the file cannot be read: see that it is there, and a file")
	case !imageset.Within(filepath.Dir(path), path):
		return nil, errors.New("this leads out of its directory: put the file itself here")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New("the file cannot be read: see that everyone may")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxYAML+1))
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	if len(data) > maxYAML {
		return nil, fmt.Errorf("the file has more than %d MiB: that is none which people write", maxYAML>>20)
	}
	return data, nil
}

// entry is a path that a kustomization lists.
type entry struct {
	text string
	line int
}

// listed is what is listed of other directories and files, here and on other machines.
func (k *kustomization) listed() []entry {
	var all []entry
	for _, list := range []*yaml.Node{&k.Resources, &k.Components} {
		for _, node := range list.Content {
			if text := scalar(node); text != "" {
				all = append(all, entry{text, node.Line})
			}
		}
	}
	return all
}

// entries are what is listed, but for what is on other machines.
func (k *kustomization) entries() []entry {
	return slices.DeleteFunc(k.listed(), func(e entry) bool { return remote(e.text) })
}

// scalar is the text of a node, also where that stands elsewhere.
func scalar(node *yaml.Node) string {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node.Value
}

// remote says whether kustomize would fetch an entry: a URL, or a path that begins with a host.
func remote(text string) bool {
	first, _, deeper := strings.Cut(text, "/")
	return strings.ContainsAny(text, ":?") || deeper && strings.Contains(strings.Trim(first, "."), ".")
}

// lists says whether the kustomization lists a directory.
func (k *kustomization) lists(dir string) bool {
	return slices.ContainsFunc(k.entries(), func(e entry) bool { return same(filepath.Join(k.dir, e.text), dir) })
}

// same says whether two paths lead to one place, by their names.
func same(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// parent is the directory that a directory is in, by its name.
func parent(dir string) string { return filepath.Join(dir, "..") }
