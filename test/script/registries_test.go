package script

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
)

// A remoteRegistry is a registry behind a proxy.
type remoteRegistry struct {
	*registrytest.Proxy
	backend *registrytest.Registry
}

// startRegistry implements the command registry NAME [-inprocess|-sparse] [-tls]
// [-token|-jwt|-strict|-basic] [-user NAME:PASSWORD:PATH]...: it starts a registry, and sets
// $NAME to its host.
func startRegistry(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 0, "registry NAME [-inprocess|-sparse] [-tls] [-token|-jwt|-strict|-basic] [-user NAME:PASSWORD:PATH]...")
	var o registrytest.ProxyOptions
	inProcess, sparse := false, false
	for i := 1; i < len(args); i++ {
		switch args[i] {
		case "-inprocess":
			inProcess = true
		case "-sparse":
			sparse = true
		case "-tls":
			o.TLS = true
		case "-token":
			o.Auth = &registrytest.Auth{}
		case "-basic":
			o.Auth = &registrytest.Auth{Basic: true}
		case "-jwt":
			o.Auth = &registrytest.Auth{JWT: true}
		case "-strict":
			o.Auth = &registrytest.Auth{Strict: http.StatusForbidden}
		case "-user":
			i++
			part := strings.SplitN(args[i], ":", 3)
			o.Auth.Users = append(o.Auth.Users, registrytest.User{Name: part[0], Password: part[1], Pull: []string{""}, Push: []string{part[2]}})
		default:
			ts.Fatalf("registry has no option %s", args[i])
		}
	}
	backend := startBackend(ts, inProcess, sparse)
	started := &remoteRegistry{registrytest.StartProxy(backend.Host, o), backend}
	worldOf(ts).registries[args[0]] = started
	ts.Setenv(args[0], started.Host)
	if o.TLS {
		check(ts, os.WriteFile(ts.MkAbs(args[0]+".pem"), started.CA(), 0o600))
	}
}

func startBackend(ts *testscript.TestScript, inProcess, sparse bool) *registrytest.Registry {
	if inProcess {
		return registrytest.StartInProcess()
	}
	backend, err := registrytest.StartDistribution(registrytest.DistributionOptions{Sparse: sparse})
	check(ts, err)
	return backend
}

// push implements the command push REGISTRY REPOSITORY:TAG [KIND [VARIANT]]: it pushes an
// image, the same one for the same arguments.
func push(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "push REGISTRY REPOSITORY:TAG [KIND [VARIANT]]")
	r := worldOf(ts).registry(ts, args[0])
	kind, variant := "image", ""
	if len(args) > 2 {
		kind = args[2]
	}
	if len(args) > 3 {
		variant = args[3]
	}
	what := content(kind, args[1]+variant)
	if what == nil {
		ts.Fatalf("push knows no %s", kind)
	}
	// Foreign layers too: some registries have them.
	_, err := registrytest.Write(context.Background(), r.backend.Host+"/"+args[1], what, remote.WithNondistributable)
	check(ts, err)
}

// sign implements the command sign REGISTRY REPOSITORY:TAG: it pushes an artifact under the tag at
// which cosign looks for the image's signature.
func sign(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "sign REGISTRY REPOSITORY:TAG")
	host := worldOf(ts).registry(ts, args[0]).backend.Host
	ref, err := name.ParseReference(host + "/" + args[1])
	check(ts, err)
	image, err := remote.Head(ref)
	check(ts, err)
	tag := registry.ReferrersTag(image.Digest.String()) + ".sig"
	_, err = registrytest.Write(context.Background(), ref.Context().Tag(tag).String(), registrytest.NewArtifact("signature", registrytest.NewLayer("signature", 300)))
	check(ts, err)
}

// cosign implements the command [!] cosign verify --key FILE IMAGE.
func cosign(ts *testscript.TestScript, neg bool, args []string) {
	program, err := registrytest.BuildCosign(io.Discard)
	check(ts, err)
	switch err := ts.Exec(program, args...); {
	case err == nil && neg:
		ts.Fatalf("cosign verified it")
	case err != nil && !neg:
		ts.Fatalf("cosign: %v", err)
	}
}

// makePublic implements the command public REGISTRY REPOSITORY: it lets strangers pull.
func makePublic(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "public REGISTRY REPOSITORY")
	worldOf(ts).registry(ts, args[0]).MakePublic(args[1])
}

func content(kind, about string) remote.Taggable {
	base, top := registrytest.NewLayer("base", 300_000), registrytest.NewLayer(about, 2000)
	image := registrytest.NewImage(registrytest.OCI, about, "amd64", base, top)
	switch kind {
	case "image":
		return image
	case "docker":
		return registrytest.NewImage(registrytest.Docker, about, "amd64", base, top)
	case "index":
		return registrytest.NewPlatforms(registrytest.OCI, about, 2000, []string{"amd64", "arm64"}, base)
	case "list":
		return registrytest.NewPlatforms(registrytest.Docker, about, 2000, []string{"amd64", "arm64"}, base)
	case "nested":
		return registrytest.NewIndex(registrytest.OCI, registrytest.NewIndex(registrytest.OCI, image))
	case "artifact":
		return registrytest.NewArtifact(about, registrytest.NewBlob(about, 3000, registrytest.ExampleBlob))
	case "emptyconfig":
		return registrytest.NewEmptyConfigArtifact(registrytest.NewBlob(about, 3000, registrytest.ExampleBlob))
	case "zstd":
		return registrytest.NewImage(registrytest.OCI, about, "amd64", registrytest.NewBlob(about, 3000, types.OCILayerZStd))
	case "foreign":
		return registrytest.NewImage(registrytest.Docker, about, "amd64", top.Foreign("https://example.com/layer"))
	case "schema1":
		return registrytest.Schema1(about, top)
	}
	return nil
}

