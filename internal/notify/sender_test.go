package notify

import (
	"bytes"
	"encoding/json"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/notify/notifytest"
	"imagemirror/internal/record"
	"imagemirror/internal/retry"
	"imagemirror/internal/settings"
)

var all = []settings.Target{{Kind: settings.Slack, Name: "slack"}, {Kind: settings.Webhook, Name: "hook"}, {Kind: settings.Email, Name: "mail"}}

// opened returns a sender to the receiver, which waits for milliseconds between two tries.
func opened(t *testing.T, r *notifytest.Receiver, hosts ...string) (*Sender, string) {
	t.Helper()
	dir := t.TempDir()
	if err := r.WriteTargets(dir); err != nil {
		t.Fatal(err)
	}
	s := Env{NotifyDir: dir, NotifyHosts: hosts}.NewSender()
	s.retry = retry.Policy{Tries: 3, First: time.Millisecond, Max: time.Millisecond}
	return s, dir
}

func messageTo(r *record.Record, targets ...settings.Target) []*Message {
	r.Targets = targets
	return Due(r, noon.Add(25*time.Minute), "https://mirror.example.com")
}

// hostile returns what the readers of messages could take for more than text.
func hostile() *record.Cause {
	return with(refused(), func(c *record.Cause) {
		c.Message = "<!channel> *x* <https://evil.example|click> @here `y` & <script>alert(1)</script>\r\nBcc: x@evil.example"
	})
}

func TestSlack(t *testing.T) {
	r := notifytest.New(t)
	s, _ := opened(t, r, r.Hosts()...)
	s.Send(t.Context(), "web", all[:1], messageTo(failing(hostile()), all[:1]...))
	got := r.Take()
	if len(got) != 1 || got[0].To != "/services/T000/B000/slack-secret-5d2e" {
		t.Fatalf("Slack got %+v", got)
	}
	var m struct {
		Text   string
		Blocks []struct {
			Type     string
			Text     struct{ Type, Text string }
			Elements []struct {
				Type     string
				Elements []struct{ Type, Text, URL string }
			}
		}
	}
	if err := json.Unmarshal(got[0].Body, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Blocks) != 2 || m.Blocks[0].Type != "header" || m.Blocks[0].Text.Type != "plain_text" || m.Blocks[1].Type != "rich_text" {
		t.Fatalf("the blocks are %s", got[0].Body)
	}
	var text strings.Builder
	for _, e := range m.Blocks[1].Elements[0].Elements {
		if e.Type != "text" && (e.Type != "link" || e.URL != "https://mirror.example.com/sets/web") {
			t.Errorf("an element of the type %s: %q, %q", e.Type, e.Text, e.URL)
		}
		text.WriteString(e.Text)
	}
	if want := `Why  <!channel> *x* <https://evil.example|click> @here`; !strings.Contains(text.String(), want) {
		t.Errorf("the text is\n%s\nand has no\n%s", text.String(), want)
	}
	if strings.ContainsAny(m.Text, "<>") || !strings.HasPrefix(m.Text, "🔴 web: fails: quay.io") {
		t.Errorf("the text for notifications is %q", m.Text)
	}
}

// A receiver checks a webhook as docs/how-to/notifications.md tells.
func TestWebhook(t *testing.T) {
	r := notifytest.New(t)
	s, _ := opened(t, r, r.Hosts()...)
	hook := all[1:2]
	messages := messageTo(failing(hostile()), hook...)
	s.Send(t.Context(), "web", hook, messages)
	got := r.Take()
	if len(got) != 1 || got[0].To != "/hook" || got[0].Header.Get("Authorization") != "Bearer "+notifytest.Token {
		t.Fatalf("the webhook got %+v", got)
	}
	d := got[0]
	if err := notifytest.Verify(d); err != nil {
		t.Error(err)
	}
	if d.Header.Get("Content-Type") != "application/cloudevents+json" {
		t.Errorf("the content type is %q", d.Header.Get("Content-Type"))
	}
	e := event.Event{}
	if err := json.Unmarshal(d.Body, &e); err != nil {
		t.Fatal(err)
	}
	if err := e.Validate(); err != nil {
		t.Errorf("the event is invalid: %v", err)
	}
	if e.ID() != d.Header.Get("Webhook-Id") || e.Type() != "imagemirror.set.failing" || e.Source() != "/imagemirror/sets/web" || e.Subject() != "destination/quay.io/credentials" {
		t.Errorf("the event is %s", d.Body)
	}
	var data Data
	if err := e.DataAs(&data); err != nil {
		t.Fatal(err)
	}
	want := Data{
		Set: "web", Event: Failing, Headline: "web: fails: quay.io does not accept the credentials", Text: messages[0].Text(),
		Cause: "quay.io does not accept the credentials", Kind: "credentials", Side: "destination", Host: "quay.io",
		Message: messages[0].Why, Advice: "renew the push secret of the set: push-web", Failing: 12, Destinations: 17,
		Examples: messages[0].Examples, Since: noon, Last: noon, Owners: []string{"ada", "bob"}, Notify: []string{"@web-release"}, Run: "mirror-web-x2k",
		Links: []Link{{"status of web", "https://mirror.example.com/sets/web"}},
	}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Errorf("the data (-want +got):\n%s", diff)
	}
}

