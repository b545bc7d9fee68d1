package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"imagemirror/internal/link"
	"imagemirror/internal/policy"
	"imagemirror/internal/retry"
	"imagemirror/internal/secret"
	"imagemirror/internal/settings"
	"imagemirror/internal/smallfile"
	"imagemirror/internal/text"
)

// Env is the part of the environment that is about notifications.
type Env struct {
	NotifyDir   string   `split_words:"true" desc:"directory with the secrets of notification targets, in files such as NAME.url; if unset, nothing is sent"`
	NotifyHosts []string `split_words:"true" desc:"hosts that notifications may be sent to, even at a private address, with commas in between; if unset, all with a public address"`
	StatusURL   string   `envconfig:"STATUS_URL" desc:"address of the status pages, for links in notifications"`
}

// Times that one run takes for notifications.
const (
	wholeTime = 3 * time.Minute
	tryTime   = 15 * time.Second
)

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 64 << 10

// A Sender sends messages.
type Sender struct {
	dir    string
	hosts  policy.Hosts
	status string // address of the status pages
	retry  retry.Policy
	now    func() time.Time
}

// Check returns an error if a variable has a value that cannot be used.
func (e Env) Check() error {
	for _, host := range e.NotifyHosts {
		if !policy.IsHost(host) {
			return fmt.Errorf("MIRROR_NOTIFY_HOSTS has %.100q: give HOST or HOST:PORT", host)
		}
	}
	return nil
}

// NewSender returns a Sender, or nil if nothing is to be sent.
func (e Env) NewSender() *Sender {
	if e.NotifyDir == "" {
		return nil
	}
	if e.StatusURL != "" && !link.IsWeb(e.StatusURL) {
		slog.Warn("MIRROR_STATUS_URL does not begin with https:// or http://: notifications have no link to the status pages", "address", text.Line(e.StatusURL, maxShort))
		e.StatusURL = ""
	}
	return &Sender{
		dir: e.NotifyDir, hosts: e.NotifyHosts, status: e.StatusURL, now: time.Now,
		retry: retry.Policy{Tries: 3, First: time.Second, Max: 10 * time.Second},
	}
}

// Send sends each message to those of the targets that are to get it, and logs what failed. A
// target that is down delays no other.
func (s *Sender) Send(ctx context.Context, set string, targets []settings.Target, messages []*Message) []SendResult {
	failed := make([][]error, len(targets)) // by target and message
	var g errgroup.Group
	for i, t := range targets {
		failed[i] = make([]error, len(messages))
		g.Go(func() error {
			s.sendAll(ctx, t, messages, failed[i])
			return nil
		})
	}
	_ = g.Wait()
	outcomes := make([]SendResult, len(messages))
	for j, m := range messages {
		outcomes[j].Message = m
		for i, t := range targets {
			err := failed[i][j]
			if err == nil {
				continue
			}
			outcomes[j].Errs = append(outcomes[j].Errs, err)
			what := "a notification did not reach all recipients"
			if about := new(messageError); !errors.As(err, &about) || !about.arrived {
				what = "a notification was not delivered"
				outcomes[j].Failed = append(outcomes[j].Failed, t.Name)
			}
			slog.Warn(what, "set", set, "target", t.Name, "about", m.Headline(), "error", err)
		}
	}
	return outcomes
}

// sendAll sends messages to one target, in their order. After an error that is not about one
// message only, it tries no other.
func (s *Sender) sendAll(ctx context.Context, t settings.Target, messages []*Message, failed []error) {
	deliver, err := s.open(t)
	if err != nil {
		err = fmt.Errorf("%.40s %s: %w", t.Kind, text.Line(t.Name, maxShort), err)
	}
	for i, m := range messages {
		if !slices.Contains(m.to, t.Name) {
			continue
		}
		if failed[i] = err; err != nil {
			continue
		}
		why := s.retry.Do(ctx, func(int) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(ctx, tryTime)
			defer cancel()
			return deliver(ctx, m)
		})
		if why == nil {
			slog.Info("notified", "set", m.Set, "target", t.Name, "about", m.Headline())
			continue
		}
		told := fmt.Errorf("%s %s: %s", t.Kind, t.Name, text.Line(secret.Hide(why.Error()), maxLong))
		if about := new(messageError); errors.As(why, &about) {
			failed[i] = &messageError{told, about.arrived}
		} else {
			failed[i], err = told, told
		}
	}
}

// A messageError is about one message: its target may take others.
type messageError struct {
	error
	arrived bool // some of its recipients got it
}

// A delivery sends a message once. If another try may help, the wait is the least before it;
// otherwise it is retry.Never.
type delivery func(ctx context.Context, m *Message) (wait time.Duration, err error)

// open reads the secrets of a target.
func (s *Sender) open(t settings.Target) (delivery, error) {
	var d delivery
	err := errors.New("it is not a target that settings can name")
	keys := targetKeys{s.dir, t.Name}
	if settings.IsTarget(t) { // its name becomes a path
		switch t.Kind {
		case settings.Slack:
			d, err = s.slack(keys)
		case settings.Webhook:
			d, err = s.webhook(keys)
		case settings.Email:
			d, err = s.email(keys)
		}
	}
	return d, err
}

// targetKeys are the secrets of one target.
type targetKeys struct{ dir, target string }

// get returns a secret without the white space around it. If it is not there, it returns "" or,
// if it is required, an error.
func (k targetKeys) get(key string, required bool) (string, error) {
	name := k.target + "." + key
	content, err := smallfile.Read(filepath.Join(k.dir, name), maxSecret)
	if errors.Is(err, os.ErrNotExist) {
		if required {
			return "", fmt.Errorf("there is no key %s: add it to the set's secret notify-SET, or to MIRROR_NOTIFY_DIR", name)
		}
		return "", nil
	}
	if err == nil && len(content) > maxSecret {
		err = fmt.Errorf("it has more than %d KiB", maxSecret>>10)
	}
	value := strings.TrimSpace(string(content))
	if err == nil && value == "" && required {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", fmt.Errorf("reading the key %s: %w", name, err)
	}
	return value, nil
}

// hidden returns a secret as get does, and hides it in all that the process writes.
func (k targetKeys) hidden(key string, required bool) (string, error) {
	value, err := k.get(key, required)
	secret.Add(k.target, value)
	return value, err
}

// answerError returns the error of an answer, and when to try again.
func answerError(status int, header http.Header, body []byte, now time.Time) (time.Duration, error) {
	err := fmt.Errorf("HTTP %d: %s", status, text.Line(secret.Hide(strings.TrimSpace(string(body))), maxShort))
	if len(body) == 0 {
		err = fmt.Errorf("HTTP %d", status)
	}
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return retry.Never, &messageError{error: err}
	}
	if !retry.Transient(status) {
		return retry.Never, err
	}
	return retry.After(header, now), err
}
