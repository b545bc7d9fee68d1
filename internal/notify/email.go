package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"imagemirror/internal/retry"
	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// Ports of mail (RFC 8314 and RFC 6409).
const (
	submissions = 465 // TLS from the start
	submission  = 587
)

// maxSubject bounds a subject, in characters.
const maxSubject = 150

// A mailbox is a mail server, and from whom to whom messages go.
type mailbox struct {
	target  string
	host    string
	options []mail.Option
	from    string
	to      []string
}

// email returns what sends mail. The connection has TLS, from the start or by STARTTLS; only a
// server that wants no password may do without.
func (s *Sender) email(k keys) (delivery, error) {
	box, err := s.mailbox(k)
	if err != nil {
		return nil, err
	}
	return box.deliver, nil
}

func (s *Sender) mailbox(k keys) (*mailbox, error) {
	server, err1 := k.get("host", true)
	from, err2 := k.get("from", true)
	to, err3 := k.get("to", true)
	user, err4 := k.get("user", false)
	password, err5 := k.hidden("password", false)
	trust, err6 := trusted(k)
	if err := cmp.Or(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	secret.Add(user, password)
	host, portText, err := net.SplitHostPort(server)
	if err != nil {
		host, portText = server, strconv.Itoa(submission)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 1 || port > 1<<16-1 || host == "" {
		return nil, fmt.Errorf("the key %s.host is not HOST or HOST:PORT", k.target)
	}
	if err := s.mayReach(host, portText); err != nil {
		return nil, err
	}
	trust.ServerName = host
	box := &mailbox{target: k.target, host: host, from: from, to: splitList(to)}
	box.options = []mail.Option{
		mail.WithPort(port), mail.WithTimeout(tryTime), mail.WithTLSConfig(trust), mail.WithDialContextFunc(s.dial), mail.WithHELO("imagemirror.invalid"),
	}
	switch {
	case port == submissions:
		// The library finds the connection encrypted, and no STARTTLS to be had within it.
		box.options = append(box.options, mail.WithDialContextFunc(s.dialTLS(trust)), mail.WithTLSPolicy(mail.TLSOpportunistic))
	case user != "" || password != "" || !s.hosts.Name(host, portText):
		box.options = append(box.options, mail.WithTLSPolicy(mail.TLSMandatory))
	default:
		box.options = append(box.options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	}
	if user != "" {
		box.options = append(box.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(user), mail.WithPassword(password))
	}
	_, err = box.message(&Message{})
	return box, err
}

// dialTLS opens a connection that has TLS from the start.
func (s *Sender) dialTLS(trust *tls.Config) mail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := s.dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		secured := tls.Client(conn, trust)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return secured, nil
	}
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

func (b *mailbox) deliver(ctx context.Context, m *Message) (time.Duration, error) {
	msg, err := b.message(m)
	if err != nil {
		return retry.Never, err
	}
	client, err := mail.NewClient(b.host, b.options...)
	if err != nil {
		return retry.Never, err
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return b.waitAfter(err)
	}
	return 0, nil
}

// waitAfter tells errors that another try may not have: the server refused for good, or may not
// be reached at all.
func (b *mailbox) waitAfter(err error) (time.Duration, error) {
	if strings.Contains(err.Error(), "does not support STARTTLS") {
		return retry.Never, fmt.Errorf("%s has no STARTTLS: mail goes in the clear only without a user, and to a host that the policy or MIRROR_NOTIFY_HOSTS lists", b.host)
	}
	var send *mail.SendError
	if errors.As(err, new(*unreachable)) || errors.As(err, &send) && !send.IsTemp() {
		return retry.Never, err
	}
	return 0, err
}

// message returns the mail. The library encodes headers, in which no line can end early.
func (b *mailbox) message(m *Message) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(b.from); err != nil {
		return nil, fmt.Errorf("the key %s.from is not an address: %w", b.target, err)
	}
	if err := msg.To(b.to...); err != nil {
		return nil, fmt.Errorf("the key %s.to has what is not an address: %w", b.target, err)
	}
	msg.Subject(text.Clip("[imagemirror] "+m.Headline(), maxSubject))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // nobody's absence notes come back (RFC 3834)
	if len(m.causes) > 0 {
		msg.SetMessageIDWithValue(m.ID() + "@imagemirror.invalid")
		msg.SetGenHeader("References", "<"+m.thread()+"@imagemirror.invalid>") // programs show them as one thread
		msg.SetDateWithValue(m.Now)
	}
	msg.SetBodyString(mail.TypeTextPlain, m.Text())
	return msg, nil
}
