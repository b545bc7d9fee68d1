package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"imagemirror/internal/reference"
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

// A mailbox is a mail server with a sender and recipients. It delivers one message at a time.
type mailbox struct {
	target  string
	host    string
	options []mail.Option
	from    string
	to      []string

	about   string          // the ID of the last message
	reached map[string]bool // recipients whose mail the server has taken
}

// email returns what sends mail. The connection has TLS, from the start or by STARTTLS; only a
// server that wants no password may do without.
func (s *Sender) email(k targetKeys) (delivery, error) {
	box, err := s.mailbox(k)
	if err != nil {
		return nil, err
	}
	return box.deliver, nil
}

func (s *Sender) mailbox(k targetKeys) (*mailbox, error) {
	server, err1 := k.get("host", true)
	from, err2 := k.get("from", true)
	to, err3 := k.get("to", true)
	user, err4 := k.get("user", false)
	password, err5 := k.hidden("password", false)
	trust, err6 := trusted(k)
	if err := cmp.Or(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	if password != "" {
		secret.Add(user, password)
		secret.Add("", "\x00"+user+"\x00"+password) // as SASL's PLAIN has them, in base64
	}
	host, portText, err := net.SplitHostPort(server)
	if err != nil {
		host, portText = server, strconv.Itoa(submission)
	}
	port, _ := strconv.Atoi(portText)
	if !reference.IsPort(portText) || host == "" {
		return nil, fmt.Errorf("the key %s.host is not HOST or HOST:PORT", k.target)
	}
	if err := s.mayReach(host, portText); err != nil {
		return nil, err
	}
	trust.ServerName = host
	inClear := user == "" && password == "" && s.hosts.Name(host, portText)
	box := &mailbox{target: k.target, host: host, from: from, to: recipients(to), options: s.sessionOptions(port, trust, inClear)}
	if user != "" {
		box.options = append(box.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(user), mail.WithPassword(password))
	}
	_, err = box.message(&Message{})
	return box, err
}

// sessionOptions returns the options of a session with a mail server. inClear allows one that
// has no TLS.
func (s *Sender) sessionOptions(port int, trust *tls.Config, inClear bool) []mail.Option {
	options := []mail.Option{
		mail.WithPort(port), mail.WithTimeout(tryTime), mail.WithTLSConfig(trust), mail.WithDialContextFunc(s.dial), mail.WithHELO("imagemirror.invalid"),
	}
	switch {
	case port == submissions:
		// The library finds the connection encrypted, and no STARTTLS to be had within it.
		return append(options, mail.WithDialContextFunc(s.dialTLS(trust)), mail.WithTLSPolicy(mail.TLSOpportunistic))
	case !inClear:
		return append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	return append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
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

// recipients returns the addresses of a list, with commas or white space in between. An address may
// have a name, as in "Ada <ada@example.com>".
func recipients(list string) []string {
	parsed, err := netmail.ParseAddressList(strings.Join(strings.FieldsFunc(list, func(r rune) bool { return r == '\r' || r == '\n' }), ","))
	if err != nil {
		return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \r\n\t", r) })
	}
	var all []string
	for _, address := range parsed {
		all = append(all, address.String())
	}
	return all
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
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return b.waitAfter(fmt.Errorf("connecting to %s: %w", b.host, err))
	}
	// A mail that the server has taken arrives even if the connection breaks.
	defer client.CloseWithSMTPClient(session)
	return b.send(session, m, msg)
}

// send sends a mail to the recipients that have not received it yet. If the server refuses some of
// them, the others still get it.
func (b *mailbox) send(session *smtp.Client, m *Message, msg *mail.Msg) (time.Duration, error) {
	to, err1 := msg.GetRecipients()
	from, err2 := msg.GetSender(false)
	if err := cmp.Or(err1, err2); err != nil {
		return retry.Never, err
	}
	if err := session.Mail(from); err != nil {
		return b.waitAfter(fmt.Errorf("from %s: %w", from, err))
	}
	if b.about != m.ID() {
		b.about, b.reached = m.ID(), map[string]bool{}
	}
	var accepted []string
	var refused []error
	wait := retry.Never
	for _, address := range to {
		if b.reached[address] {
			continue
		}
		err := session.Rcpt(address)
		if err == nil {
			accepted = append(accepted, address)
			continue
		}
		again, err := b.waitAfter(fmt.Errorf("to %s: %w", address, err))
		wait, refused = max(wait, again), append(refused, err)
	}
	if len(accepted) > 0 {
		if err := write(session, msg); err != nil {
			wait, err := b.waitAfter(err)
			return wait, b.aboutMessage(err, wait == retry.Never)
		}
	}
	for _, address := range accepted {
		b.reached[address] = true
	}
	if len(refused) == 0 {
		return 0, nil
	}
	return wait, b.aboutMessage(errors.Join(refused...), false)
}

// aboutMessage wraps an error as a messageError if it is about the message, or if the message has
// reached somebody.
func (b *mailbox) aboutMessage(err error, is bool) error {
	if arrived := len(b.reached) > 0; is || arrived {
		return &messageError{err, arrived}
	}
	return err
}

// write sends the content of a mail.
func write(session *smtp.Client, msg *mail.Msg) error {
	w, err := session.Data()
	if err != nil {
		return err
	}
	if _, err := msg.WriteTo(w); err != nil {
		return err
	}
	return w.Close()
}

// waitAfter tells temporary errors from final ones: the server refused for good (RFC 5321, section
// 4.2.1), or must not be reached at all.
func (b *mailbox) waitAfter(err error) (time.Duration, error) {
	if strings.Contains(err.Error(), "does not support STARTTLS") {
		return retry.Never, fmt.Errorf("%s has no STARTTLS: mail goes in the clear only without a user, and to a host that the policy or MIRROR_NOTIFY_HOSTS lists", b.host)
	}
	var reply *textproto.Error
	if errors.As(err, new(*addressError)) || errors.As(err, &reply) && reply.Code >= 500 {
		return retry.Never, err
	}
	return 0, explained(err)
}

// message returns the mail. The library encodes headers, in which no line can end early.
func (b *mailbox) message(m *Message) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(b.from); err != nil {
		return nil, fmt.Errorf("the key %s.from is not an address: %w", b.target, err)
	}
	if err := msg.To(b.to...); err != nil {
		return nil, fmt.Errorf("the key %s.to has an invalid address: %w", b.target, err)
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
