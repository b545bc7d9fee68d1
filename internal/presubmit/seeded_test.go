package presubmit

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/imageset"
)

// A cast names the files of a world that the mistakes are made in.
type cast struct {
	a, b       string // mapping files of the sets A and B
	setA, setB string
}

// A seeded mistake is one that people make, and the one finding that the presubmit must add
// for it.
type seeded struct {
	name    string
	seed    func(*world, cast) place
	says    string
	also    string // what a second finding has to say, if there is one
	warning bool
}

const someDigest = "sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60"

// Mistakes on one line, of a mapping "SRC DST".
var lines = []seeded{
	{name: "the source's tag is missing", says: "has no tag and no digest", seed: onLine(func(src, dst string) string { return name(src) + " " + dst })},
	{name: "the destination is missing", says: "has no destination", seed: onLine(func(src, _ string) string { return src })},
	{name: "a pair joined by = beside a destination", says: `"=" may only join`, seed: onLine(func(src, dst string) string { return src + "=" + dst + " " + dst + "x" })},
	{name: "two colons", says: "is not an image name", seed: onLine(func(src, dst string) string { return src + " " + strings.Replace(dst, ":", "::", 1) })},
	{name: "upper case", says: "is not an image name", seed: onLine(func(src, dst string) string { return src + " " + strings.ToUpper(name(dst)) + ":x" })},
	{name: "a wildcard in a destination", says: "has a * wildcard in its tag: only a source may", seed: onLine(func(src, dst string) string { return src + " " + name(dst) + ":*" })},
	{name: "a wildcard for one tag", says: "has a tag, but its source", seed: onLine(func(src, dst string) string { return name(src) + ":v* " + dst })},
	{name: "a digest at the destination", says: "has a digest", seed: onLine(func(src, dst string) string { return src + " " + name(dst) + "@" + someDigest })},
	{name: "a digest that was cut", says: "has the invalid digest", seed: onLine(func(src, dst string) string { return name(src) + "@" + someDigest[:30] + " " + dst })},
	{name: "an image to itself", says: "is its own source", seed: onLine(func(src, _ string) string { return src + " " + src })},
	{name: "two lines without a line's end between them", says: "contains another line end", seed: onLine(func(src, dst string) string { return src + " " + dst + "\r" + src + " " + dst })},
	{name: "binary data", says: "the file is not text", seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+"_binary", "a\x00b")
		return place{c.setA + "/mapping_" + c.setA + "_binary", 1}
	}},
	{name: "a gzip'd file that was cut", says: "gzip data ends early", seed: func(w *world, c cast) place {
		data := compress(w.t, w.read(c.a))
		w.mapping(c.setA, "mapping_"+c.setA+"_cut.gz", data[:len(data)/2])
		return place{c.setA + "/mapping_" + c.setA + "_cut.gz", 1}
	}},
	{name: "an empty file", says: "the file has no mapping", warning: true, seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+"_reserved", "")
		return place{c.setA + "/mapping_" + c.setA + "_reserved", 1}
	}},
	{name: "latest left out", says: "latest is taken", warning: true, seed: func(w *world, c cast) place {
		return w.add(c.a, "registry.example/new/image quay.io/new/image:latest")
	}},
}

