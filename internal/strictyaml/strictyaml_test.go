package strictyaml_test

import (
	"strings"
	"testing"

	"imagemirror/internal/finding"
	"imagemirror/internal/strictyaml"
)

// A number has one form, whatever else YAML reads as a number.
func TestNumbersArePlainDecimals(t *testing.T) {
	read := func(value string) (n int, err error) {
		found := strictyaml.Read(finding.Input, "f.yml", []byte("cap: "+value+"\n"), 1<<20, func(v strictyaml.Value) {
			v.Keys(strictyaml.Key{Name: "cap", Read: func(v strictyaml.Value) { n = v.Number(-5, 1000) }})
		})
		return n, found.Err()
	}
	for value, want := range map[string]int{"0": 0, "1": 1, "16": 16, "-1": -1, "1000": 1000, " 5 ": 5, "5 # a comment": 5} {
		if n, err := read(value); n != want || err != nil {
			t.Errorf("%q is read as %d, %v", value, n, err)
		}
	}
	for _, value := range []string{"", "~", "0x10", "010", "0o10", "0b10", "1_0", "+5", "-0", "00", "-01", "1e2", "5.0", "\u0665", "1,0", "1:30", `"5"`, "'5'", "true", "[5]", "99999999999999999999"} {
		if n, err := read(value); n != 0 || err == nil || !strings.HasPrefix(err.Error(), "f.yml:1: cap is ") || !strings.Contains(err.Error(), "write a number from -5 to 1000 in plain decimal digits") {
			t.Errorf("%q is read as %d, %v", value, n, err)
		}
	}
	for _, value := range []string{"-6", "1001"} {
		if n, err := read(value); n != 0 || err == nil || !strings.Contains(err.Error(), `"`+value+`": write a number from -5 to 1000, or`) {
			t.Errorf("%q is read as %d, %v", value, n, err)
		}
	}
}
