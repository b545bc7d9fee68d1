package regerror

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
)

// said returns the JSON of a registry's error.
func said(code, message string) string {
	return `{"errors":[{"code":"` + code + `","message":"` + message + `"}]}`
}

func TestAdviceAndKindFollowTheMeaning(t *testing.T) {
	const (
		slower   = "lower MIRROR_CONCURRENCY"
		room     = "ask the registry's operators for more room"
		later    = "push when the registry accepts pushes again"
		tag      = "push under another tag"
		create   = "create the repository r.example/a"
		kind     = "ask the registry's operators about the reason that it gives, or check whether it accepts images of this media type"
		policy   = "make the image comply"
		front    = "ask the operators of the front server or firewall"
		grant    = "grant the credentials push access"
		again    = "run again later"
		operator = "ask the registry's operators about the reason"
	)
	for _, c := range []struct {
		name, doing string
		status      int
		body        string
		advice      string
		kind        fault.Kind
	}{
		{"the code for too many requests", PushingManifest, 403, said("TOOMANYREQUESTS", "slow down"), slower, fault.Throttled},
		{"Docker Hub's text", PushingManifest, 400, "toomanyrequests: You have reached your pull rate limit.", slower, fault.Throttled},
		{"a limit with another code", PushingManifest, 403, said("DENIED", "Request exceeded pull rate limit"), slower, fault.Throttled},
		{"S3's code", PushingManifest, 503, "<Error><Code>SlowDown</Code><Message>Please reduce</Message></Error>", slower, fault.Throttled},
		{"quay's front server", PushingManifest, 429, "<html><h1>429</h1></html>", slower, fault.Throttled},

		{"Harbor's quota, 403", PushingManifest, 403, said("DENIED", "adding 29.0 MiB of storage resource, which when updated to current usage of 152.4 MiB will exceed the configured upper limit of 10.0 MiB."), room, fault.Quota},
		{"Harbor's quota, 412", PushingManifest, 412, said("PRECONDITION", "will exceed the configured upper limit of 10.0 MiB."), room, fault.Quota},
		{"quay's quota", OpeningUpload, 403, said("DENIED", "Quota has been exceeded on namespace"), room, fault.Quota},
		{"a plan", OpeningUpload, 402, said("DENIED", "Your plan does not allow more private repositories"), room, fault.Quota},
		{"a full disk", OpeningUpload, 507, "", room, fault.Quota},
		{"a full disk with 500", OpeningUpload, 500, said("UNKNOWN", "write /data: no space left on device"), room, fault.Quota},
		{"a quota as a text", PushingManifest, 403, `{"error":"quota exceeded"}`, room, fault.Quota},

		{"quay that is read-only", OpeningUpload, 405, said("READ_ONLY", "System is currently read-only."), later, fault.ReadOnly},
		{"distribution that is read-only", OpeningUpload, 405, said("UNSUPPORTED", "The operation is unsupported."), later, fault.ReadOnly},
		{"a text", OpeningUpload, 405, "Method not allowed\n", later, fault.ReadOnly},
		{"Harbor that is read-only", OpeningUpload, 403, said("DENIED", "The system is in read only mode. Any modification is prohibited."), later, fault.ReadOnly},
		{"Harbor's proxy", OpeningUpload, 405, said("DENIED", "can not push artifact to a proxy project"), later, fault.ReadOnly},

		{"Harbor's immutable tag, 412", PushingManifest, 412, said("PRECONDITION", "Failed to process request due to 'a:v1' configured as immutable."), tag, fault.Immutable},
		{"Harbor's immutable tag, 403", PushingManifest, 403, said("DENIED", "configured as immutable, cannot be updated"), tag, fault.Immutable},
		{"ECR's immutable tag", PushingManifest, 400, said("TAG_INVALID", "The image tag 'v1' already exists in the 'm/a' repository and cannot be overwritten because the repository is immutable."), tag, fault.Immutable},
		{"a tag that exists", PushingManifest, 409, said("CONFLICT", "tag already exists"), tag, fault.Immutable},

		{"ECR's repository", OpeningUpload, 404, said("NAME_UNKNOWN", "The repository with name 'm/a' does not exist in the registry with id '1'"), create, fault.Missing},
		{"Harbor's project", OpeningUpload, 401, said("NOT_FOUND", "project m not found"), grant, fault.Credentials},
		{"Google's repository", OpeningUpload, 404, said("UNKNOWN", "Repository m not found"), create, fault.Missing},

		{"ECR's kinds", PushingManifest, 405, said("UNSUPPORTED", "Invalid parameter at 'ImageManifest' failed to satisfy constraint"), kind, fault.Unsupported},
		{"quay's kinds", PushingManifest, 400, `{"errors":[{"code":"MANIFEST_INVALID","detail":{"message":"'application/octet-stream' is not one of [...]"},"message":"manifest invalid"}]}`, kind, fault.Unsupported},
		{"a layer elsewhere", PushingManifest, 500, `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":"invalid URL on layer"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}`, kind, fault.Unsupported},
		{"415", PushingManifest, 415, said("UNKNOWN", "unsupported media type"), kind, fault.Unsupported},

		{"a policy", PushingManifest, 403, said("DENIED", "policy: unsigned images are refused"), policy, fault.Policy},
		{"vulnerabilities", PushingManifest, 412, said("PROJECTPOLICYVIOLATION", "current image with 3 vulnerabilities cannot be pulled"), policy, fault.Policy},
		{"AWS's policies of access", PushingManifest, 403, said("DENIED", "User: x is not authorized to perform: ecr:PutImage because no identity-based policy allows it"), grant, fault.Denied},

		{"a firewall's page", OpeningUpload, 403, "<html><title>403 Forbidden</title></html>", front, fault.Blocked},
		{"a web server's page for bad passwords", OpeningUpload, 401, "<html><title>401 Authorization Required</title></html>", grant, fault.Credentials},
		{"a login page", PushingManifest, 200, "<html><title>Log in</title></html>", "check that r.example/a is an image on a registry", fault.Answer},
		{"no access", OpeningUpload, 403, said("DENIED", "requested access to the resource is denied"), grant, fault.Denied},

		{"unknown content", PushingManifest, 404, said("MANIFEST_BLOB_UNKNOWN", "blob unknown"), "run again; if it persists", fault.Answer},
		{"a proxy", OpeningUpload, 407, "", "correct HTTPS_PROXY", fault.Proxy},
		{"a network's login", OpeningUpload, 511, "", "log in to the network", fault.Blocked},
		{"499", OpeningUpload, 499, "", again, fault.Unavailable},
		{"500", OpeningUpload, 500, said("UNKNOWN", "unknown error"), again, fault.Unavailable},
		{"501", OpeningUpload, 501, "", "ask the registry's operators why it does not support", fault.Unsupported},
		{"another reason", PushingManifest, 422, said("NO", "not today"), operator, fault.Rejected},
	} {
		e := answer(c.status, c.body)
		e.Side, e.Doing, e.Name = reference.Destination, c.doing, "r.example/a"
		if advice := e.Fault().Advice; !strings.HasPrefix(advice, c.advice) {
			t.Errorf("%s (%v): got the advice %q, want %q", c.name, e, advice, c.advice)
		}
		if kind := e.Fault().Kind; kind != c.kind {
			t.Errorf("%s (%v): got the kind %s, want %s", c.name, e, kind, c.kind)
		}
	}
}