// Mistakes that show only in comparison with other lines.
var across = []seeded{
	{name: "a line twice", says: "it is mirrored once", warning: true, seed: func(w *world, c cast) place {
		src, dst, _ := w.line(c.a)
		return w.add(c.a, src+" "+dst)
	}},
	{name: "a line copied and half edited", says: "keep one of the two", seed: func(w *world, c cast) place {
		src, dst, _ := w.line(c.a)
		return w.add(c.a, src+"-other "+dst)
	}},
	{name: "a destination of another file of the set", says: "keep one of the two", seed: func(w *world, c cast) place {
		src, dst, _ := w.line(c.a)
		w.mapping(c.setA, "mapping_"+c.setA+"_zz", "\n"+src+"-other "+dst+"\n")
		return place{c.setA + "/mapping_" + c.setA + "_zz", 2}
	}},
	{name: "a destination of another set", says: "keep one of the two", seed: func(w *world, c cast) place {
		src, dst, _ := w.line(c.a)
		return w.add(c.b, src+"-other "+dst)
	}},
	{name: "a reversed line", says: "seem to be swapped", seed: onLine(func(src, dst string) string { return dst + " " + src })},
	{name: "a reversed line in a file of its own", says: "seem to be swapped", seed: func(w *world, c cast) place {
		src, dst, _ := w.line(c.b)
		w.mapping(c.setB, "mapping_"+c.setB+"_new", dst+"-new "+name(src)+":new\n")
		return place{c.setB + "/mapping_" + c.setB + "_new", 1}
	}},
	{name: "a reversed line beside one that is as new", says: "seem to be swapped", seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+"_new", "registry.example/new/image:v9 hub.example/new/image:v9\n")
		return w.add(c.b, "hub.example/new/image:v10 registry.example/new/image:v10")
	}},
	{name: "a reversed line beside one of the same organizations", says: "seem to be swapped", warning: true, seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+"_new", "registry.example/new/one:v9 hub.example/new/one:v9\nhub.example/new/two:v9 registry.example/new/two:v9\n")
		return place{c.setA + "/mapping_" + c.setA + "_new", 2}
	}},
	{name: "a reversed line of another set's repositories", says: "seem to be swapped", seed: func(w *world, c cast) place {
		src, dst, _ := w.line(c.a)
		return w.add(c.b, name(dst)+":new "+name(src)+":new")
	}},
}

// Mistakes with whole files.
var files = []seeded{
	{name: "a misspelled file name", says: "does not begin with mapping_", seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_x"+c.setA[1:]+"_v9", "registry.example/new/image:v9 quay.io/new/image\n")
		return place{c.setA + "/mapping_x" + c.setA[1:] + "_v9", 1}
	}},
	{name: "a file name that no rule of mapping files has", says: "the file is not read", seed: func(w *world, c cast) place {
		w.write(c.setA+"/mappings-v9", "registry.example/new/image:v9 quay.io/new/image\n")
		return place{c.setA + "/mappings-v9", 1}
	}},
	{name: "a file name with a blank", says: "cannot be a key of a ConfigMap", seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+" v9", "registry.example/new/image:v9 quay.io/new/image\n")
		return place{c.setA + "/mapping_" + c.setA + " v9", 1}
	}},
	{name: "a file beside its gzip'd self", says: "only in case or in .gz", seed: func(w *world, c cast) place {
		w.mapping(c.setA, filepath.Base(c.a)+".gz", compress(w.t, "registry.example/new/image:v9 quay.io/new/image\n"))
		return place{c.a + ".gz", 1}
	}},
	{name: "OWNERS is missing", says: "has no OWNERS file", seed: func(w *world, c cast) place {
		w.remove(c.setA + "/OWNERS")
		w.generate()
		return place{c.setA + "/OWNERS", 1}
	}},
	{name: "OWNERS names nobody", says: "OWNERS names no approver", seed: func(w *world, c cast) place {
		w.write(c.setA+"/OWNERS", "reviewers:\n- ann\n")
		return place{c.setA + "/OWNERS", 1}
	}},
	{name: "a key of OWNERS is misspelled", says: `"approver"`, seed: func(w *world, c cast) place {
		w.write(c.setA+"/OWNERS", "approvers:\n- ann\napprover:\n- bob\n")
		return place{c.setA + "/OWNERS", 3}
	}},
	{name: "OWNERS is not YAML", says: "not YAML", seed: func(w *world, c cast) place {
		w.write(c.setA+"/OWNERS", "approvers:\n- ann\nreviewers: bob: x\n")
		return place{c.setA + "/OWNERS", 3}
	}},
	{name: "a key of the settings is misspelled", says: `"retrys"`, seed: func(w *world, c cast) place {
		return w.add(c.setA+"/settings.yaml", "  retrys: 3")
	}},
	{name: "a schedule that is none", says: "is not a cron expression", seed: func(w *world, c cast) place {
		return place{c.setA + "/settings.yaml", w.replace(c.setA+"/settings.yaml", "7 * * * *", "7 25 * * *")}
	}},
	{name: "settings copied from another set", says: "metadata.name is", seed: func(w *world, c cast) place {
		return place{c.setA + "/settings.yaml", w.replace(c.setA+"/settings.yaml", "name: "+c.setA, "name: "+c.setB)}
	}},
	{name: "a destination outside of what the settings allow", says: "is outside of what settings.yaml of the set allows", seed: func(w *world, c cast) place {
		w.add(c.setA+"/settings.yaml", "  destinations: [quay.io/openshift-knative]")
		return w.add(c.a, "registry.ci.openshift.org/knative/new:v9 quay.io/elsewhere/image:v9")
	}},
	{name: "two sets of one name", says: "is read from image-sets/", seed: func(w *world, c cast) place {
		for file, text := range map[string]string{"OWNERS": "approvers: [ann]\n", "mapping_" + c.setA: "registry.example/new/image:v9 quay.io/new/image\n"} {
			w.write("../elsewhere/"+c.setA+"/"+file, text)
		}
		w.extra = append(w.extra, "elsewhere/"+c.setA)
		return place{"../elsewhere/" + c.setA, 0}
	}},
}

