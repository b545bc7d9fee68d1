package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"imagemirror/internal/retry"
)

// eventType begins the types of the CloudEvents.
const eventType = "imagemirror.set."

// webhook returns what posts CloudEvents in their JSON format
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md), signed as
// Standard Webhooks are (https://www.standardwebhooks.com).
func (s *Sender) webhook(k targetKeys) (delivery, error) {
	to, err := s.endpoint(k)
	if err != nil {
		return nil, err
	}
	key, err := k.hidden("hmac", true)
	if err != nil {
		return nil, err
	}
	signing, err := signingKey(key)
	if err != nil {
		return nil, fmt.Errorf("the key %s.hmac %w", k.target, err)
	}
	token, err := k.hidden("token", false)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, m *Message) (time.Duration, error) {
		body, err := m.cloudEvent()
		if err != nil {
			return retry.Never, err
		}
		header := signatureHeaders(signing, m.ID(), s.now(), body)
		header.Set("Content-Type", event.ApplicationCloudEventsJSON)
		if token != "" {
			header.Set("Authorization", "Bearer "+token)
		}
		return to.post(ctx, body, header)
	}, nil
}

// least is how long a signing key is at least, in bytes.
const least = 16

// signingKey returns the bytes of a key: what base64 after whsec_ stands for, or the text itself.
func signingKey(text string) ([]byte, error) {
	key := []byte(text)
	if encoded, is := strings.CutPrefix(text, "whsec_"); is {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, fmt.Errorf("is not base64 after whsec_: %w", err)
		}
	}
	if len(key) < least {
		return nil, fmt.Errorf("has %d bytes: give %d at least, at random", len(key), least)
	}
	return key, nil
}

// signatureHeaders returns the headers that prove who sent a body, and when.
func signatureHeaders(key []byte, id string, now time.Time, body []byte) http.Header {
	seconds := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + seconds + "."))
	mac.Write(body)
	h := http.Header{}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", seconds)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return h
}

// Data is the data of a CloudEvent.
type Data struct {
	Set          string    `json:"set"`
	Event        Event     `json:"event"`
	Headline     string    `json:"headline"`
	Text         string    `json:"text"` // all of the message
	Cause        string    `json:"cause"`
	Kind         string    `json:"kind"`
	Side         string    `json:"side,omitempty"`
	Host         string    `json:"host,omitempty"`
	Message      string    `json:"message"`
	Advice       string    `json:"advice,omitempty"`
	Failing      int       `json:"failing"` // destinations
	Destinations int       `json:"destinations"`
	Examples     []Example `json:"examples,omitempty"`
	Since        time.Time `json:"since"`
	Last         time.Time `json:"last"`
	OtherCauses  int       `json:"otherCauses,omitempty"`
	More         []string  `json:"more,omitempty"`
	Owners       []string  `json:"owners,omitempty"`
	Notify       []string  `json:"notify,omitempty"`
	Run          string    `json:"run,omitempty"`
	Links        []Link    `json:"links,omitempty"`
}

// cloudEvent returns the message as a CloudEvent in JSON.
func (m *Message) cloudEvent() ([]byte, error) {
	e := event.New()
	e.SetID(m.ID())
	e.SetType(eventType + string(m.Event))
	e.SetSource("/imagemirror/sets/" + url.PathEscape(m.Set))
	e.SetSubject(m.causes[0].Key)
	e.SetTime(m.Now)
	failing := m.Count
	if m.Event == Recovered {
		failing = 0
	}
	err := e.SetData(event.ApplicationJSON, Data{
		Set: m.Set, Event: m.Event, Headline: m.Headline(), Text: m.Text(), Cause: m.Title, Kind: m.Kind, Side: m.Side, Host: m.Host,
		Message: m.Why, Advice: m.Advice, Failing: failing, Destinations: m.Destinations, Examples: m.Examples,
		Since: m.First.UTC(), Last: m.Last.UTC(), OtherCauses: m.Others, More: m.More, Owners: m.Owners, Notify: m.Notify, Run: m.Run, Links: m.Links,
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}