// same implements the command [!] same REGISTRY REPOSITORY:TAG REGISTRY REPOSITORY:TAG: it
// compares two images.
func same(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, false, len(args) == 4, "[!] same REGISTRY REPOSITORY:TAG REGISTRY REPOSITORY:TAG")
	w := worldOf(ts)
	source, destination := w.registry(ts, args[0]).backend.Host, w.registry(ts, args[2]).backend.Host
	err := registrytest.Validate(context.Background(), source+"/"+args[1], destination+"/"+args[3])
	if neg != (err != nil) {
		ts.Fatalf("%s and %s: %v", args[1], args[3], err)
	}
}

// requests implements the command requests REGISTRY [KIND=N]...: it compares the numbers of all
// requests but those for tokens.
func requests(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 1, "requests REGISTRY [KIND=N]...")
	want := map[string]int{}
	for _, a := range args[1:] {
		kind, n, _ := strings.Cut(a, "=")
		want[kind], _ = strconv.Atoi(n)
	}
	got := maps.Clone(worldOf(ts).registry(ts, args[0]).Stats().Requests)
	delete(got, "token")
	if !maps.Equal(got, want) {
		ts.Fatalf("%s had the requests %v, want %v", args[0], got, want)
	}
}

// reset implements the command reset REGISTRY...: requests counts from here on.
func reset(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 0, "reset REGISTRY...")
	for _, name := range args {
		worldOf(ts).registry(ts, name).Reset()
	}
}

// fault implements the command fault [-once] REGISTRY KIND FAULT, fault REGISTRY down, or fault
// REGISTRY pulls N: it injects a fault.
func fault(ts *testscript.TestScript, neg bool, args []string) {
	const form = "fault [-once] REGISTRY KIND stall|cut|corrupt|pages|STATUS [BODY], fault REGISTRY down, or fault REGISTRY pulls N"
	var rule registrytest.FaultRule
	if len(args) > 0 && args[0] == "-once" {
		rule.Times, args = 1, args[1:]
	}
	usage(ts, neg, len(args) >= 2, form)
	r := worldOf(ts).registry(ts, args[0])
	if args[1] == "down" {
		r.Proxy.Close()
		return
	}
	usage(ts, neg, len(args) >= 3, form)
	if args[1] == "pulls" {
		n, err := strconv.Atoi(args[2])
		check(ts, err)
		r.Inject(registrytest.NewPullMeter(n, 21600).Rule())
		return
	}
	rule.Kind = args[1]
	switch args[2] {
	case "stall":
		rule.Fault = registrytest.Stall()
	case "cut":
		rule.Fault = registrytest.Disconnect()
	case "corrupt":
		rule.Fault = registrytest.Corrupt(0)
	case "pages":
		rule.Fault = inPages
	default:
		code, err := strconv.Atoi(args[2])
		check(ts, err)
		rule.Fault = registrytest.Status(code, strings.Join(args[3:], " "))
	}
	r.Inject(rule)
}

// inPages makes a registry list two tags at a time.
func inPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		query := r.URL.Query()
		query.Set("n", "2")
		r.URL.RawQuery = query.Encode()
		next.ServeHTTP(w, r)
	})
}

// heal implements the command heal REGISTRY: it ends the faults.
func heal(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "heal REGISTRY")
	worldOf(ts).registry(ts, args[0]).Heal()
}

// digest implements the command digest NAME REGISTRY REPOSITORY:TAG: it sets $NAME to the
// image's digest.
func digest(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 3, "digest NAME REGISTRY REPOSITORY:TAG")
	ref, err := name.ParseReference(worldOf(ts).registry(ts, args[1]).backend.Host + "/" + args[2])
	check(ts, err)
	d, err := remote.Head(ref)
	check(ts, err)
	ts.Setenv(args[0], d.Digest.String())
}

// login implements the command login FILE KEY=NAME:PASSWORD...: it writes credentials as docker
// login does.
func login(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 1, "login FILE KEY=NAME:PASSWORD...")
	auths := map[string]map[string]string{}
	for _, a := range args[1:] {
		key, secret, _ := strings.Cut(a, "=")
		auths[key] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(secret))}
	}
	b, err := json.Marshal(map[string]any{"auths": auths})
	check(ts, err)
	file := ts.MkAbs(args[0])
	check(ts, os.MkdirAll(filepath.Dir(file), 0o755))
	check(ts, os.WriteFile(file, b, 0o600))
}

// saw reports whether the registry has seen a request of the kind since the last reset.
func (r *remoteRegistry) saw(kind string) bool { return r.Stats().Requests[kind] > 0 }
