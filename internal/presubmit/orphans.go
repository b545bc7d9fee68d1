package presubmit

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"imagemirror/internal/imageset"
	"imagemirror/internal/settings"
	"imagemirror/internal/text"
)

// maxConfigMap is what Kubernetes takes of the values of a ConfigMap together, in bytes.
const maxConfigMap = 1 << 20

// lost says whether a directory is what was left of a set, and notes that.
func (c *checker) lost(dir string) bool {
	path := kustomizationFile(dir)
	if !isDir(dir) || isBase(dir) || path == "" || len(mappingFiles(dir)) > 0 {
		return false
	}
	c.found.Refuse(ruleOrphan, path, 1, "this schedules a set that has no mapping file: bring the files back, or remove the directory and what lists it")
	return true
}

// isBase says whether a directory is what the sets beside it include.
func isBase(dir string) bool { return setName(dir) == imageset.Base }

// kustomized checks that a set's kustomization has all of the set, and starts it. Sets that no kustomization is about are
// installed in another way.
func (c *checker) kustomized(p *places, dir string) {
	k := p.kustomization(c, dir)
	if k == nil {
		if kustomizationFile(dir) == "" && kustomizationFile(parent(dir)) != "" {
			c.found.Refuse(ruleOrphan, dir, 0, "the set has no kustomization.yaml, as the sets beside it have: nothing installs or starts it")
		}
		return
	}
	if err := settings.CheckName(setName(dir)); err != nil {
		c.found.Refuse(ruleOrphan, dir, 0, "%v: Kubernetes takes no other in the names of the set's objects; rename the directory", err)
	}
	c.present(k)
	c.generated(k)
	c.labelled(k)
	c.based(k)
	if !p.starts(c, k, 0) {
		c.found.Refuse(ruleOrphan, k.path, 1, "nothing that this lists holds a CronJob: the set is never started; list ../base, as other sets do")
	}
	c.scheduled(k)
}

// setLabel is on all that belongs to a set. What starts a run takes the set's name from it.
const setLabel = "imagemirror/set"

func (c *checker) labelled(k *kustomization) {
	set := setName(k.dir)
	found := false
	for _, l := range append(k.Labels, label{Pairs: k.CommonLabels}) {
		value, ok := l.Pairs[setLabel]
		found = found || ok
		if text := scalar(&value); ok && text != set {
			c.found.Refuse(ruleOrphan, k.path, max(value.Line, 1), "the label %s is %.100q, and the set is %s: write its name", setLabel, text, set)
		}
	}
	if !found {
		c.found.Refuse(ruleOrphan, k.path, 1, "the label %s is missing: write it with the set's name, %s, below labels, as other sets do", setLabel, set)
	}
}

// based checks what the base's objects need of a set that includes it: a name, and the set's name where start looks for it.
func (c *checker) based(k *kustomization) {
	set := setName(k.dir)
	if !k.includesBase() {
		return
	}
	if suffix := scalar(&k.NameSuffix); suffix != "-"+set || scalar(&k.NamePrefix) != "" {
		c.found.Refuse(ruleOrphan, k.path, max(k.NameSuffix.Line, 1), "the nameSuffix is %.100q: write -%s, and no namePrefix, by which the base's CronJob, service account and secret are the set's own", suffix, set)
	}
	for _, l := range k.Labels {
		if value, ok := l.Pairs[setLabel]; ok && !l.Templates && !l.Selectors {
			c.found.Refuse(ruleOrphan, k.path, max(value.Line, 1), "the label %s does not reach the CronJob's pods, which learn from it which set to start: write includeTemplates: true beside its pairs", setLabel)
		}
	}
}

func (k *kustomization) includesBase() bool {
	return slices.ContainsFunc(k.entries(), func(e entry) bool { return isBase(filepath.Join(k.dir, e.text)) })
}

// localConfig is the annotation of what kustomize reads and does not apply.
const localConfig = "config.kubernetes.io/local-config"

// scheduled checks that the schedule in the set's settings, and no other, is that of its CronJob; and that the settings are not applied.
func (c *checker) scheduled(k *kustomization) {
	var file struct {
		Metadata struct {
			Annotations map[string]yaml.Node `yaml:"annotations"`
		} `yaml:"metadata"`
		Spec struct {
			Schedule yaml.Node `yaml:"schedule"`
		} `yaml:"spec"`
	}
	path := filepath.Join(k.dir, settings.File)
	if _, err := readYAML(path, &file); there(k.dir, settings.File) && err != nil {
		return // imageset has said so
	}
	if local := file.Metadata.Annotations[localConfig]; k.lists(path) && scalar(&local) != "true" {
		c.found.Refuse(ruleOrphan, path, max(local.Line, 1), "a cluster refuses this, since it has no such kind of object: annotate it with %s: \"true\", so that kustomize reads it and does not apply it", localConfig)
	}
	schedule, carries := &file.Spec.Schedule, k.carriesSchedule()
	switch {
	case slices.ContainsFunc(k.Replacements, func(r replacement) bool { return r.Path != "" }):
		// It may be in that file.
	case carries == nil && !schedule.IsZero():
		c.found.Refuse(ruleOrphan, path, schedule.Line, "%s does not take over this schedule: it needs %s among its resources and a replacement of the CronJob's spec.schedule, as other sets have", k.path, settings.File)
	case carries != nil && schedule.IsZero():
		c.found.Refuse(ruleOrphan, k.path, max(carries.Line, 1), "this takes the schedule from %s, which has none: write spec.schedule there, or remove the replacement", settings.File)
	}
}