func TestEmail(t *testing.T) {
	r := notifytest.New(t)
	s, _ := opened(t, r, r.Hosts()...)
	box := all[2:]
	still := failing(with(hostile(), told(noon.Add(-48*time.Hour))))
	still.Owners = []string{"ada\r\nBcc: x@evil.example"}
	still.Set = "web\r\nBcc: x@evil.example"
	for _, rec := range []*record.Record{failing(hostile()), still} {
		for _, o := range s.Send(t.Context(), "web", box, messageTo(rec, box...)) {
			if len(o.Errs) > 0 {
				t.Fatal(o.Errs)
			}
		}
	}
	got := r.Take()
	if len(got) != 2 || got[0].To != "on-call@example.com,team@example.com" {
		t.Fatalf("the mail server got %+v", got)
	}
	for i, d := range got {
		m, err := mail.ReadMessage(bytes.NewReader(d.Body))
		if err != nil {
			t.Fatal(err)
		}
		body := new(bytes.Buffer)
		if _, err := body.ReadFrom(quotedprintable.NewReader(m.Body)); err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if want := []string{"[imagemirror] web: fails: quay.io does", `[imagemirror] web\r\nBcc: x@evil.example: still failing`}[i]; err != nil || !strings.HasPrefix(subject, want) {
			t.Errorf("the subject is %q, %v, want %q…", subject, err, want)
		}
		if m.Header.Get("Bcc") != "" || m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("References") == "" {
			t.Errorf("the header is %v", m.Header)
		}
		if !strings.HasPrefix(m.Header.Get("Content-Type"), "text/plain") || !strings.Contains(body.String(), `<script>alert(1)</script>\r\nBcc: x@evil.example`) {
			t.Errorf("as %s the body is\n%s", m.Header.Get("Content-Type"), body)
		}
	}
}

// failures returns why messages did not arrive, and counts what did.
func failures(outcomes []SendResult) string {
	var all []string
	for _, o := range outcomes {
		for _, err := range o.Errs {
			all = append(all, err.Error())
		}
	}
	return strings.Join(all, "\n")
}

func TestDeliveryIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name     string
		statuses []int
		want     string // the error
		tries    int32
	}{
		{"a server that is busy", []int{503, 429}, "", 3},
		{"a server that is down", []int{500, 502, 503}, "webhook hook: HTTP 503: you sent Bearer *** to /hook", 3},
		{"a request that is refused", []int{403}, "webhook hook: HTTP 403: you sent Bearer *** to /hook", 1},
		{"a redirect", []int{307}, "webhook hook: HTTP 307: it redirects, and secrets are not sent along: give the URL that it leads to", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := notifytest.New(t)
			var tries atomic.Int32
			ids := map[string]bool{}
			r.Answer = func(w http.ResponseWriter, req *http.Request) int {
				ids[req.Header.Get("Webhook-Id")] = true
				n := int(tries.Add(1))
				w.Header().Set("Location", "https://127.0.0.1:1/elsewhere")
				if n > len(c.statuses) {
					return 0
				}
				return c.statuses[n-1]
			}
			s, _ := opened(t, r, r.Hosts()...)
			got := failures(s.Send(t.Context(), "web", all[1:2], messageTo(failing(refused()), all[1:2]...)))
			if got != c.want || tries.Load() != c.tries || len(ids) != 1 {
				t.Errorf("after %d tries with the ids %v: %q, want %q after %d", tries.Load(), ids, got, c.want, c.tries)
			}
		})
	}
}

