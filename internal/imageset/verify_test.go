package imageset

import (
	"strings"
	"testing"

	"imagemirror/internal/verify/signtest"
)

// What is wrong with the files that rules name is reported at the line that names them.
func TestVerification(t *testing.T) {
	key, authority := signtest.NewKeyPair(), signtest.NewAuthority()
	const byKey, byIdentity = "{anyOf: [{key: a.pub}]}", "{anyOf: [{issuer: i, subject: s, trustedRoot: r.json}]}"
	for name, c := range map[string]struct {
		rule  string
		files map[string]string
		want  string // after settings.yaml:6, or "" if all is well
	}{
		"a key":                          {byKey, map[string]string{"a.pub": string(key.Public)}, ""},
		"no file":                        {byKey, nil, "key a.pub: no such file or directory: put the file beside settings.yaml"},
		"no PEM":                         {byKey, map[string]string{"a.pub": "x"}, "key a.pub: it is not in PEM: write a public key"},
		"a private key":                  {byKey, map[string]string{"a.pub": string(key.Private())}, "key a.pub: it is a private key, which whoever can read the repository now has"},
		"parameters and the private key": {byKey, map[string]string{"a.pub": "-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----\n" + string(key.Private())}, "key a.pub: it is a private key"},
		"a pair":                         {byKey, map[string]string{"a.pub": string(key.Public) + string(key.Private())}, "key a.pub: it is a private key"},
		"a directory":                    {byKey, map[string]string{"a.pub/x": "x"}, "key a.pub: this is not a regular file: remove or rename it"},
		"two keys":                       {byKey, map[string]string{"a.pub": string(key.Public) + string(key.Public)}, "key a.pub: it has more than one key"},
		"a bad key":                      {byKey, map[string]string{"a.pub": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}, "key a.pub: it is not a public key"},
		"a certificate":                  {byKey, map[string]string{"a.pub": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "key a.pub: it is a certificate"},
		"a root":                         {byIdentity, map[string]string{"r.json": string(authority.TrustedRoot())}, ""},
		"no root":                        {byIdentity, nil, "trustedRoot r.json: no such file or directory"},
		"a root that is not":             {byIdentity, map[string]string{"r.json": "{"}, "trustedRoot r.json: it is not a Sigstore trusted root"},
		"two roots":                      {byIdentity, map[string]string{"r.json": string(authority.TrustedRoot()) + "\n" + string(authority.TrustedRoot())}, "trustedRoot r.json: it has several roots: keep the one"},
		"an empty root":                  {byIdentity, map[string]string{"r.json": `{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`}, "trustedRoot r.json: it has neither a transparency log nor a timestamp authority"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"one/mapping_a": pair("a"), "one/settings.yaml": settingsOf("one", "verify: "+c.rule)}
			for file, content := range c.files {
				files["one/"+file] = content
			}
			write(t, files)
			in, err := Load([]string{"one"}, nil)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || strings.Contains(c.want, "no such file") != strings.Contains(err.Error(), "put the file beside") || !strings.HasPrefix(err.Error(), "one/settings.yaml:6: "+c.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("got %v, want %q", err, c.want)
			}
			m := in.Sets[0].Mappings[0]
			if n := len(in.Sets[0].Demands(m.Source, m.Destination)); n != 1 {
				t.Errorf("%d demands, want 1", n)
			}
		})
	}
}