// carriesSchedule is where a kustomization takes the CronJob's schedule from the set's settings, or nil.
func (k *kustomization) carriesSchedule() *yaml.Node {
	for i := range k.Replacements {
		r := &k.Replacements[i]
		for _, t := range r.Targets {
			if r.Source.Kind == settings.Kind && scalar(&r.Source.FieldPath) == "spec.schedule" && k.lists(filepath.Join(k.dir, settings.File)) &&
				t.Select.Kind == "CronJob" && slices.Contains(t.FieldPaths, "spec.schedule") {
				return &r.Source.FieldPath
			}
		}
	}
	return nil
}

// present checks that what a kustomization lists is there, and listed once.
func (c *checker) present(k *kustomization) {
	first := map[string]int{}
	for _, e := range k.entries() {
		path := filepath.Join(k.dir, e.text)
		if !there(path, "") {
			c.found.Refuse(ruleOrphan, k.path, e.line, "%.200q is listed and not there: correct the name, or remove it", e.text)
		}
		if first[path] > 0 {
			c.found.Refuse(ruleOrphan, k.path, e.line, "%.200q is listed in line %d already: remove one", e.text, first[path])
		} else {
			first[path] = e.line
		}
	}
}

// generated checks the ConfigMaps that carry a set.
func (c *checker) generated(k *kustomization) {
	set := setName(k.dir)
	names := regexp.MustCompile(`^set(-\d+)?-` + regexp.QuoteMeta(set) + `(-\d+)?$`)
	keys, listed := map[string]int{}, map[string]bool{}
	for _, g := range k.ConfigMaps {
		if len(g.Files) > 0 && !g.Options.NoHash && !k.Generators.NoHash {
			c.found.Refuse(ruleConfigMap, k.path, max(g.Name.Line, 1), "the ConfigMap gets a new name with every change, and the old one stays, so that runs find the set twice: write disableNameSuffixHash: true below generatorOptions")
		}
		name := scalar(&k.NamePrefix) + scalar(&g.Name) + scalar(&k.NameSuffix)
		told := k.includesBase() && names.MatchString(scalar(&g.Name)+"-"+set) // that the nameSuffix is wrong
		if !told && !names.MatchString(name) {
			c.found.Refuse(ruleConfigMap, k.path, max(g.Name.Line, 1), "the ConfigMap's name becomes %.100q, and the set is %s: name it set-%s, by its nameSuffix too", name, set, set)
		}
		var size int64
		for i := range g.Files {
			size += c.carried(k, entry{scalar(&g.Files[i]), g.Files[i].Line}, keys, listed)
		}
		if size > maxConfigMap {
			c.found.Refuse(ruleConfigMap, k.path, max(g.Name.Line, 1), "the files of this ConfigMap have %s, and it takes 1 MiB: list some of them in another", text.Size(size))
		}
	}
	for _, name := range append([]string{"OWNERS", settings.File}, mappingFiles(k.dir)...) {
		if there(k.dir, name) && !listed[name] {
			c.found.Refuse(ruleOrphan, filepath.Join(k.dir, name), 1, "%s does not list this file, so that no run on a cluster reads it: add it to the files of configMapGenerator", k.path)
		}
	}
}

// carried checks one file of a ConfigMap and returns its size.
func (c *checker) carried(k *kustomization, e entry, keys map[string]int, listed map[string]bool) int64 {
	key, file, found := strings.Cut(e.text, "=")
	if !found {
		key, file = filepath.Base(e.text), e.text
	}
	name := filepath.Base(file)
	info, err := os.Stat(filepath.Join(k.dir, file))
	if err != nil || !info.Mode().IsRegular() {
		c.found.Refuse(ruleOrphan, k.path, e.line, "%.200q is listed and is no file that is there: correct the name, or remove it", file)
		return 0
	}
	switch {
	case keys[key] > 0:
		c.found.Refuse(ruleConfigMap, k.path, e.line, "the key %.200q is that of line %d, too: the set's files are in one directory on a cluster; give each a name of its own", key, keys[key])
	case key != name:
		c.found.Refuse(ruleConfigMap, k.path, e.line, "the key %.200q is not the file's name: write %s alone, since a report names the file by its key", key, file)
	}
	keys[key] = e.line
	if same(filepath.Join(k.dir, file), filepath.Join(k.dir, name)) {
		listed[name] = true
	}
	return info.Size()
}

// maxDepth is how deep kustomizations may include one another.
const maxDepth = 10

// starts says whether a kustomization, or one that it includes, has a CronJob, as far as can be seen from here.
func (p *places) starts(c *checker, k *kustomization, depth int) bool {
	if k == nil || depth > maxDepth {
		return false
	}
	return slices.ContainsFunc(k.listed(), func(e entry) bool {
		if remote(e.text) {
			return true // perhaps, and kustomize alone can say
		}
		path := filepath.Join(k.dir, e.text)
		if isDir(path) {
			return p.starts(c, p.kustomization(c, path), depth+1)
		}
		return holdsCronJob(path)
	})
}

var cronJobRE = regexp.MustCompile(`(?m)^kind: *["']?CronJob["']?\s*(#.*)?$`)

func holdsCronJob(path string) bool {
	data, err := readSmall(path)
	return err == nil && cronJobRE.Match(data)
}

// installed checks that the kustomization beside the sets lists each of them, and nothing that is not there.
func (c *checker) installed(p *places, sets []string) {
	checked := map[string]bool{}
	for _, dir := range sets {
		top := p.kustomization(c, parent(dir))
		if top == nil {
			continue
		}
		if !checked[top.path] {
			checked[top.path] = true
			c.present(top)
		}
		if kustomizationFile(dir) != "" && !top.lists(dir) {
			c.found.Refuse(ruleOrphan, top.path, max(top.Resources.Line, 1), "the set %s is not listed, so that it is not installed with the others: add it to resources", setName(dir))
		}
	}
}
