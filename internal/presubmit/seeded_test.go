package presubmit

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cast are the files of a world that the mistakes are made in.
type cast struct {
	a, b       string // mapping files of the sets A and B
	setA, setB string
}

// A seeded is one mistake, as people make them, and what the presubmit has to say of it and of nothing else.
type seeded struct {
	name    string
	seed    func(*world, cast) place
	says    string
	warning bool
}

const someDigest = "sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60"

// lines are mistakes of one line, of a mapping "SRC DST".
var lines = []seeded{
	{name: "the source's tag is missing", says: "has no tag and no digest", seed: onLine(func(src, dst string) string { return name(src) + " " + dst })},
	{name: "the destination is missing", says: "has no destination", seed: onLine(func(src, _ string) string { return src })},
	{name: "a pair joined by = beside a destination", says: `"=" may only join`, seed: onLine(func(src, dst string) string { return src + "=" + dst + " " + dst + "x" })},
	{name: "two colons", says: "is no image name", seed: onLine(func(src, dst string) string { return src + " " + strings.Replace(dst, ":", "::", 1) })},
	{name: "upper case", says: "is no image name", seed: onLine(func(src, dst string) string { return src + " " + strings.ToUpper(name(dst)) + ":x" })},
	{name: "a wildcard in a destination", says: "only a source's tag may hold a * wildcard", seed: onLine(func(src, dst string) string { return src + " " + name(dst) + ":*" })},
	{name: "a wildcard for one tag", says: "has a tag, and its source", seed: onLine(func(src, dst string) string { return name(src) + ":v* " + dst })},
	{name: "a digest at the destination", says: "has a digest", seed: onLine(func(src, dst string) string { return src + " " + name(dst) + "@" + someDigest })},
	{name: "a digest that was cut", says: "is no digest", seed: onLine(func(src, dst string) string { return name(src) + "@" + someDigest[:30] + " " + dst })},
	{name: "an image to itself", says: "is its own source", seed: onLine(func(src, _ string) string { return src + " " + src })},
	{name: "two lines without a line's end between them", says: "another line's end within it", seed: onLine(func(src, dst string) string { return src + " " + dst + "\r" + src + " " + dst })},
	{name: "binary data", says: "the file is no text", seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+"_binary", "a\x00b")
		return place{c.setA + "/mapping_" + c.setA + "_binary", 1}
	}},
	{name: "a gzip'd file that was cut", says: "gzip data is cut", seed: func(w *world, c cast) place {
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

// across are mistakes that show beside other lines.
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
	{name: "a reversed line beside one of the same organisations", says: "seem to be swapped", warning: true, seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+"_new", "registry.example/new/one:v9 hub.example/new/one:v9\nhub.example/new/two:v9 registry.example/new/two:v9\n")
		return place{c.setA + "/mapping_" + c.setA + "_new", 2}
	}},
	{name: "a reversed line of another set's repositories", says: "seem to be swapped", seed: func(w *world, c cast) place {
		src, dst, _ := w.line(c.a)
		return w.add(c.b, name(dst)+":new "+name(src)+":new")
	}},
}

