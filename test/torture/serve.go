package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"imagemirror/internal/state/statetest"
)

// serving is the environment variable that makes this program the registries. They take much
// memory, and Linux counts that of the process that starts a program as the program's own.
const serving = "TORTURE_SERVE"

// serveHostile serves the cases of space, one after the other, as standard input names them, and
// an API server, whose address it tells first.
func serveHostile() {
	var state statetest.Server
	answers := json.NewEncoder(os.Stdout)
	_ = answers.Encode("http://" + listen(&state))
	destination := listen(nothingThere{})
	hosts := make([]*hostile, len(space)+1)
	addresses := make([]string, len(hosts))
	for i := range hosts {
		hosts[i] = &hostile{}
		addresses[i] = listen(hosts[i])
	}
	for names := bufio.NewScanner(os.Stdin); names.Scan(); {
		state.Reset()
		var lines []string
		add := func(i int, make func(*hostile), good int) {
			for _, l := range hosts[i].prepare(make, good) {
				to, _, _ := strings.Cut(l, ":*")
				lines = append(lines, fmt.Sprintf("%s/%s %s/h%d/%s", addresses[i], l, destination, i, to))
			}
		}
		if one := slices.IndexFunc(space, func(c hostileCase) bool { return c.name == names.Text() }); one >= 0 {
			add(0, space[one].make, good)
		} else {
			for i, c := range space {
				add(i, c.make, 0)
			}
			add(len(space), func(*hostile) {}, good)
		}
		_ = answers.Encode(lines)
	}
}

// listen serves on a port of its own, and returns the address.
func listen(h http.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { panic(http.Serve(l, h)) }()
	return l.Addr().String()
}

// A nothingThere is a registry that is empty, and accepts everything.
type nothingThere struct{}

func (nothingThere) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body)
	switch q.Method {
	case http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
	case http.MethodPost, http.MethodPatch:
		w.Header().Set("Location", "/v2/upload")
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		w.WriteHeader(http.StatusCreated)
	}
}
