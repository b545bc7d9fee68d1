package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"imagemirror/internal/retry"
	"imagemirror/internal/text"
)

// maxHeader is what Slack accepts in a header, in characters.
const maxHeader = 150

// icons tell events apart at a glance.
var icons = map[Event]string{Failing: "🔴", Cause: "🔴", Reminder: "🟠", Recovered: "🟢"}

// slack returns what posts to an incoming webhook
// (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).
func (s *Sender) slack(k targetKeys) (delivery, error) {
	to, err := s.endpoint(k)
	if err != nil {
		return nil, err
	}
	to.words = true
	return func(ctx context.Context, m *Message) (time.Duration, error) {
		body, err := json.Marshal(m.slack())
		if err != nil {
			return retry.Never, err
		}
		return to.post(ctx, body, http.Header{"Content-Type": {"application/json"}})
	}, nil
}

// slack returns the message in blocks. Rich text is shown as it is: nothing in it is markup, a
// mention or a link, whatever a registry writes into an error.
func (m *Message) slack() *slack.WebhookMessage {
	headline := icons[m.Event] + " " + m.Headline()
	blocks := &slack.Blocks{BlockSet: []slack.Block{
		slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, text.Clip(headline, maxHeader-1), false, false)),
	}}
	var lines []slack.RichTextSectionElement
	bold := &slack.RichTextSectionTextStyle{Bold: true}
	for i, f := range m.facts() {
		end := "\n"
		if i == len(m.facts())-1 {
			end = ""
		}
		lines = append(lines, slack.NewRichTextSectionTextElement(f.name+"  ", bold), slack.NewRichTextSectionTextElement(f.text+end, nil))
	}
	for _, l := range m.Links {
		lines = append(lines, slack.NewRichTextSectionTextElement("\n", nil), slack.NewRichTextSectionLinkElement(l.URL, l.Name, nil))
	}
	blocks.BlockSet = append(blocks.BlockSet, slack.NewRichTextBlock("", slack.NewRichTextSection(lines...)))
	no := false
	return &slack.WebhookMessage{Text: escapeSlack(headline), Blocks: blocks, UnfurlLinks: &no, UnfurlMedia: &no}
}

// escapeSlack writes a text as it is into mrkdwn, in which <!channel> and the like are mentions
// (https://docs.slack.dev/messaging/formatting-message-text#escaping).
func escapeSlack(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
