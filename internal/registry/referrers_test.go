package registry

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
)

const aReferrer = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:abababababababababababababababababababababababababababababababab","size":7,"artifactType":"x/y"}`

func TestParseReferrers(t *testing.T) {
	for _, c := range []struct {
		name, content string
		count         int
		says          string
		permanent     bool // it is not how registries answer that do not have the API
	}{
		{"none", `{"schemaVersion":2,"manifests":[]}`, 0, "", false},
		{"none, as cue-labs' ociserver says it", `{"schemaVersion":2,"manifests":null}`, 0, "", false},
		{"one", `{"manifests":[` + aReferrer + `]}`, 1, "", false},
		{"as many as there may be", `{"manifests":[` + strings.Repeat(aReferrer+",", maxReferrers-1) + aReferrer + `]}`, maxReferrers, "", false},
		{"one more", `{"manifests":[` + strings.Repeat(aReferrer+",", maxReferrers) + aReferrer + `]}`, 0, "exceeds 1,000 entries", true},
		{"a page for people", `<html>`, 0, "is not an index", false},
		{"an error", `{"errors":[{"code":"UNKNOWN"}]}`, 0, `has no "manifests"`, false},
		{"another spelling", `{"Manifests":[` + aReferrer + `]}`, 0, `has no "manifests"`, false},
		{"an object of objects", `{"manifests":{"a":1}}`, 0, "are not a list", false},
		{"entries of another kind", `{"manifests":["sha256:ab"]}`, 0, "is not a descriptor", true},
		{"another algorithm", `{"manifests":[{"digest":"sha512:ab"}]}`, 0, "entry 1", true},
		{"a blob", `{"manifests":[` + strings.Replace(aReferrer, "image.manifest.v1+json", "image.layer.v1.tar", 1) + `]}`, 0, "entry 1", true},
		{"a negative size", `{"manifests":[` + strings.Replace(aReferrer, ":7", ":-7", 1) + `]}`, 0, "entry 1", true},
		{"more than a manifest may have", strings.Repeat(" ", manifest.MaxSize+1), 0, "exceeds 4194304 bytes", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := parseReferrers([]byte(c.content))
			if len(list) != c.count || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %d referrers and %v, want %d and %q", len(list), err, c.count, c.says)
			}
			if regerror.IsPermanent(err) != c.permanent {
				t.Errorf("permanent is %v: %v", !c.permanent, err)
			}
		})
	}
}

// An index to which a referrer was added lists it, and all that others wrote, as they wrote it.
func FuzzReferrersIndex(f *testing.F) {
	f.Add(`{"schemaVersion":2,"manifests":[`+aReferrer+`],"annotations":{"a":"b"}}`, `{"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"x/z","annotations":{"c":"d"}}`)
	f.Add(`{"manifests":[]}`, `{"mediaType":"application/vnd.oci.image.manifest.v1Njson","artifactType":"x/z"}`)
	f.Add(`{"manifests":null}`, `{"config":{"mediaType":"x/config"}}`)
	f.Add(`{"manifests":[],"Manifests":[`+aReferrer+`]}`, `{}`)
	f.Add(`[]`, `{}`)
	f.Fuzz(func(t *testing.T, content, added string) {
		before, err := parseReferrers([]byte(content))
		index := referrersIndex{has: map[string]bool{}}
		if (index.parse([]byte(content)) == nil) != (err == nil) {
			t.Fatalf("the list is read, and the index is not, or the other way round: %v", err)
		}
		m := manifest.Raw{Digest: "sha256:" + strings.Repeat("cd", 32), MediaType: manifest.OCIManifest, Content: []byte(added)}
		if err != nil || index.add(m) != nil {
			return
		}
		after, err := parseReferrers(index.raw().Content)
		if errors.Is(err, errTooManyReferrers) {
			return
		}
		if err != nil || len(after) != len(before)+1 && !index.has[m.Digest] {
			t.Fatalf("%d referrers became %d: %v", len(before), len(after), err)
		}
		for i, d := range before {
			if fmt.Sprint(after[i]) != fmt.Sprint(d) {
				t.Errorf("%+v became %+v", d, after[i])
			}
		}
	})
}