// files are mistakes with whole files.
var files = []seeded{
	{name: "a misspelt file name", says: "does not begin with mapping_", seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_x"+c.setA[1:]+"_v9", "registry.example/new/image:v9 quay.io/new/image\n")
		return place{c.setA + "/mapping_x" + c.setA[1:] + "_v9", 1}
	}},
	{name: "a file name that no rule of mapping files has", says: "the file is not read", warning: true, seed: func(w *world, c cast) place {
		w.write(c.setA+"/mappings-v9", "registry.example/new/image:v9 quay.io/new/image\n")
		return place{c.setA + "/mappings-v9", 1}
	}},
	{name: "a file name with a blank", says: "can be no key of a ConfigMap", seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+" v9", "registry.example/new/image:v9 quay.io/new/image\n")
		return place{c.setA + "/mapping_" + c.setA + " v9", 1}
	}},
	{name: "a file beside its gzip'd self", says: "in its case or in .gz alone", seed: func(w *world, c cast) place {
		w.mapping(c.setA, filepath.Base(c.a)+".gz", compress(w.t, "registry.example/new/image:v9 quay.io/new/image\n"))
		return place{c.a + ".gz", 1}
	}},
	{name: "OWNERS is missing", says: "has no OWNERS file", seed: func(w *world, c cast) place {
		w.remove(c.setA + "/OWNERS")
		w.replace(c.setA+"/kustomization.yaml", "      - OWNERS\n", "")
		return place{c.setA + "/OWNERS", 1}
	}},
	{name: "OWNERS names nobody", says: "no approver is named", seed: func(w *world, c cast) place {
		w.write(c.setA+"/OWNERS", "reviewers:\n- ann\n")
		return place{c.setA + "/OWNERS", 1}
	}},
	{name: "a key of OWNERS is misspelt", says: `"approver"`, seed: func(w *world, c cast) place {
		w.write(c.setA+"/OWNERS", "approvers:\n- ann\napprover:\n- bob\n")
		return place{c.setA + "/OWNERS", 3}
	}},
	{name: "OWNERS is not YAML", says: "not YAML", seed: func(w *world, c cast) place {
		w.write(c.setA+"/OWNERS", "approvers:\n- ann\nreviewers: bob: x\n")
		return place{c.setA + "/OWNERS", 3}
	}},
	{name: "a key of the settings is misspelt", says: `"retrys"`, seed: func(w *world, c cast) place {
		return w.add(c.setA+"/settings.yaml", "  retrys: 3")
	}},
	{name: "a schedule that is none", says: "is no cron expression", seed: func(w *world, c cast) place {
		return place{c.setA + "/settings.yaml", w.replace(c.setA+"/settings.yaml", "7 * * * *", "7 25 * * *")}
	}},
	{name: "settings copied from another set", says: "metadata.name is", seed: func(w *world, c cast) place {
		return place{c.setA + "/settings.yaml", w.replace(c.setA+"/settings.yaml", "name: "+c.setA, "name: "+c.setB)}
	}},
	{name: "a destination outside of what the settings allow", says: "is outside of what settings.yaml of the set allows", seed: func(w *world, c cast) place {
		w.add(c.setA+"/settings.yaml", "  destinations: [quay.io/openshift-knative]")
		return w.add(c.a, "registry.ci.openshift.org/knative/new:v9 quay.io/elsewhere/image:v9")
	}},
	{name: "two sets of one name", says: "is image-sets/", seed: func(w *world, c cast) place {
		for file, text := range map[string]string{"OWNERS": "approvers: [ann]\n", "mapping_" + c.setA: "registry.example/new/image:v9 quay.io/new/image\n"} {
			w.write("../elsewhere/"+c.setA+"/"+file, text)
		}
		w.extra = append(w.extra, "elsewhere/"+c.setA)
		return place{"../elsewhere/" + c.setA, 0}
	}},
}

