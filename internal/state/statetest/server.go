// Package statetest serves the ConfigMaps of a state, for tests and benchmarks without a cluster.
package statetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// A Server creates and gets ConfigMaps, which are the two requests that a state needs. The zero
// Server has none.
type Server struct {
	mu      sync.Mutex
	objects map[string][]byte // as they came
}

// Kubeconfig returns a kubeconfig for a Server at a URL.
func Kubeconfig(url string) []byte {
	return fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Config", "current-context": "x",
"clusters": [{"name": "x", "cluster": {"server": %q}}], "contexts": [{"name": "x", "context": {"cluster": "x"}}]}`, url)
}

// Reset deletes all ConfigMaps.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = nil
}

// ServeHTTP answers a request as the API server does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		s.get(w, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		return
	}
	body, err := io.ReadAll(r.Body)
	var object struct{ Metadata struct{ Name string } }
	if err = errors.Join(err, json.Unmarshal(body, &object)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s.objects[object.Metadata.Name] != nil {
		writeStatus(w, http.StatusConflict, "AlreadyExists")
		return
	}
	if s.objects == nil {
		s.objects = map[string][]byte{}
	}
	s.objects[object.Metadata.Name] = body
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body)
}

func (s *Server) get(w http.ResponseWriter, name string) {
	if object := s.objects[name]; object != nil {
		_, _ = w.Write(object)
		return
	}
	writeStatus(w, http.StatusNotFound, "NotFound")
}

func writeStatus(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": %q, "code": %d}`, reason, code)
}
