package credentials

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestRedaction(t *testing.T) {
	c := Credential{Username: "hunter2", Password: "hunter2", IdentityToken: "hunter2", RegistryToken: "hunter2"}
	type holder struct {
		C Credential
		P *Credential
	}
	values := []any{c, &c, holder{c, &c}, []Credential{c}, map[Credential]Credential{c: c}}
	var shown []string
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			shown = append(shown, fmt.Sprintf(verb, v))
		}
		var text, lines bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&lines, nil)).Info("m", "v", v)
		content, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, text.String(), lines.String(), string(content))
	}
	content, err := xml.Marshal(holder{c, &c})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(shown, string(content)) {
		if strings.Contains(s, "hunter2") || strings.Contains(s, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("shown: %s", s)
		}
	}
	for _, x := range []struct {
		c    Credential
		want string
	}{
		{Credential{}, "anonymous"},
		{c, "credential (redacted)"},
	} {
		if got := x.c.String(); got != x.want {
			t.Errorf("got %q, want %q", got, x.want)
		}
	}
}