// Mistakes in a set's directory and around it, apart from the set's own files.
var contents = []seeded{
	{name: "a file of another kind", says: "has only OWNERS, settings.yaml", seed: add("README.md", "# Read me.\n")},
	{name: "a hidden file", says: "has only OWNERS, settings.yaml", seed: add(".gitignore", "*\n")},
	{name: "an object", says: "has only OWNERS, settings.yaml", seed: add("extra.yaml", clusterRoleBinding)},
	{name: "settings under another name", says: "rename it settings.yaml", seed: add("settings.yml", "kind: Settings\n")},
	{name: "owners under another name", says: "rename it OWNERS", seed: add("Owners", "approvers: [ann]\n")},
	{name: "OWNERS renamed", says: "rename it OWNERS", also: "has no OWNERS file", seed: func(w *world, c cast) place {
		w.write(c.setA+"/owners", w.read(c.setA+"/OWNERS"))
		w.remove(c.setA + "/OWNERS")
		w.generate()
		return place{c.setA + "/owners", 1}
	}},
	{name: "a second kustomization", says: "rename it kustomization.yaml", seed: add("Kustomization", "resources: [../base]\n")},
	{name: "a link to a secret of the machine", says: "this is a link", seed: func(w *world, c cast) place {
		w.link(c.setA+"/notes", "/etc/passwd")
		return place{c.setA + "/notes", 1}
	}},
	{name: "a directory", says: "has no directories", seed: func(w *world, c cast) place {
		w.write(c.setA+"/docs/README.md", "# Read me.\n")
		w.made = c.setA + "/docs"
		return place{c.setA + "/docs", 0}
	}},
	{name: "a set in a set", says: "is nested below image-sets/", seed: func(w *world, c cast) place {
		w.write(c.setA+"/deep/mapping_deep", "registry.example/new/image:v9 quay.io/new/image\n")
		w.made = c.setA + "/deep"
		return place{c.setA + "/deep", 0}
	}},
	{name: "a set in a directory of sets", says: "move it to image-sets/payments", seed: func(w *world, _ cast) place {
		w.write("teams/web/payments/mapping_payments", "registry.example/new/image:v9 quay.io/new/image\n")
		w.made = "teams"
		return place{"teams/web/payments", 0}
	}},
	{name: "a set in a directory that looks like one", says: "move it to image-sets/payments", seed: func(w *world, _ cast) place {
		w.write("teams/OWNERS", "approvers: [ann]\n")
		w.write("teams/payments/mapping_payments", "registry.example/new/image:v9 quay.io/new/image\n")
		w.made = "teams"
		return place{"teams/payments", 0}
	}},
	{name: "a set that is a link", says: "put the set's directory itself here", seed: func(w *world, c cast) place {
		w.write("../elsewhere/other/mapping_other", "registry.example/new/image:v9 quay.io/new/image\n")
		w.write("../elsewhere/other/OWNERS", "approvers: [ann]\n")
		w.link("other", "../elsewhere/other")
		return place{"other", 0}
	}},
	{name: "a set of a name that no object may have", says: "rename the directory", seed: func(w *world, _ cast) place {
		w.write("New_Set/OWNERS", "approvers: [ann]\n")
		w.write("New_Set/mapping_New_Set", "registry.example/new/image:v9 quay.io/new/image\n")
		w.made = "New_Set"
		return place{"New_Set", 0}
	}},
	{name: "a schedule without a set", says: "schedules a set that has no mapping file", seed: func(w *world, c cast) place {
		for _, file := range imageset.MappingFiles(filepath.Join(sets, c.setB)) {
			w.remove(c.setB + "/" + file)
		}
		w.generate()
		return place{c.setB + "/kustomization.yaml", 1}
	}},
	{name: "a file that no ConfigMap has room for", says: "cut it into several", seed: func(w *world, c cast) place {
		file := c.setA + "/mapping_" + c.setA + "_large"
		w.write(file, "registry.example/new/image:v9 quay.io/new/image\n#"+strings.Repeat(strings.Repeat("x", 999)+"\n#", 1100))
		return place{file, 1}
	}},
	{name: "settings that would be applied", says: "a cluster would refuse", seed: func(w *world, c cast) place {
		w.replace(c.setA+"/settings.yaml", "config.kubernetes.io/local-config", "config.kubernetes.io/local")
		return place{c.setA + "/settings.yaml", 1}
	}},
	{name: "no base", says: "all sets include this", seed: func(w *world, _ cast) place {
		w.remove("base/kustomization.yaml")
		return place{"base", 0}
	}},
}

