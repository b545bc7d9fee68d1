package notify

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"imagemirror/internal/notify/notifytest"
)

// A mail server without TLS gets no message that has a password, and another try does not help.
func TestMailServersWithoutTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var tries, passwords atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			tries.Add(1)
			fmt.Fprint(conn, "220 plain\r\n")
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "AUTH") {
					passwords.Add(1)
				}
				fmt.Fprint(conn, "250 yes\r\n")
			}
		}
	}()
	r := notifytest.New(t)
	s, dir := opened(t, r, l.Addr().String())
	if err := os.WriteFile(filepath.Join(dir, "mail.host"), []byte(l.Addr().String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got := failures(s.Send(t.Context(), "web", all[2:], messageTo(failing(refused()), all[2:]...)))
	const want = "email mail: 127.0.0.1 has no STARTTLS: mail goes in the clear only without a user, and to a host that the policy or MIRROR_NOTIFY_HOSTS lists"
	if got != want || tries.Load() != 1 || passwords.Load() > 0 {
		t.Errorf("after %d tries and %d passwords: got %q, want %q", tries.Load(), passwords.Load(), got, want)
	}
}
