package wire

import (
	"fmt"
	"strings"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// errorBody returns the JSON of a registry's error.
func errorBody(code, message, detail string) string {
	return fmt.Sprintf(`{"errors":[{"code":%q,"message":%q,"detail":%q}]}`, code, message, detail)
}

// Some registries do not know at once what they have just accepted.
func TestManifestWaitsUntilItsContentIsKnown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status       int
		code, detail string
	}{
		{404, "MANIFEST_BLOB_UNKNOWN", ""}, {400, "BLOB_UNKNOWN", "sha256:abc"}, {404, "MANIFEST_UNKNOWN", ""}, {500, "MANIFEST_BLOB_UNKNOWN", ""},
	} {
		t.Run(fmt.Sprint(c.status, c.code), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Times: 2, Fault: registrytest.Status(c.status, errorBody(c.code, "blob unknown to registry", c.detail))})
			config := settings()
			config.Retries = 2 // the wait does not use up attempts
			mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
			if n := p.destination.Stats().Requests["PUT manifest"]; n != 3 {
				t.Errorf("%d manifests were pushed, want one, three times", n)
			}
		})
	}
}

// An index waits for its children in the same way.
func TestIndexWaitsUntilItsChildrenAreKnown(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewPlatforms(registrytest.OCI, "a", 1000, []string{"amd64", "arm64"}))
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", After: 2, Times: 1, Fault: registrytest.Status(400, errorBody("MANIFEST_UNKNOWN", "manifest unknown", ""))})
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	if n := p.destination.Stats().Requests["PUT manifest"]; n != 4 {
		t.Errorf("%d manifests were pushed, want three, one of them twice", n)
	}
}

// What never becomes known ends in an error after a bounded time, at once for a digest that the
// run has not sent.
func TestContentThatStaysUnknownIsAnError(t *testing.T) {
	t.Parallel()
	other := "sha256:" + strings.Repeat("0", 64)
	for _, c := range []struct {
		name, detail string
		puts         func(n int) bool
	}{
		{"a digest that was sent", "", func(n int) bool { return n > 1 }},
		{"a digest that was not", other, func(n int) bool { return n == 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(factor int) error {
				p := newPair(t)
				push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
				p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Fault: registrytest.Status(400, errorBody("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", c.detail))})
				config := settings()
				config.Stall = seconds(factor)
				got := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
				if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "blob unknown to registry") || !strings.Contains(got.Error.Advice, "run again") {
					return fmt.Errorf("the result is %+v with %+v", got, got.Error)
				}
				if n := p.destination.Stats().Requests["PUT manifest"]; !c.puts(n) {
					return fmt.Errorf("the manifest was pushed %d times", n)
				}
				return nil
			})
		})
	}
}

// A registry that wants a layer which is not for redistribution is not waited for, and the advice
// names the setting.
func TestForeignLayerThatARegistryWantsIsExplained(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	foreign := registrytest.NewLayer("windows", 3000).Foreign("https://layers.invalid/x")
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", foreign))
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Fault: registrytest.Status(400, errorBody("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", foreign.Digest.String()))})
	got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "is not for redistribution") || !strings.Contains(got.Error.Advice, "MIRROR_FOREIGN_LAYERS") {
		t.Errorf("the result is %+v with %+v", got, got.Error)
	}
	if n := p.destination.Stats().Requests["PUT manifest"]; n != 1 {
		t.Errorf("the manifest was pushed %d times, want once", n)
	}
}

// A rate limit is one whatever its status, and a final code is final whatever its status.
func TestCodesDecideAboutRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		copied bool
	}{
		{"TOOMANYREQUESTS with 403", 403, errorBody("TOOMANYREQUESTS", "slow down", ""), true},
		{"TOOMANYREQUESTS with 400", 400, errorBody("TOOMANYREQUESTS", "slow down", ""), true},
		{"Docker Hub's text with 403", 403, "toomanyrequests: You have reached your pull rate limit.", true},
		{"425", 425, "", true},
		{"499", 499, "", true},
		{"523", 523, "<html><title>523: Origin is unreachable</title></html>", true},
		{"MANIFEST_INVALID with 500", 500, errorBody("MANIFEST_INVALID", "manifest invalid", "no such media type"), false},
		{"DENIED with 503", 503, errorBody("DENIED", "not today", ""), false},
		{"501", 501, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Times: 1, Fault: registrytest.Status(c.status, c.body)})
			got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1"))
			want, puts := stream.Copied, 2
			if !c.copied {
				want, puts = stream.Failed, 1
			}
			got.allAre(t, want)
			if n := p.destination.Stats().Requests["PUT manifest"]; n != puts {
				t.Errorf("the manifest was pushed %d times, want %d", n, puts)
			}
		})
	}
}

// The reason that distribution gives for a URL that it does not allow is in a detail, with 500.
func TestReasonInADetailIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Fault: registrytest.Status(500,
		`{"errors":[{"code":"UNKNOWN","message":"unknown error"},{"code":"UNKNOWN","message":"unknown error","detail":"invalid URL on layer"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}`)})
	got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "invalid URL on layer") {
		t.Errorf("the result is %+v with %+v", got, got.Error)
	}
	if n := p.destination.Stats().Requests["PUT manifest"]; n != 1 {
		t.Errorf("the manifest was pushed %d times, want once", n)
	}
}
