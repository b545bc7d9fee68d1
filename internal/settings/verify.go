package settings

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/strictyaml"
)

// Bounds on what verification may ask for.
const (
	maxRules        = 50
	maxSigners      = 20
	maxPredicates   = 20
	maxIdentity     = 300 // bytes of an issuer, a subject or a regular expression
	minAge          = time.Minute
	maxAge          = 31 * 24 * time.Hour
	policyFile      = "policy-" // begins the names of a policy's files
	commonPredicate = "spdx, cyclonedx, vuln, openvex, slsaprovenance or slsaprovenance1"
)

// A VerifyRule is what images must be before they are published.
type VerifyRule struct {
	Sources          Prefixes      // that the rule is for; none: all
	Destinations     Prefixes      // that the rule is for; none: all
	AnyOf            []Signer      // one of which must have signed; none: anybody, or nobody
	Attestations     []string      // predicate types that the same signer must have attested
	AttestationsOnly bool          // attestations suffice, without a signature
	MinAge           time.Duration // since the image was signed or first seen
	Line             int
}

// A Signer is a key or an identity.
type Signer struct {
	Key           NamedFile // in PEM; or else Issuer and Subject are set
	Issuer        string    // who identifies the signer
	IssuerRegexp  string    // of the whole issuer, instead
	Subject       string    // whom the certificate is for
	SubjectRegexp string    // of the whole subject, instead
	TrustedRoot   NamedFile // which authorities and logs are believed
	Unlogged      bool      // no transparency log need have the signature
	Line          int
}

// A NamedFile is a file beside the one that names it.
type NamedFile struct {
	Name string // without directories; empty if there is none
	Line int
}

// Files returns the names of all files that rules need, each once.
func Files(rules []VerifyRule) []string {
	var names []string
	for _, r := range rules {
		for _, s := range r.AnyOf {
			for _, f := range []NamedFile{s.Key, s.TrustedRoot} {
				if f.Name != "" && !slices.Contains(names, f.Name) {
					names = append(names, f.Name)
				}
			}
		}
	}
	return names
}

// ReadVerifyRules reads a rule, or a list of rules, of a set's settings, or of a policy.
func ReadVerifyRules(v strictyaml.Value, ofPolicy bool) (rules []VerifyRule) {
	read := func(v strictyaml.Value) {
		if len(rules) == maxRules {
			v.Refuse("verify has more than %d rules", maxRules)
			return
		}
		rules = append(rules, readVerifyRule(v, ofPolicy))
	}
	switch {
	case v.Empty():
		v.Refuse("spec.verify demands nothing: write anyOf or minAge, or leave the key out")
	case v.IsMapping():
		read(v)
	default:
		v.List(read)
	}
	return rules
}

func readVerifyRule(v strictyaml.Value, ofPolicy bool) VerifyRule {
	r := VerifyRule{Line: v.Line()}
	v.Keys(
		strictyaml.Key{Name: "sources", Read: func(v strictyaml.Value) { r.Sources.Read(v, "source") }},
		strictyaml.Key{Name: "destinations", Read: func(v strictyaml.Value) { r.Destinations.Read(v, "destination") }},
		strictyaml.Key{Name: "anyOf", Read: func(v strictyaml.Value) { v.List(func(v strictyaml.Value) { r.signer(v, ofPolicy) }) }},
		strictyaml.Key{Name: "attestations", Read: func(v strictyaml.Value) { v.List(r.attestation) }},
		strictyaml.Key{Name: "attestationsOnly", Read: func(v strictyaml.Value) { r.AttestationsOnly = v.Bool() }},
		strictyaml.Key{Name: "minAge", Read: duration(&r.MinAge, minAge, maxAge)},
	)
	switch {
	case len(r.AnyOf) == 0 && len(r.Attestations) > 0:
		v.Refuse("attestations are demanded of nobody: write under anyOf who has to sign them")
	case len(r.AnyOf) == 0 && r.MinAge == 0:
		v.Refuse("the rule demands nothing: write anyOf or minAge")
	case r.AttestationsOnly && len(r.Attestations) == 0:
		v.Refuse("attestationsOnly without attestations accepts anything: list the attestations to demand")
	}
	return r
}

// predicates are the types of attestations that cosign has short names for (cosign,
// pkg/cosign/attestation).
var predicates = map[string]string{
	"slsaprovenance":  "https://slsa.dev/provenance/v0.2",
	"slsaprovenance1": "https://slsa.dev/provenance/v1",
	"spdx":            "https://spdx.dev/Document",
	"spdxjson":        "https://spdx.dev/Document",
	"cyclonedx":       "https://cyclonedx.org/bom",
	"link":            "https://in-toto.io/Link/v1",
	"vuln":            "https://cosign.sigstore.dev/attestation/vuln/v1",
	"openvex":         "https://openvex.dev/ns",
	"custom":          "https://cosign.sigstore.dev/attestation/v1",
}