const clusterRoleBinding = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: everything
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: mirror-knative, namespace: image-mirror}]
`

// Mistakes in the kustomization of a set, and in the listing of all sets.
var kustomizations = []seeded{
	{name: "a ClusterRoleBinding", says: `the resource "extra.yaml" is not one of a set's own objects`, also: "extra.yaml:1: an image set has only", seed: func(w *world, c cast) place {
		w.write(c.setA+"/extra.yaml", clusterRoleBinding)
		return w.edited(c.setA, "  - settings.yaml\n", "  - settings.yaml\n  - extra.yaml\n", 1)
	}},
	{name: "an object of another set", says: `the resource "../kubefed/settings.yaml" is not one of`, seed: edited("  - settings.yaml\n", "  - ../kubefed/settings.yaml\n")},
	{name: "a resource on another machine", says: "is on another machine", seed: edited("  - ../base\n", "  - https://example.com/base.yaml\n")},
	{name: "a resource in a repository", says: "is on another machine", seed: edited("  - ../base\n", "  - github.com/example/base?ref=main\n")},
	{name: "a patch that relabels", says: "a patch can turn", seed: appended("patches: [{target: {kind: ConfigMap}, patch: '[{op: replace, path: /metadata/labels/imagemirror~1set, value: kubefed}]'}]")},
	{name: "a patch in the old form", says: "a patch can turn", seed: appended("patchesStrategicMerge: [patch.yaml]")},
	{name: "a transformer", says: "it can change any object", seed: appended("transformers: [labels.yaml]")},
	{name: "a configuration of transformers", says: "it can change any object", seed: appended("configurations: [names.yaml]")},
	{name: "a generator", says: "it can add any object", seed: appended("generators: [generator.yaml]")},
	{name: "a component", says: "it can add any object", seed: appended("components: [../base]")},
	{name: "a chart", says: "it can add any object", seed: appended("helmCharts: [{name: x, repo: https://example.com}]")},
	{name: "a secret", says: "it can add any object", seed: appended("secretGenerator: [{name: push, literals: [a=b]}]")},
	{name: "another image of start", says: "images that are generated", seed: appended("images: [{name: start, newName: example.com/start}]")},
	{name: "labels of another kind", says: "labels and images that are generated", seed: appended("commonLabels: {imagemirror/set: kubefed}")},
	{name: "a key that kustomize does not know", says: `unknown key "resource"`, seed: appended("resource: [extra.yaml]")},
	{name: "resources twice", says: "the key resources is there twice", seed: appended("resources: [extra.yaml]")},
	{name: "a second document", says: "a second document begins here", seed: func(w *world, c cast) place {
		return w.add(c.setA+"/kustomization.yaml", "---\nresources: [extra.yaml]")
	}},
	{name: "an anchor", says: `the line "  - ../base" belongs here`, seed: edited("  - ../base\n", "  - &base ../base\n")},
	{name: "no YAML", says: "the file is not YAML", seed: appended("resources: x: y")},
	{name: "a link to the kustomization of another set", says: "this is not a regular file", seed: func(w *world, c cast) place {
		w.remove(c.setA + "/kustomization.yaml")
		w.link(c.setA+"/kustomization.yaml", "../"+c.setB+"/kustomization.yaml")
		return place{c.setA + "/kustomization.yaml", 1}
	}},
	{name: "no kustomization", says: "the set has no kustomization.yaml", seed: func(w *world, c cast) place {
		w.remove(c.setA + "/kustomization.yaml")
		return place{c.setA, 0}
	}},
	{name: "a new mapping file", says: "_zz\" belongs here; run make sets (imagemirror sets image-sets)", seed: func(w *world, c cast) place {
		w.write(c.setA+"/mapping_"+c.setA+"_zz", "registry.example/new/image:v9 quay.io/new/image\n")
		return w.edited(c.setA, "generatorOptions:\n", "generatorOptions:\n", 0)
	}},
	{name: "a mapping file that is gone", says: `the line "generatorOptions:" belongs here`, seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+"_zz", "registry.example/new/image:v9 quay.io/new/image\n")
		w.remove(c.setA + "/mapping_" + c.setA + "_zz")
		return w.edited(c.setA, "      - mapping_"+c.setA+"_zz\n", "      - mapping_"+c.setA+"_zz\n", 0)
	}},
	{name: "OWNERS that is not listed", says: `the line "      - OWNERS" belongs here`, seed: edited("      - OWNERS\n", "")},
	{name: "a file under another key", says: `the line "      - OWNERS" belongs here`, seed: edited("      - OWNERS\n", "      - OWNERS=settings.yaml\n")},
	{name: "a ConfigMap of another name", says: `the line "  - name: set" belongs here`, seed: edited("  - name: set\n", "  - name: files\n")},
	{name: "another namespace", says: `the line "namespace: image-mirror" belongs here`, seed: edited("namespace: image-mirror\n", "namespace: kube-system\n")},
	{name: "a label from another set", says: "      imagemirror/set: ", seed: edited("      imagemirror/set: ", "      imagemirror/set: x")},
	{name: "names of another set", says: "nameSuffix: -", seed: edited("nameSuffix: -", "nameSuffix: -x")},
	{name: "a ConfigMap with a hash in its name", says: "disableNameSuffixHash: true", seed: edited("disableNameSuffixHash: true", "immutable: false")},
	{name: "a schedule that is not taken over", says: "fieldPath: spec.schedule", seed: edited("fieldPath: spec.schedule\n", "fieldPath: spec.timeout\n")},
	{name: "a schedule that is taken away", says: `the line "configMapGenerator:" belongs here`, seed: func(w *world, c cast) place {
		w.replace(c.setA+"/settings.yaml", "schedule: 7 * * * *", "retries: 3")
		return w.edited(c.setA, "  - settings.yaml\n", "  - settings.yaml\n", 0)
	}},
	{name: "CRLF", says: "its lines end with CRLF: run make sets", seed: func(w *world, c cast) place {
		w.write(c.setA+"/kustomization.yaml", strings.ReplaceAll(w.read(c.setA+"/kustomization.yaml"), "\n", "\r\n"))
		return place{c.setA + "/kustomization.yaml", 1}
	}},
	{name: "an empty kustomization", says: "the line \"# Generated by", seed: func(w *world, c cast) place {
		w.write(c.setA+"/kustomization.yaml", "")
		return place{c.setA + "/kustomization.yaml", 1}
	}},
	{name: "a set that is not installed", says: "belongs here", seed: func(w *world, c cast) place {
		return w.edited(".", "  - "+c.setA+"\n", "", 0)
	}},
	{name: "a set is installed that is not there", says: `the resource "gone" is not an image set here`, seed: func(w *world, c cast) place {
		return w.edited(".", "  - "+c.setA+"\n", "  - gone\n  - "+c.setA+"\n", 0)
	}},
	{name: "what is installed is on another machine", says: "is on another machine", seed: func(w *world, c cast) place {
		return w.edited(".", "  - "+c.setA+"\n", "  - https://example.com/sets\n  - "+c.setA+"\n", 0)
	}},
	{name: "a patch of all sets", says: "a patch can turn", seed: func(w *world, _ cast) place {
		return w.add("kustomization.yaml", "patches: [{path: patch.yaml}]")
	}},
	{name: "no listing", says: "this file lists the sets to install, and is missing", seed: func(w *world, _ cast) place {
		w.remove("kustomization.yaml")
		return place{"kustomization.yaml", 0}
	}},
	{name: "a listing under another name", says: "lists the sets under another name", seed: func(w *world, _ cast) place {
		w.write("kustomization.yml", w.read("kustomization.yaml"))
		w.remove("kustomization.yaml")
		return place{"kustomization.yml", 1}
	}},
}