// orphans are mistakes with what installs and starts sets.
var orphans = []seeded{
	{name: "a mapping file that nobody lists", says: "no run on a cluster reads it", seed: func(w *world, c cast) place {
		w.replace(c.setA+"/kustomization.yaml", "      - "+filepath.Base(c.a)+"\n", "")
		return place{c.a, 1}
	}},
	{name: "OWNERS that nobody lists", says: "no run on a cluster reads it", seed: func(w *world, c cast) place {
		w.replace(c.setA+"/kustomization.yaml", "      - OWNERS\n", "")
		return place{c.setA + "/OWNERS", 1}
	}},
	{name: "a file is listed and not there", says: "is no file that is there", seed: func(w *world, c cast) place {
		return w.carry(c.setA, "mapping_"+c.setA+"_gone")
	}},
	{name: "two files under one key", says: "the key \"OWNERS\" is that of line", seed: func(w *world, c cast) place {
		p := w.carry(c.setA, filepath.Base(c.a))
		w.replace(c.setA+"/kustomization.yaml", "      - "+filepath.Base(c.a)+"\n", "      - OWNERS="+filepath.Base(c.a)+"\n")
		return p
	}},
	{name: "a file under another key", says: "is not the file's name", seed: func(w *world, c cast) place {
		n := w.replace(c.setA+"/kustomization.yaml", "- "+filepath.Base(c.a)+"\n", "- other="+filepath.Base(c.a)+"\n")
		return place{c.setA + "/kustomization.yaml", n}
	}},
	{name: "a ConfigMap over its limit", says: "it takes 1 MiB", seed: func(w *world, c cast) place {
		w.mapping(c.setA, "mapping_"+c.setA+"_large", "registry.example/new/image:v9 quay.io/new/image\n#"+strings.Repeat(strings.Repeat("x", 999)+"\n#", 1100))
		n := w.replace(c.setA+"/kustomization.yaml", "  - name: set\n", "  - name: set\n")
		return place{c.setA + "/kustomization.yaml", n}
	}},
	{name: "a ConfigMap of another name", says: "name it set-", seed: func(w *world, c cast) place {
		return place{c.setA + "/kustomization.yaml", w.replace(c.setA+"/kustomization.yaml", "  - name: set\n", "  - name: files\n")}
	}},
	{name: "a label from another set", says: "the label imagemirror/set is", seed: func(w *world, c cast) place {
		n := w.replace(c.setA+"/kustomization.yaml", "imagemirror/set: "+c.setA+"\n", "imagemirror/set: "+c.setB+"\n")
		return place{c.setA + "/kustomization.yaml", n}
	}},
	{name: "names of another set", says: "the nameSuffix is", seed: func(w *world, c cast) place {
		return place{c.setA + "/kustomization.yaml", w.replace(c.setA+"/kustomization.yaml", "nameSuffix: -"+c.setA, "nameSuffix: -"+c.setB)}
	}},
	{name: "names of no set", says: "the nameSuffix is", seed: func(w *world, c cast) place {
		w.replace(c.setA+"/kustomization.yaml", "nameSuffix: -"+c.setA+"\n", "")
		return place{c.setA + "/kustomization.yaml", 1}
	}},
	{name: "a label that pods do not get", says: "write includeTemplates: true", seed: func(w *world, c cast) place {
		n := w.replace(c.setA+"/kustomization.yaml", "imagemirror/set: "+c.setA+"\n", "imagemirror/set: "+c.setA+"\n")
		w.replace(c.setA+"/kustomization.yaml", "    includeTemplates: true\n", "")
		return place{c.setA + "/kustomization.yaml", n}
	}},
	{name: "a ConfigMap with a hash in its name", says: "write disableNameSuffixHash: true", seed: func(w *world, c cast) place {
		w.replace(c.setA+"/kustomization.yaml", "disableNameSuffixHash: true", "immutable: false")
		text, _, _ := strings.Cut(w.read(c.setA+"/kustomization.yaml"), "  - name: set")
		return place{c.setA + "/kustomization.yaml", 1 + strings.Count(text, "\n")}
	}},
	{name: "settings that would be applied", says: "a cluster refuses this", seed: func(w *world, c cast) place {
		w.replace(c.setA+"/settings.yaml", "config.kubernetes.io/local-config", "config.kubernetes.io/local")
		return place{c.setA + "/settings.yaml", 1}
	}},
	{name: "a kustomization that is a link out of its directory", says: "this leads out of its directory", seed: func(w *world, c cast) place {
		w.link(c.setA+"/kustomization.yaml", "../"+c.setB+"/kustomization.yaml")
		return place{c.setA + "/kustomization.yaml", 1}
	}},
	{name: "a schedule that is not taken over", says: "does not take over this schedule", seed: func(w *world, c cast) place {
		w.replace(c.setA+"/kustomization.yaml", "fieldPath: spec.schedule\n", "fieldPath: spec.timeout\n")
		return place{c.setA + "/settings.yaml", 8}
	}},
	{name: "no schedule to take over", says: "which has none", seed: func(w *world, c cast) place {
		w.replace(c.setA+"/settings.yaml", "schedule: 7 * * * *", "retries: 3")
		n := w.replace(c.setA+"/kustomization.yaml", "fieldPath: spec.schedule\n", "fieldPath: spec.schedule\n")
		return place{c.setA + "/kustomization.yaml", n}
	}},
	{name: "a set without a schedule", says: "the set is never started", seed: func(w *world, c cast) place {
		w.replace(c.setA+"/kustomization.yaml", "  - ../base\n", "")
		return place{c.setA + "/kustomization.yaml", 1}
	}},
	{name: "a set without a kustomization", says: "has no kustomization.yaml", seed: func(w *world, c cast) place {
		w.remove(c.setA + "/kustomization.yaml")
		return place{c.setA, 0}
	}},
	{name: "a kustomization that is not YAML", says: "not what kustomize reads", seed: func(w *world, c cast) place {
		return w.add(c.setA+"/kustomization.yaml", "resources: x: y")
	}},
	{name: "a set that is not installed", says: "is not listed, so that it is not installed", seed: func(w *world, c cast) place {
		w.replace("kustomization.yaml", "  - "+c.setA+"\n", "")
		text, _, _ := strings.Cut(w.read("kustomization.yaml"), "  - ")
		return place{"kustomization.yaml", 1 + strings.Count(text, "\n")}
	}},
	{name: "a set is installed that is not there", says: "is listed and not there", seed: func(w *world, c cast) place {
		n := w.replace("kustomization.yaml", "  - "+c.setA+"\n", "  - gone\n  - "+c.setA+"\n")
		return place{"kustomization.yaml", n}
	}},
	{name: "a set of a name that no object may have", says: "rename the directory", seed: func(w *world, c cast) place {
		w.write("New_Set/OWNERS", "approvers: [ann]\n")
		w.write("New_Set/mapping_New_Set", "registry.example/new/image:v9 quay.io/new/image\n")
		w.write("New_Set/kustomization.yaml", "nameSuffix: -New_Set\ncommonLabels: {imagemirror/set: New_Set}\nresources: [../base]\n"+
			"configMapGenerator: [{name: set, files: [OWNERS, mapping_New_Set], options: {disableNameSuffixHash: true}}]\n")
		w.replace("kustomization.yaml", "  - "+c.setA+"\n", "  - "+c.setA+"\n  - New_Set\n")
		w.gone = "New_Set"
		return place{"New_Set", 0}
	}},
	{name: "a schedule without a set", says: "schedules a set that has no mapping file", seed: func(w *world, c cast) place {
		for _, file := range mappingFiles(filepath.Join(sets, c.setB)) {
			w.remove(c.setB + "/" + file)
		}
		return place{c.setB + "/kustomization.yaml", 1}
	}},
}