func (r *VerifyRule) attestation(v strictyaml.Value) {
	name, ok := v.Text()
	if !ok {
		return
	}
	kind := cmp.Or(predicates[name], name)
	u, err := url.Parse(kind)
	switch {
	case len(kind) > maxIdentity || err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "":
		v.Refuse("attestation %.*q is not a predicate type: write a URI such as https://slsa.dev/provenance/v1, or one of cosign's names, such as %s", maxText, name, commonPredicate)
	case slices.Contains(r.Attestations, kind):
		v.Refuse("attestation %s is there twice: keep one", kind)
	case len(r.Attestations) == maxPredicates:
		v.Refuse("there are more than %d attestations", maxPredicates)
	default:
		r.Attestations = append(r.Attestations, kind)
	}
}

func (r *VerifyRule) signer(v strictyaml.Value, ofPolicy bool) {
	if len(r.AnyOf) == maxSigners {
		v.Refuse("anyOf has more than %d alternatives", maxSigners)
		return
	}
	s := Signer{Line: v.Line()}
	v.Keys(
		strictyaml.Key{Name: "key", Read: func(v strictyaml.Value) { s.Key.read(v, "key", ofPolicy, ".pub", ".pem") }},
		strictyaml.Key{Name: "issuer", Read: identity(&s.Issuer)},
		strictyaml.Key{Name: "issuerRegexp", Read: expression(&s.IssuerRegexp)},
		strictyaml.Key{Name: "subject", Read: identity(&s.Subject)},
		strictyaml.Key{Name: "subjectRegexp", Read: expression(&s.SubjectRegexp)},
		strictyaml.Key{Name: "trustedRoot", Read: func(v strictyaml.Value) { s.TrustedRoot.read(v, "trustedRoot", ofPolicy, ".json") }},
		strictyaml.Key{Name: "unlogged", Read: func(v strictyaml.Value) { s.Unlogged = v.Bool() }},
	)
	s.check(v)
	r.AnyOf = append(r.AnyOf, s)
}

// check refuses an alternative that is not one key or one identity.
func (s *Signer) check(v strictyaml.Value) {
	const write = "write key: FILE, or issuer, subject and trustedRoot"
	isIdentity := s.Issuer+s.IssuerRegexp+s.Subject+s.SubjectRegexp != ""
	switch {
	case s.Key.Line > 0 && isIdentity:
		v.Refuse("an alternative has both a key and an identity: " + write + ", each as an alternative of its own")
	case s.Key.Line > 0 && s.Unlogged:
		v.Refuse("unlogged is for identities: a key without trustedRoot needs no log")
	case s.Key.Line > 0:
	case !isIdentity:
		v.Refuse("an alternative has neither a key nor an identity: " + write)
	case s.Issuer != "" && s.IssuerRegexp != "":
		v.Refuse("both issuer and issuerRegexp are there: keep one")
	case s.Subject != "" && s.SubjectRegexp != "":
		v.Refuse("both subject and subjectRegexp are there: keep one")
	case s.Issuer+s.IssuerRegexp == "":
		v.Refuse("the identity has no issuer, so that anybody could prove it: write issuer or issuerRegexp")
	case s.Subject+s.SubjectRegexp == "":
		v.Refuse("the identity has no subject, so that whoever the issuer knows could sign: write subject or subjectRegexp")
	case s.TrustedRoot.Line == 0:
		v.Refuse("the identity has no trustedRoot, by which its certificates are verified: write the name of a trusted_root.json (cosign trusted-root create writes one)")
	}
}

func identity(to *string) func(strictyaml.Value) {
	return func(v strictyaml.Value) {
		text, ok := v.Text()
		if ok && len(text) > maxIdentity {
			v.Refuse("%.*q has more than %d bytes", maxText, text, maxIdentity)
			return
		}
		*to = text
	}
}

func expression(to *string) func(strictyaml.Value) {
	return func(v strictyaml.Value) {
		identity(to)(v)
		if _, err := regexp.Compile(*to); err != nil {
			v.Refuse("%.*q is not a regular expression of Go: %s", maxText, *to, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
			*to = ""
		}
	}
}

// fileRE matches names of files that can be keys of a ConfigMap, and that no program takes for
// something else.
var fileRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// read reads the name of a file. Those of a policy, which on a cluster are mounted among the files
// of a set, have names that the files of a set cannot have.
func (f *NamedFile) read(v strictyaml.Value, key string, ofPolicy bool, endings ...string) {
	f.Line = v.Line()
	name, ok := v.Text()
	ends := func(ending string) bool { return strings.HasSuffix(name, ending) }
	lower := strings.ToLower(name)
	switch {
	case !ok:
	case !fileRE.MatchString(name) || !slices.ContainsFunc(endings, ends):
		v.Refuse("%s %.*q is not the name of a file: write one without directories that ends with %s, and put the file beside this one", key, maxText, name, strings.Join(endings, " or "))
	case ofPolicy && !strings.HasPrefix(name, policyFile):
		v.Refuse("%s %s could be the name of a set's file: begin it with %s", key, name, policyFile)
	case !ofPolicy && strings.HasPrefix(lower, "policy") || strings.HasPrefix(lower, "settings.") || strings.Contains(lower, "mapping") || strings.HasPrefix(lower, "kustomiz") || strings.HasPrefix(lower, "owners"):
		v.Refuse("%s %s could be taken for another file: rename it", key, name)
	default:
		f.Name = name
	}
}
