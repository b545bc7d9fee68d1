package notify

import (
	"testing"

	"imagemirror/internal/secret"
)

// Of a target's URL, what follows the host and who is named before it open the target. The host
// is that of registries too, and stays readable.
func TestOnlyTheSecretPartsOfURLsAreHidden(t *testing.T) {
	for _, c := range []struct{ address, text, want string }{
		{"https://hooks.slack.example/services/T0A/B0B/4f1d9c", "hooks.slack.example said /services/T0A/B0B/4f1d9c", "hooks.slack.example said ***"},
		{"http://localhost:5001/relay-9d1c7a", "localhost:5001 and localhost:5002: no answer", "localhost:5001 and localhost:5002: no answer"},
		{"http://localhost:5001/relay-9d1c7a55e0", "localhost:5001: /relay-9d1c7a55e0 is lost", "localhost:5001: *** is lost"},
		{"https://one.example?key=5e81c0d3&x=1", "one.example refuses 5e81c0d3", "one.example refuses ***"},
		{"https://ada:9b2c77d1@two.example/", "two.example refuses ada with 9b2c77d1", "two.example refuses ada with ***"},
		{"https://tok%2Fen-88@three.example/", "three.example refuses tok/en-88", "three.example refuses ***"},
		{"four.example/not-a-url-61f0", "four.example has /not-a-url-61f0", "four.example has ***"},
	} {
		hideAddress(c.address)
		if got := secret.Hide(c.text); got != c.want {
			t.Errorf("%s: got %q, want %q", c.address, got, c.want)
		}
	}
}
