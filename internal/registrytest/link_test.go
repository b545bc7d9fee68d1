package registrytest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A link delays and slows down what passes, and changes none of it.
func TestLinkCarriesEverything(t *testing.T) {
	const rate, length = 20_000_000, 1_000_000
	backend := Distribution(t, DistributionOptions{})
	link := NetworkLink{RoundTrip: 10 * time.Millisecond, Rate: rate}
	p := NewProxy(t, backend, ProxyOptions{Link: link})
	p.Inject(FaultRule{Fault: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.Copy(w, r.Body)
		})
	}})
	sent := strings.Repeat("0123456789", length/10)
	began := time.Now()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.Host+"/v2/", strings.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != sent {
		t.Errorf("%d bytes came back, %v; want the %d that were sent", len(got), err, len(sent))
	}
	// It may take longer on a busy machine, and never less.
	if took := time.Since(began); took < link.RoundTrip+length*time.Second/rate {
		t.Errorf("it took %s, which is less than the link allows", took)
	}
}
