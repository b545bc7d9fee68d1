package notify

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/notify/notifytest"
	"imagemirror/internal/secret"
)

// A mailServer takes mail without TLS, except for what its replies refuse.
type mailServer struct {
	// replies are to lines that begin with a key, one after the other; the last one stays. A reply
	// that ends in "!" ends the connection.
	replies map[string][]string

	mu    sync.Mutex
	got   []string // recipients of each mail
	conns int
}

func (s *mailServer) reply(line string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, replies := range s.replies {
		if strings.HasPrefix(line, key) {
			s.replies[key] = replies[min(1, len(replies)-1):]
			return replies[0]
		}
	}
	if line == "DATA" {
		return "354 go ahead"
	}
	return "250 ok"
}

func (s *mailServer) serve(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	say := func(reply string) bool {
		text, last := strings.CutSuffix(reply, "!")
		if text != "" {
			fmt.Fprint(conn, text, "\r\n")
		}
		return !last
	}
	if !say("220 ready") {
		return
	}
	var to []string
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := lines.Text()
		reply := s.reply(line)
		if address, is := strings.CutPrefix(line, "RCPT TO:"); is && reply == "250 ok" {
			to = append(to, strings.Trim(address, "<>"))
		}
		if !say(reply) {
			return
		}
		if line != "DATA" || !strings.HasPrefix(reply, "354") {
			continue
		}
		for lines.Scan() && lines.Text() != "." {
		}
		reply = s.reply(".")
		if strings.HasPrefix(reply, "250") {
			s.mu.Lock()
			s.got = append(s.got, strings.Join(to, ","))
			s.mu.Unlock()
		}
		if to = nil; !say(reply) {
			return
		}
	}
}

// A mail arrives once at each recipient that the server takes, whatever it says to others and
// however it ends the connection.
func TestMailServersThatRefuse(t *testing.T) {
	const both = "on-call@example.com,team@example.com"
	for _, c := range []struct {
		name    string
		replies map[string][]string
		got     []string // for two messages
		conns   int
		failed  int
		want    string // the errors
	}{
		{"a recipient who left", map[string][]string{"RCPT TO:<team": {"550 5.1.1 no such user"}},
			[]string{"on-call@example.com", "on-call@example.com"}, 2, 0, "email mail: to <team@example.com>: 550 \"5.1.1 no such user\"\n" + "email mail: to <team@example.com>: 550 \"5.1.1 no such user\""},
		{"a recipient who is busy", map[string][]string{"RCPT TO:<team": {"450 4.2.1 busy", "250 ok"}},
			[]string{"on-call@example.com", "team@example.com", both}, 3, 0, ""},
		{"a recipient who stays busy", map[string][]string{"RCPT TO:<on-call": {"452 4.2.2 full"}},
			[]string{"team@example.com", "team@example.com"}, 6, 0, "email mail: to <on-call@example.com>: 452 \"4.2.2 full\"\n" + "email mail: to <on-call@example.com>: 452 \"4.2.2 full\""},
		{"a greylist", map[string][]string{"RCPT TO": {"451 4.7.1 greylisted", "451 4.7.1 greylisted", "250 ok"}}, []string{both, both}, 3, 0, ""},
		{"a long greylist", map[string][]string{"RCPT TO": {"451 4.7.1 greylisted"}}, nil, 3, 2, ""},
		{"a sender who is refused", map[string][]string{"MAIL": {"550 5.7.1 not you"}}, nil, 1, 2, ""},
		{"a mail that looks like spam", map[string][]string{".": {"554 5.7.1 spam", "250 ok"}}, []string{both}, 2, 1, "email mail: 554 \"5.7.1 spam\""},
		{"a mail that is cut", map[string][]string{".": {"!", "250 ok"}}, []string{both, both}, 3, 0, ""},
		{"a connection that ends with the mail", map[string][]string{".": {"250 ok!"}}, []string{both, both}, 2, 0, ""},
		{"a goodbye without an answer", map[string][]string{"QUIT": {"!"}}, []string{both, both}, 2, 0, ""},
		{"a goodbye that is refused", map[string][]string{"QUIT": {"500 what"}, "RSET": {"500 what"}}, []string{both, both}, 2, 0, ""},
		{"a connection that ends early", map[string][]string{"MAIL": {"!", "250 ok"}}, []string{both, both}, 3, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			server := &mailServer{replies: c.replies}
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go server.serve(conn)
				}
			}()
			outcomes := sendTwo(t, l.Addr().String())
			server.mu.Lock()
			defer server.mu.Unlock()
			failed := 0
			for _, o := range outcomes {
				failed += len(o.Failed)
			}
			if diff := cmp.Diff(c.got, server.got); diff != "" || server.conns != c.conns || failed != c.failed {
				t.Errorf("%d connections, want %d, and %d messages failed, want %d; mail (-want +got):\n%s", server.conns, c.conns, failed, c.failed, diff)
			}
			if got := failures(outcomes); got != c.want && (c.want != "" || c.failed == 0) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// sendTwo sends two messages to a mail server that wants no password.
func sendTwo(t *testing.T, address string) []SendResult {
	t.Helper()
	s, dir := opened(t, notifytest.New(t), address)
	for name, value := range map[string]string{"mail.host": address, "mail.user": "", "mail.password": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s.Send(t.Context(), "web", all[2:], messageTo(failing(refused(), gone()), all[2:]...))
}

func TestRecipients(t *testing.T) {
	for list, want := range map[string][]string{
		"a@example.com,b@example.com":                           {"<a@example.com>", "<b@example.com>"},
		"a@example.com, b@example.com,\n":                       {"<a@example.com>", "<b@example.com>"},
		"a@example.com\r\nb@example.com":                        {"<a@example.com>", "<b@example.com>"},
		"a@example.com b@example.com":                           {"a@example.com", "b@example.com"},
		"Ada Lovelace <a@example.com>, On Call <b@example.com>": {`"Ada Lovelace" <a@example.com>`, `"On Call" <b@example.com>`},
		`"Lovelace, Ada" <a@example.com>`:                       {`"Lovelace, Ada" <a@example.com>`},
	} {
		if diff := cmp.Diff(want, recipients(list)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", list, diff)
		}
	}
}

// A server may repeat the line with which somebody logs in.
func TestLoginsOfMailAreHidden(t *testing.T) {
	s, _ := opened(t, notifytest.New(t), "127.0.0.1")
	if _, err := s.open(all[2]); err != nil && !strings.Contains(err.Error(), "does not list") {
		t.Fatal(err)
	}
	for _, sent := range []string{
		"\x00" + notifytest.User + "\x00" + notifytest.Password, // RFC 4616
		notifytest.Password,
		notifytest.User + ":" + notifytest.Password,
	} {
		line := base64.StdEncoding.EncodeToString([]byte(sent))
		if got := secret.Hide("535 5.7.8 bad: AUTH " + line); strings.Contains(got, line) || strings.Contains(got, line[:len(line)/2]) {
			t.Errorf("it shows %s", got)
		}
	}
}