// The rules of a policy hold besides those of settings, each for the images that it names. Their
// files are beside the policy, on a cluster among those of the set.
func TestVerificationByPolicy(t *testing.T) {
	key := string(signtest.NewKeyPair().Public)
	rules := policyOf("  verify:\n    - {sources: [q.io/s], anyOf: [{key: policy-a.pub}]}\n    - {destinations: [elsewhere.example], minAge: 1h}\n")
	for _, at := range []string{"sets/", "sets/one/"} {
		write(t, map[string]string{
			at + "policy.yaml": rules, at + "policy-a.pub": key, "sets/one/mapping_a": pair("a") + "q.io/t/x:1 q.io/d/x\n", "sets/one/a.pub": key,
			"sets/one/settings.yaml": settingsOf("one", "verify: {anyOf: [{key: a.pub}]}"),
		})
		in, err := Load([]string{"sets/one"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{2, 1} {
			m := in.Sets[0].Mappings[i]
			if n := len(in.Sets[0].Demands(m.Source, m.Destination)); n != want {
				t.Errorf("%s: %d demands of %s, want %d", at, n, m.Source, want)
			}
		}
	}
	write(t, map[string]string{"sets/policy.yaml": rules, "sets/one/mapping_a": pair("a"), "sets/one/OWNERS": owners})
	_, err := Load([]string{"sets/one"}, nil)
	if err == nil || !strings.Contains(err.Error(), "sets/policy.yaml:5: key policy-a.pub: no such file") {
		t.Error(err)
	}
}

// A registry has other names, and no rule is avoided by one of them. Nor may two lines push to one
// tag under two names.
func TestOtherNamesOfARegistry(t *testing.T) {
	rule := policyOf("  verify:\n    - {sources: [q.io/s], destinations: [docker.io/d], minAge: 1h}\n")
	for mapping, want := range map[string]int{
		"q.io/s/a:1 d/a:1":                          1,
		"q.io:443/s/a:1 d/a:1":                      1,
		"q.io/s/a:1 registry-1.docker.io/d/a:1":     1,
		"q.io/s/a:1 index.docker.io:443/d/a:1":      1,
		"Q.IO:443/s/a:1 Registry-1.Docker.io/d/a:1": 1,
		"q.io:5000/s/a:1 d/a:1":                     0,
		"q.io/s/a:1 docker.io.example/d/a:1":        0,
	} {
		write(t, map[string]string{"sets/policy.yaml": rule, "sets/one/mapping_a": mapping + "\n", "sets/one/OWNERS": owners})
		in, err := Load([]string{"sets/one"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := in.Sets[0].Mappings[0]
		if n := len(in.Sets[0].Demands(m.Source, m.Destination)); n != want {
			t.Errorf("%s: %d demands, want %d", mapping, n, want)
		}
	}
	write(t, map[string]string{
		"sets/policy.yaml": policyOf("  verify: {sources: [busybox], minAge: 1h}\n"), "sets/one/OWNERS": owners,
		"sets/one/mapping_a": "busybox:1 q.io/d/a:1\ndocker.io/busybox/x:1 q.io/d/b:1\ndocker.io/library/busybox2:1 q.io/d/c:1\n",
	})
	in, err := Load([]string{"sets/one"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 1, 0} {
		m := in.Sets[0].Mappings[i]
		if n := len(in.Sets[0].Demands(m.Source, m.Destination)); n != want {
			t.Errorf("%s: %d demands, want %d", m.Source, n, want)
		}
	}
	write(t, map[string]string{"one/mapping_a": "q.io/s/a:1 q.io/d/a:1\nq.io/s/b:1 q.io:443/d/a:1\n"})
	if _, err := Load([]string{"one"}, nil); err == nil || !strings.Contains(err.Error(), "one/mapping_a:2: destination q.io:443/d/a:1 has the source q.io/s/b:1 here and the source q.io/s/a:1 at one/mapping_a:1") {
		t.Error(err)
	}
}

// Rules on one line are different rules.
func TestRulesOnOneLine(t *testing.T) {
	a, b := string(signtest.NewKeyPair().Public), string(signtest.NewKeyPair().Public)
	for name, rules := range map[string]string{
		"keys":         "[{destinations: [q.io/d/a], anyOf: [{key: a.pub}]}, {destinations: [q.io/d/b], anyOf: [{key: b.pub}]}]",
		"attestations": "[{destinations: [q.io/d/a], anyOf: [{key: a.pub}]}, {destinations: [q.io/d/b], anyOf: [{key: a.pub}, {key: b.pub}], attestations: [spdx]}]",
		"an age":       "[{destinations: [q.io/d/a], anyOf: [{key: a.pub}, {key: b.pub}]}, {destinations: [q.io/d/b], minAge: 24h}]",
	} {
		write(t, map[string]string{
			"one/mapping_a": pair("a") + pair("b"), "one/settings.yaml": settingsOf("one", "verify: "+rules), "one/a.pub": a, "one/b.pub": b,
		})
		in, err := Load([]string{"one"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		set := in.Sets[0]
		first, second := set.Demands(set.Mappings[0].Source, set.Mappings[0].Destination), set.Demands(set.Mappings[1].Source, set.Mappings[1].Destination)
		if len(first) != 1 || len(second) != 1 || first[0] == second[0] || first[0].String() == second[0].String() && second[0].MinAge == 0 {
			t.Errorf("%s: %v and %v, want two demands", name, first, second)
		}
	}
}
