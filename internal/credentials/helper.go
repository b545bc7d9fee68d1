package credentials

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	protocol "github.com/docker/docker-credential-helpers/credentials"
)

// maxAnswer bounds what a helper may print, in bytes.
const maxAnswer = 1 << 20

// program is the prefix of every helper's program.
const program = "docker-credential-"

// A HelperError is a credential helper that cannot be run, or that fails.
type HelperError struct {
	Program string
	Server  string // the server that it was asked for
	Err     error
}

func (e *HelperError) Error() string {
	return fmt.Sprintf("asking the credential helper %s for %q: %v", e.Program, e.Server, e.Err)
}

func (e *HelperError) Unwrap() error { return e.Err }

// Advice returns what a person can do about it.
func (e *HelperError) Advice() string {
	first := "run " + e.Program + " by hand to see why it fails"
	if errors.Is(e.Err, errMissing) {
		first = "install " + e.Program
	}
	return first + ", or correct credHelpers or credsStore in the Docker configuration file"
}

var errMissing = errors.New("program not found in PATH")

// helpers runs credential helpers and keeps their answers for a while.
type helpers struct {
	timeout time.Duration // of one run
	gets    memo[Credential]
	lists   memo[map[string]string]
}

// stored asks the helper for the credential under key. It asks for a namespace only if
// the helper lists it, and for a host in any case: helpers that make credentials on
// demand list none.
func (h *helpers) stored(ctx context.Context, name, key string) (Credential, error) {
	server, listed := h.list(ctx, name)[key]
	if !listed {
		if strings.Contains(key, "/") {
			return Credential{}, nil
		}
		server = serverURL(key)
	}
	return h.get(ctx, name, server)
}

// get asks the helper for a server's credential, which is zero if it has none.
func (h *helpers) get(ctx context.Context, name, server string) (Credential, error) {
	return h.gets.do(ctx, name+" "+server, func() (Credential, error) {
		c, err := h.ask(ctx, name, server)
		if err != nil {
			return Credential{}, &HelperError{Program: program + name, Server: server, Err: err}
		}
		return c, nil
	})
}

func (h *helpers) ask(ctx context.Context, name, server string) (Credential, error) {
	out, err := h.run(ctx, name, "get", server)
	if err != nil || out == nil {
		return Credential{}, err
	}
	var got protocol.Credentials
	if json.Unmarshal(out, &got) != nil {
		return Credential{}, errors.New("the answer is not JSON")
	}
	// Some helpers answer with a similar server's credential if they lack the one they
	// are asked for.
	if got.ServerURL != "" && normalizeKey(got.ServerURL) != normalizeKey(server) {
		return Credential{}, fmt.Errorf("the answer is the credential of %q, which is not used for any other server", got.ServerURL)
	}
	if got.Username == "<token>" {
		return Credential{IdentityToken: got.Secret}.hidden(), nil
	}
	return Credential{Username: got.Username, Password: got.Secret}.hidden(), nil
}

// list returns the helper's own name of each key that it has stored. Some helpers
// cannot list.
func (h *helpers) list(ctx context.Context, name string) map[string]string {
	servers, _ := h.lists.do(ctx, name, func() (map[string]string, error) {
		out, err := h.run(ctx, name, "list", "")
		if err != nil {
			return nil, err
		}
		var users map[string]string
		if err := json.Unmarshal(out, &users); err != nil {
			return nil, err
		}
		for server := range users {
			users[server] = server
		}
		return normalize(users), nil
	})
	return servers
}

// run runs the helper and returns its output, which is nil if the helper has no
// credential.
func (h *helpers) run(ctx context.Context, name, verb, input string) ([]byte, error) {
	limit, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	var out, complaint cappedBuffer
	cmd := exec.CommandContext(limit, program+name, verb) //nolint:gosec // the user's configuration names it
	cmd.Stdin = strings.NewReader(input)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.WaitDelay = time.Second // a child process may keep the output open
	err := cmd.Run()
	// By the protocol, the reason of a failure is on stdout.
	said := strings.TrimSpace(cmp.Or(out.buf.String(), complaint.buf.String()))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limit.Err() != nil:
		return nil, fmt.Errorf("no answer within %s", h.timeout)
	case out.full || complaint.full:
		return nil, fmt.Errorf("the answer exceeds %d bytes", maxAnswer)
	case errors.Is(err, exec.ErrNotFound):
		return nil, errMissing
	case err != nil && protocol.IsErrCredentialsNotFoundMessage(said):
		return nil, nil
	case err != nil && said != "" && !strings.Contains(said, "{"):
		// A "{" may begin a credential, which must not be shown.
		return nil, fmt.Errorf("%w: %.200q", err, said)
	}
	return out.buf.Bytes(), err
}

// A cappedBuffer holds at most maxAnswer bytes. The buffer is a field: io.Copy would
// use the ReadFrom of an embedded one.
type cappedBuffer struct {
	buf  bytes.Buffer
	full bool
}

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > maxAnswer {
		b.full = true
		return 0, errors.New("the buffer is full")
	}
	return b.buf.Write(p)
}
