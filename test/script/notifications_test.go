package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rogpeppe/go-internal/testscript"

	"imagemirror/internal/notify/notifytest"
)

// startReceiver starts a receiver of notifications, and writes the secrets of its targets slack,
// hook and mail into a directory.
func startReceiver(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "receiver DIR")
	r, err := notifytest.Start()
	check(ts, err)
	worldOf(ts).receiver = r
	dir := ts.MkAbs(args[0])
	check(ts, os.MkdirAll(dir, 0o755))
	check(ts, r.WriteTargets(dir))
	ts.Setenv("MIRROR_NOTIFY_DIR", dir)
	ts.Setenv("MIRROR_NOTIFY_HOSTS", strings.Join(r.Hosts(), ","))
}

// notified writes what the receiver got into a file: first a line for each message, with its target
// and headline, then all that the webhook got as text.
func notified(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "notified FILE")
	var lines, texts []string
	for _, d := range worldOf(ts).receiver.Take() {
		target, headline, text := readDelivery(ts, d)
		lines = append(lines, target+" "+headline+"\n")
		texts = append(texts, text)
	}
	slices.Sort(lines)
	check(ts, os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(append(lines, texts...), "")), 0o600))
}

func readDelivery(ts *testscript.TestScript, d notifytest.Delivery) (target, headline, text string) {
	switch {
	case strings.HasPrefix(d.To, "/services/"):
		var m struct{ Text string }
		check(ts, json.Unmarshal(d.Body, &m))
		return "slack", m.Text, ""
	case d.To == "/hook":
		check(ts, notifytest.Verify(d))
		var e event.Event
		check(ts, json.Unmarshal(d.Body, &e))
		check(ts, e.Validate())
		var data struct{ Headline, Text string }
		check(ts, e.DataAs(&data))
		return "hook " + strings.TrimPrefix(e.Type(), "imagemirror.set."), data.Headline, data.Text
	}
	m, err := mail.ReadMessage(bytes.NewReader(d.Body))
	check(ts, err)
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	check(ts, err)
	body := new(bytes.Buffer)
	_, err = body.ReadFrom(quotedprintable.NewReader(m.Body))
	check(ts, err)
	if !strings.Contains(body.String(), "Owners") {
		ts.Fatalf("the mail has no owners:\n%s", body)
	}
	return "mail", subject, ""
}

// age moves the times below a key of a JSON file back.
func age(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 3, "age FILE KEY TIME")
	by, err := time.ParseDuration(args[2])
	check(ts, err)
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	check(ts, err)
	times := regexp.MustCompile(fmt.Sprintf(`"%s":"([^"]*)"`, regexp.QuoteMeta(args[1])))
	aged := times.ReplaceAllFunc(content, func(found []byte) []byte {
		at, err := time.Parse(time.RFC3339Nano, string(times.FindSubmatch(found)[1]))
		check(ts, err)
		return fmt.Appendf(nil, `"%s":"%s"`, args[1], at.Add(-by).Format(time.RFC3339Nano))
	})
	if bytes.Equal(aged, content) {
		ts.Fatalf("%s has no %s", args[0], args[1])
	}
	check(ts, os.WriteFile(path, aged, 0o600))
}