func TestTransient(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   bool
	}{
		{"a rate limit with 400", 400, said("TOOMANYREQUESTS", "slow down"), true},
		{"a rate limit with 403", 403, said("TOOMANYREQUESTS", "slow down"), true},
		{"a refusal", 403, said("DENIED", "no"), false},
		{"500 without words", 500, "", true},
		{"500 with an unknown error", 500, said("UNKNOWN", "unknown error"), true},
		{"500 with a final code", 500, said("MANIFEST_INVALID", "manifest invalid"), false},
		{"503 with a final code", 503, said("DENIED", "no"), false},
		{"502 with a code of the blob", 502, said("DIGEST_INVALID", "no"), false},
		{"500 with a final code beside an unknown error", 500, `{"errors":[{"code":"UNKNOWN"},{"code":"MANIFEST_BLOB_UNKNOWN"}]}`, false},
		{"500 with a final reason in the detail", 500, `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":"unrecognized manifest schema version 3"}]}`, false},
		{"503 in maintenance", 503, "we are in maintenance mode", true},
		{"too early", 425, "", true},
		{"given up by a front server", 499, "", true},
		{"Cloudflare's own", 530, "", true},
		{"not implemented", 501, "", false},
		{"no room", 507, "", false},
	} {
		if e := answer(c.status, c.body); e.Transient() != c.want {
			t.Errorf("%s (%d): transient is %v", c.name, c.status, e.Transient())
		}
	}
	e := FromResponse(&http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"3"}}, Body: http.NoBody})
	e.Code = "DENIED"
	if !e.Transient() {
		t.Error("an answer with Retry-After is not transient")
	}
}

func TestUnknownContent(t *testing.T) {
	for _, c := range []struct {
		name, doing, body string
		digests           []string
		want              bool
	}{
		{"a blob", PushingManifest, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown","detail":"` + someDigest + `"}]}`, []string{someDigest}, true},
		{"a blob without a digest", PushingManifest, said("BLOB_UNKNOWN", "blob unknown"), nil, true},
		{"a child", PushingManifest, said("MANIFEST_UNKNOWN", "manifest "+someDigest+" unknown"), []string{someDigest}, true},
		{"another reason beside it", PushingManifest, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"},{"code":"DENIED","message":"unsigned"}]}`, nil, false},
		{"a manifest that is read", "reading manifest", said("MANIFEST_UNKNOWN", "manifest unknown"), nil, false},
		{"another refusal", PushingManifest, said("MANIFEST_INVALID", "manifest invalid"), nil, false},
	} {
		e := answer(404, c.body)
		e.Doing = c.doing
		if got, ok := UnknownContent(e); ok != c.want || !slices.Equal(got, c.digests) {
			t.Errorf("%s: got %v and %v", c.name, got, ok)
		}
	}
}