// A message that a target does not accept keeps no other one from it.
func TestMessagesThatAreRefused(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity} {
		r := notifytest.New(t)
		var hooks atomic.Int32
		r.Answer = func(http.ResponseWriter, *http.Request) int {
			if hooks.Add(1) == 1 {
				return status
			}
			return 0
		}
		s, _ := opened(t, r, r.Hosts()...)
		outcomes := s.Send(t.Context(), "web", all[1:2], messageTo(failing(refused(), gone()), all[1:2]...))
		if got := len(r.Take()); got != 1 || len(outcomes[0].Failed) != 1 || len(outcomes[1].Failed) != 0 {
			t.Errorf("%d: %d messages arrived: %s", status, got, failures(outcomes))
		}
	}
}

// A proxy or a login answers 200 with a page. Slack, and what speaks as it does, answers in words.
func TestPagesAreNotSlack(t *testing.T) {
	for answer, want := range map[string]string{
		"ok":                 "",
		`{"success":true}`:   "",
		"":                   "",
		"<!doctype html><p>": "slack slack: HTTP 200 with a web page: give the URL of an incoming webhook",
		"\n <html>Sign in":   "slack slack: HTTP 200 with a web page: give the URL of an incoming webhook",
	} {
		r := notifytest.New(t)
		r.Answer = func(w http.ResponseWriter, _ *http.Request) int {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(answer))
			return 0
		}
		s, _ := opened(t, r, r.Hosts()...)
		if got := failures(s.Send(t.Context(), "web", all[:1], messageTo(failing(refused()), all[:1]...))); got != want {
			t.Errorf("%q: got %q, want %q", answer, got, want)
		}
	}
}