// add returns what puts a file into the set A.
func add(name, text string) func(*world, cast) place {
	return func(w *world, c cast) place {
		w.write(c.setA+"/"+name, text)
		return place{c.setA + "/" + name, 1}
	}
}

// edited returns what replaces a text in the kustomization of the set A.
func edited(old, with string) func(*world, cast) place {
	return func(w *world, c cast) place { return w.edited(c.setA, old, with, 0) }
}

// appended returns what adds a line to the kustomization of the set A.
func appended(line string) func(*world, cast) place {
	return func(w *world, c cast) place { return w.add(c.setA+"/kustomization.yaml", line) }
}

// name returns an image's name without its tag.
func name(ref string) string { return ref[:strings.LastIndexByte(ref, ':')] }

func onLine(to func(src, dst string) string) func(*world, cast) place {
	return func(w *world, c cast) place { return w.edit(c.a, to) }
}

// Each mistake adds one finding, where it was made. Mistakes that do not depend on other sets
// are made only in the few of this repository.
func TestSeededMistakes(t *testing.T) {
	t.Run("own sets", func(t *testing.T) {
		checkSeeded(t, filepath.Join("..", "..", "image-sets"), cast{
			a: "knative/mapping_knative_v1_9_quay", setA: "knative",
			b: "kubefed/mapping_kubefed_v0_2_0_quay", setB: "kubefed",
		}, lines, across, files, contents, kustomizations)
	})
	t.Run("real sets", func(t *testing.T) {
		checkSeeded(t, realSets(t), cast{
			a: "knative/mapping_knative_v0_11_quay", setA: "knative",
			b: "openshift-kni/mapping_openshift-kni_quay", setB: "openshift-kni",
		}, lines, across, files)
	})
}

