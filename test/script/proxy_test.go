package script

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// startProxy implements the command proxy NAME REGISTRY: it starts an HTTP proxy that leads
// every host to the registry, so that a script can give the registry any name.
func startProxy(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "proxy NAME REGISTRY")
	to := worldOf(ts).registry(ts, args[1]).Host
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tunnel(w, r, to) }))
	ts.Defer(server.Close)
	ts.Setenv(args[0], strings.TrimPrefix(server.URL, "http://"))
}

// tunnel answers CONNECT: it copies between the client and the registry until one of them closes.
func tunnel(w http.ResponseWriter, r *http.Request, to string) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only CONNECT is supported", http.StatusMethodNotAllowed)
		return
	}
	registry, err := net.Dial("tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer registry.Close()
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	go func() {
		_, _ = io.Copy(registry, buffered) // the server may have read the first bytes already
		registry.Close()
	}()
	_, _ = io.Copy(client, registry)
}