// name is an image's name without its tag.
func name(ref string) string { return ref[:strings.LastIndexByte(ref, ':')] }

func onLine(to func(src, dst string) string) func(*world, cast) place {
	return func(w *world, c cast) place { return w.edit(c.a, to) }
}

// Each mistake is one finding more, where it was made.
func TestSeededMistakes(t *testing.T) {
	t.Run("own sets", func(t *testing.T) {
		checkSeeded(t, filepath.Join("..", "..", "image-sets"), cast{
			a: "knative/mapping_knative_v1_9_quay", setA: "knative",
			b: "kubefed/mapping_kubefed_v0_2_0_quay", setB: "kubefed",
		})
	})
	t.Run("real sets", func(t *testing.T) {
		checkSeeded(t, realSets(t), cast{
			a: "knative/mapping_knative_v0_11_quay", setA: "knative",
			b: "openshift-kni/mapping_openshift-kni_quay", setB: "openshift-kni",
		})
	})
}

func checkSeeded(t *testing.T, from string, c cast) {
	all := newWorld(t, from)
	all.install()
	before := all.found()
	for _, s := range slices.Concat(lines, across, files, orphans) {
		t.Run(s.name, func(t *testing.T) {
			w := all.during(t)
			at := s.seed(w, c)
			want := at.String()
			if s.warning {
				want = "warning: " + want
			}
			more, gone := differ(before, w.found())
			if len(more) != 1 || !strings.HasPrefix(more[0], want) || !strings.Contains(more[0], s.says) {
				t.Errorf("got %q\nwant one finding: %s... %s", more, want, s.says)
			}
			if diff := cmp.Diff([]string(nil), gone); diff != "" {
				t.Errorf("findings that are gone (-want +got):\n%s", diff)
			}
		})
	}
}

// differ are the lines that only after has, and those that only before has.
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