func checkSeeded(t *testing.T, from string, c cast, mistakes ...[]seeded) {
	all := newWorld(t, from)
	all.install()
	checkSeededIn(t, all, c, mistakes...)
}

// checkSeededIn makes each mistake in a world, one at a time.
func checkSeededIn(t *testing.T, all *world, c cast, mistakes ...[]seeded) {
	before := all.found()
	for _, s := range slices.Concat(mistakes...) {
		t.Run(s.name, func(t *testing.T) {
			w := all.during(t)
			at := s.seed(w, c)
			want := at.String()
			if s.warning {
				want = "warning: " + want
			}
			more, gone := differ(before, w.found())
			if s.also != "" {
				n := len(more)
				more = slices.DeleteFunc(more, func(line string) bool { return strings.Contains(line, s.also) })
				if len(more) != n-1 {
					t.Errorf("got %q\nwant one of them to have %q", more, s.also)
				}
			}
			if len(more) != 1 || !strings.HasPrefix(more[0], want) || !strings.Contains(more[0], s.says) {
				t.Errorf("got %q\nwant one finding: %s... %s", more, want, s.says)
			}
			if diff := cmp.Diff([]string(nil), gone); diff != "" {
				t.Errorf("findings that are gone (-want +got):\n%s", diff)
			}
		})
	}
}

// differ returns the lines that only after has, and those that only before has.
func differ(before, after []string) (more, gone []string) {
	count := map[string]int{}
	for _, line := range before {
		count[line]--
	}
	for _, line := range after {
		if count[line]++; count[line] > 0 {
			more = append(more, line)
		}
	}
	for _, line := range slices.Sorted(maps.Keys(count)) {
		if count[line] < 0 {
			gone = append(gone, line)
		}
	}
	return more, gone
}

// The sets of this repository have no mistake.
func TestOwnSets(t *testing.T) {
	if diff := cmp.Diff([]string(nil), newWorld(t, filepath.Join("..", "..", "image-sets")).found()); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
