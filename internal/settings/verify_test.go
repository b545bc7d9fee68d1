package settings

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// verifying returns a file with a rule in line 6.
func verifying(rule string) []byte { return []byte(head + "spec:\n  verify: " + rule + "\n") }

func TestVerifyParses(t *testing.T) {
	s, found := Parse("f", []byte(head+`spec:
  verify:
    - anyOf:
        - key: cosign.pub
        - {issuer: "https://a.example", subjectRegexp: ".*@a", trustedRoot: trusted_root.json, unlogged: true}
      attestations: [spdx, "https://slsa.dev/provenance/v1"]
    - {sources: [q.io/a], destinations: [r.io], minAge: 24h}
`))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	want := []VerifyRule{
		{Line: 7, Attestations: []string{"https://spdx.dev/Document", "https://slsa.dev/provenance/v1"}, AnyOf: []Signer{
			{Line: 8, Key: NamedFile{"cosign.pub", 8}},
			{Line: 9, Issuer: "https://a.example", SubjectRegexp: ".*@a", TrustedRoot: NamedFile{"trusted_root.json", 9}, Unlogged: true},
		}},
		{Line: 11, Sources: Prefixes{{"q.io/a", 11}}, Destinations: Prefixes{{"r.io", 11}}, MinAge: 24 * time.Hour},
	}
	if diff := cmp.Diff(want, s.Verify); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"cosign.pub", "trusted_root.json"}, Files(s.Verify)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestVerifyRefuses(t *testing.T) {
	const id = `issuer: "https://a.example", subject: a, trustedRoot: r.json`
	alternative := func(a string) string { return "{anyOf: [{" + a + "}]}" }
	for rule, want := range map[string]string{
		"":                                 "spec.verify demands nothing",
		"[]":                               "spec.verify demands nothing",
		"{anyOf: []}":                      "the rule demands nothing: write anyOf or minAge",
		"cosign.pub":                       "spec.verify is not a list",
		"{key: cosign.pub}":                `unknown key "key": write sources, destinations, anyOf, attestations, attestationsOnly or minAge`,
		"{minAge: 1s}":                     "spec.verify.minAge is \"1s\": write a time from 1m to 744h",
		"{attestations: [spdx]}":           "attestations are demanded of nobody",
		alternative(""):                    "an alternative has neither a key nor an identity",
		alternative("key: a.pub, " + id):   "an alternative has both a key and an identity",
		alternative("key: ../a.pub"):       `key "../a.pub" is not the name of a file`,
		alternative("key: a.txt"):          `key "a.txt" is not the name of a file: write one without directories that ends with .pub or .pem`,
		alternative("key: policy-a.pub"):   "key policy-a.pub could be taken for another file: rename it",
		alternative("key: my-mapping.pub"): "key my-mapping.pub could be taken for another file: rename it",
		alternative("key: a.pub, unlogged: true"):                                   "unlogged is for identities",
		alternative(`issuer: "https://a.example"`):                                  "the identity has no subject",
		alternative(`subject: a`):                                                   "the identity has no issuer",
		alternative(`subject: a, issuer: b`):                                        "the identity has no trustedRoot",
		alternative(`issuer: a, issuerRegexp: b, subject: c, trustedRoot: r.json`):  "both issuer and issuerRegexp are there: keep one",
		alternative(`issuer: a, subject: b, subjectRegexp: c, trustedRoot: r.json`): "both subject and subjectRegexp are there: keep one",
		alternative(`issuer: a, subjectRegexp: "a(", trustedRoot: r.json`):          `"a(" is not a regular expression of Go: missing closing )`,
		alternative(id + ", trustedRoots: x"):                                       `unknown key "trustedRoots"`,
		"{anyOf: [{key: a.pub}], attestations: [spdxx]}":                            `attestation "spdxx" is not a predicate type: write a URI such as https://slsa.dev/provenance/v1, or one of cosign's names`,
		"{anyOf: [{key: a.pub}], attestations: [spdx, spdxjson]}":                   "attestation https://spdx.dev/Document is there twice: keep one",
		"{anyOf: [{key: a.pub}], attestationsOnly: true}":                           "attestationsOnly without attestations accepts anything",
	} {
		_, found := Parse("f", verifying(rule))
		err := found.Err()
		if err == nil || !strings.HasPrefix(err.Error(), "f:6: "+want) {
			t.Errorf("%s: got %v, want %q", rule, err, want)
		}
	}
}