// A connection that breaks says in words what happened.
func TestConnectionsThatEnd(t *testing.T) {
	for _, first := range []string{"", "SSH-2.0-OpenSSH\r\n"} {
		r := notifytest.New(t)
		r.Answer = func(w http.ResponseWriter, _ *http.Request) int {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return 0
			}
			_, _ = conn.Write([]byte(first))
			conn.Close()
			return 0
		}
		s, _ := opened(t, r, r.Hosts()...)
		got := failures(s.Send(t.Context(), "web", all[1:2], messageTo(failing(refused()), all[1:2]...)))
		want := "webhook hook: the connection ended without an answer"
		if first != "" {
			want = "webhook hook: net/http: HTTP/1.x transport connection broken: malformed HTTP response"
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What a target did not get is due again, and its other messages are not tried at all.
func TestTargetsFailAlone(t *testing.T) {
	r := notifytest.New(t)
	var hooks atomic.Int32
	r.Answer = func(_ http.ResponseWriter, req *http.Request) int {
		if req.URL.Path == "/hook" {
			hooks.Add(1)
			return http.StatusForbidden
		}
		return 0
	}
	s, _ := opened(t, r, r.Hosts()...)
	outcomes := s.Send(t.Context(), "web", all, messageTo(failing(refused(), gone()), all...))
	if got := len(r.Take()); got != 4 || hooks.Load() != 1 {
		t.Errorf("%d messages arrived and the webhook was asked %d times, want 4 and 1", got, hooks.Load())
	}
	for _, o := range outcomes {
		if !slices.Equal(o.Failed, []string{"hook"}) {
			t.Errorf("%s failed for %v", o.Title, o.Failed)
		}
	}
}

func TestSecretsThatAreUnfit(t *testing.T) {
	r := notifytest.New(t)
	lists := r.Hosts()
	for _, c := range []struct {
		name, file, content string
		hosts               []string
		target              int
		want                string
	}{
		{"a missing key", "slack.url", "", lists, 0, `slack slack: reading the key slack.url: it is empty`},
		{"no URL", "slack.url", "hooks.slack.com/x", lists, 0, `slack slack: the key slack.url is not a URL`},
		{"no TLS", "slack.url", "http://93.184.215.14/x", nil, 0, `slack slack: the key slack.url is not https`},
		{"this machine", "slack.url", "https://localhost/x", nil, 0, "slack slack: localhost is a private or reserved address: list the host under notify"},
		{"this machine's address", "slack.url", "https://127.0.0.1:1/x", nil, 0, `slack slack: 127.0.0.1 is a private`},
		{"the cluster's network", "hook.url", "https://10.96.0.1/api", nil, 1, `webhook hook: 10.96.0.1 is a private`},
		{"a way to write it", "hook.url", "https://0x7f000001/", nil, 1, `webhook hook: 0x7f000001 is a private`},
		{"the metadata service", "hook.url", "http://169.254.169.254/latest", []string{"169.254.169.254"}, 1, `webhook hook: 169.254.169.254 is where a cloud`},
		{"the metadata service by name", "hook.url", "http://metadata.google.internal/", []string{"metadata.google.internal"}, 1, `webhook hook: metadata.google.internal is`},
		{"a host that is not listed", "hook.url", "https://hooks.example.com/x", lists, 1, `webhook hook: the policy or MIRROR_NOTIFY_HOSTS does not list hooks.example.com:443`},
		{"a port that is not listed", "hook.url", "https://127.0.0.1:1/x", lists, 1, `webhook hook: the policy or MIRROR_NOTIFY_HOSTS does not list 127.0.0.1:1`},
		{"a short key", "hook.hmac", "0123456789abcde", lists, 1, `webhook hook: the key hook.hmac has 15 bytes: give 16 at least`},
		{"a key that is cut", "hook.hmac", "whsec_???", lists, 1, `webhook hook: the key hook.hmac is not base64 after whsec_`},
		{"an authority that is none", "hook.ca", "x", lists, 1, `webhook hook: the key hook.ca has no certificate`},
		{"a mail server in the cluster", "mail.host", "10.96.0.1:25", nil, 2, `email mail: 10.96.0.1 is a private`},
		{"a sender that is none", "mail.from", "mirror", lists, 2, `email mail: the key mail.from is not an address`},
		{"recipients that are none", "mail.to", "a@example.com\r\nRCPT TO:<x@evil.example>", lists, 2, `email mail: the key mail.to has an invalid address`},
		{"a port that is none", "mail.host", "mail.example.com:x", lists, 2, `email mail: the key mail.host is not HOST`},
		{"a port that is too large", "mail.host", "mail.example.com:65536", lists, 2, `email mail: the key mail.host is not HOST`},
		{"a port with a sign", "mail.host", "mail.example.com:+25", lists, 2, `email mail: the key mail.host is not HOST`},
		{"a large key", "mail.from", strings.Repeat("x", maxSecret+1), lists, 2, `email mail: reading the key mail.from: it has more than 64 KiB`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, dir := opened(t, r, c.hosts...)
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			target := all[c.target : c.target+1]
			got := failures(s.Send(t.Context(), "web", target, messageTo(failing(refused()), target...)))
			if !strings.HasPrefix(got, c.want) || strings.Contains(got, "\n") || len(r.Take()) > 0 {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
	s, dir := opened(t, r, lists...)
	if err := os.Remove(filepath.Join(dir, "mail.from")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target settings.Target
		want   string
	}{
		{all[2], `email mail: there is no key mail.from: add it to the set's secret notify-SET, or to MIRROR_NOTIFY_DIR`},
		{settings.Target{Kind: settings.Slack, Name: "../slack"}, `slack ../slack: it is not a target that settings can name`},
		{settings.Target{Kind: "pager", Name: "x"}, `pager x: it is not a target that settings can name`},
	} {
		if got := failures(s.Send(t.Context(), "web", []settings.Target{c.target}, messageTo(failing(refused()), c.target))); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

// A name may mean another address when it is connected to.
func TestNamesOfPrivateAddresses(t *testing.T) {
	r := notifytest.New(t)
	s, dir := opened(t, r)
	name, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hook.url"), []byte("https://"+name+"/x"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := failures(s.Send(t.Context(), "web", all[1:2], messageTo(failing(refused()), all[1:2]...)))
	if strings.Contains(got, "lookup") {
		t.Skip(got)
	}
	if !strings.Contains(got, "is a private or reserved address") {
		t.Errorf("got %q", got)
	}
}

func TestHostsOfTheEnvironmentAreChecked(t *testing.T) {
	if s := (Env{}).NewSender(); s != nil {
		t.Error("there is a Sender without a directory")
	}
	if err := (Env{NotifyHosts: []string{"https://x"}}).Check(); err == nil {
		t.Error("a URL is accepted for a host")
	}
	if err := (Env{NotifyHosts: []string{"x", "y:587", "10.0.0.1:25"}}).Check(); err != nil {
		t.Error(err)
	}
}
