package stream

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"imagemirror/internal/manifest"
)

// BenchmarkRead reads the plan of 500 images, with and without three manifests of 4 KB for each.
func BenchmarkRead(b *testing.B) {
	for _, perImage := range []int{0, 3} {
		plan := &Content{Header: Header{Stream: Plan, Run: "r", Mappings: 500}}
		var manifests []manifest.Raw
		for id := range plan.Header.Mappings {
			plan.Mappings = append(plan.Mappings, Mapping{
				ID: id, Source: fmt.Sprintf("registry.ci.openshift.org/openshift/knative-v1.16:image-%d", id),
				Destination: fmt.Sprintf("quay.io/openshift-knative/image-%d:v1.16", id), Set: "knative", File: "image-sets/knative/mapping_knative_v1_16", Line: id,
			})
			plan.Copies = append(plan.Copies, Copy{ID: id, Digest: image, Old: replaced, Bytes: 1 << 20})
			for n := range perImage {
				manifests = append(manifests, manifest.Raw{Digest: fmt.Sprintf("sha256:%064x", 10*id+n), MediaType: manifest.OCIManifest, Content: bytes.Repeat([]byte("manifest"), 512)})
			}
		}
		plan.Manifests = slices.Values(manifests)
		content := write(b, plan)
		b.Run(fmt.Sprintf("%d manifests", len(manifests)), func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Skim(bytes.NewReader(content), "plan"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
