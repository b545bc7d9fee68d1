// Package notifytest has a receiver of notifications for tests: an HTTPS server for Slack and
// webhooks, and a mail server. It keeps what it gets.
package notifytest

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The credentials that the receiver accepts, which its targets have.
const (
	HMAC     = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	Token    = "webhook-token-7f3a"
	User     = "robot"
	Password = "mail-password-91cc"
)

// A Delivery is what arrived: a request, or a mail.
type Delivery struct {
	To     string // the path of a request; of a mail, the recipients with commas
	Header textproto.MIMEHeader
	Body   []byte // of a mail, with its header
}

// A Receiver gets notifications.
type Receiver struct {
	// Answer, if it is set, answers requests in place of the receiver. It returns 0 for those
	// that the receiver is to take.
	Answer func(w http.ResponseWriter, r *http.Request) (status int)

	mu    sync.Mutex
	got   []Delivery
	web   *httptest.Server
	mail  net.Listener
	conns sync.WaitGroup
}

// New starts a receiver, which ends with the test.
func New(t testing.TB) *Receiver {
	t.Helper()
	r, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// Start starts a receiver.
func Start() (*Receiver, error) {
	mail, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Receiver{mail: mail}
	r.web = httptest.NewTLSServer(r)
	r.conns.Go(r.serveMail)
	return r, nil
}

// Close ends the receiver.
func (r *Receiver) Close() {
	r.web.Close()
	r.mail.Close()
	r.conns.Wait()
}

// Hosts returns the receiver's hosts, for MIRROR_NOTIFY_HOSTS.
func (r *Receiver) Hosts() []string {
	return []string{r.web.Listener.Addr().String(), r.mail.Addr().String()}
}

// WriteTargets writes the secrets of the targets slack, hook and mail, which are the receiver's,
// into a directory.
func (r *Receiver) WriteTargets(dir string) error {
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.web.Certificate().Raw}))
	for name, value := range map[string]string{
		"slack.url": r.web.URL + "/services/T000/B000/slack-secret-5d2e", "slack.ca": ca,
		"hook.url": r.web.URL + "/hook", "hook.hmac": HMAC, "hook.token": Token, "hook.ca": ca,
		"mail.host": r.mail.Addr().String(), "mail.user": User, "mail.password": Password,
		"mail.from": "mirror@example.com", "mail.to": "on-call@example.com, team@example.com", "mail.ca": ca,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Verify fails unless a delivery is signed as docs/how-to/notifications.md tells.
func Verify(d Delivery) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(HMAC, "whsec_"))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", d.Header.Get("Webhook-Id"), d.Header.Get("Webhook-Timestamp"), d.Body)
	if got, want := d.Header.Get("Webhook-Signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
		return fmt.Errorf("the signature is %q, want %q", got, want)
	}
	return nil
}

// Take returns what arrived since the last call, in the order of arrival.
func (r *Receiver) Take() []Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

func (r *Receiver) add(d Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, d)
}

// ServeHTTP takes a request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.Answer != nil {
		if status := r.Answer(w, req); status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "you sent "+req.Header.Get("Authorization")+" to "+req.URL.Path)
			return
		}
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.add(Delivery{req.URL.Path, textproto.MIMEHeader(req.Header), body})
}

func (r *Receiver) serveMail() {
	for {
		conn, err := r.mail.Accept()
		if err != nil {
			return
		}
		r.conns.Go(func() {
			defer conn.Close()
			s := session{receiver: r, conn: conn, in: bufio.NewReader(conn)}
			if err := s.serve(); err != nil {
				fmt.Fprintln(os.Stderr, "notifytest:", err)
			}
		})
	}
}

// A session is a connection of SMTP (RFC 5321). It takes mail after STARTTLS and AUTH only.
type session struct {
	receiver *Receiver
	conn     net.Conn
	in       *bufio.Reader
	secured  bool
	known    bool
	to       []string
}

func (s *session) say(line string) error {
	_, err := io.WriteString(s.conn, line+"\r\n")
	return err
}

func (s *session) serve() error {
	if err := s.say("220 mail.example.com ESMTP"); err != nil {
		return err
	}
	for {
		line, err := s.in.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.command(strings.TrimRight(line, "\r\n")); err != nil {
			return err
		}
	}
}

func (s *session) command(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		if !s.secured {
			return s.say("250-mail.example.com\r\n250 STARTTLS")
		}
		return s.say("250-mail.example.com\r\n250 AUTH PLAIN")
	case "STARTTLS":
		return s.startTLS()
	case "AUTH":
		want := "PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+User+"\x00"+Password))
		if s.known = s.secured && rest == want; !s.known {
			return s.say("535 5.7.8 wrong credentials")
		}
		return s.say("235 2.7.0 accepted")
	case "MAIL":
		s.to = nil
	case "RCPT":
		_, address, _ := strings.Cut(rest, ":")
		s.to = append(s.to, strings.Trim(address, "<>"))
	case "DATA":
		return s.data()
	case "QUIT":
		return s.say("221 2.0.0 bye")
	}
	if !s.known && verb != "NOOP" && verb != "RSET" {
		return s.say("530 5.7.0 STARTTLS and AUTH first")
	}
	return s.say("250 2.0.0 ok")
}

func (s *session) startTLS() error {
	if err := s.say("220 2.0.0 go ahead"); err != nil {
		return err
	}
	secured := tls.Server(s.conn, s.receiver.web.TLS)
	if err := secured.Handshake(); err != nil {
		return nil // the client does not trust the certificate
	}
	s.conn, s.in, s.secured = secured, bufio.NewReader(secured), true
	return nil
}

func (s *session) data() error {
	if err := s.say("354 go ahead"); err != nil {
		return err
	}
	content := textproto.NewReader(s.in)
	body, err := content.ReadDotBytes()
	if err != nil {
		return err
	}
	header, err := textproto.NewReader(bufio.NewReader(strings.NewReader(string(body)))).ReadMIMEHeader()
	if err != nil {
		return err
	}
	s.receiver.add(Delivery{strings.Join(s.to, ","), header, body})
	return s.say("250 2.0.0 taken")
}
