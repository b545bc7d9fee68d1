package command

import (
	"strings"
	"testing"
)

// Only plain decimal numbers are valid, in variables and in flags.
func TestNumbersArePlainDecimals(t *testing.T) {
	refused := []string{"", " 5", "5 ", "+5", "-0", "010", "00", "-01", "0x10", "0o10", "0b10", "1_0", "1e3", "1,000", "\u0665", "\uff15", "16\n", "five"}
	for _, value := range append(refused, "1.0", "NaN", "99999999999999999999", "-99999999999999999999") {
		refuse(t, "MIRROR_CONCURRENCY", value, "give a")
		var w Whole
		if err := w.Set(value); err == nil || w != 0 {
			t.Errorf("a flag reads %q as %d", value, w)
		}
	}
	for _, value := range append(refused, ".5", "5.", "Inf", "NaN", "0x1p4", "01.5", "1_0.5", strings.Repeat("9", 400)) {
		refuse(t, "MIRROR_SHARE", value, "give a")
	}
	for value, want := range map[string]float64{"0": 0, "16": 16, "-1": -1, "0.25": 0.25, "10.0": 10, "-0.5": -0.5} {
		t.Setenv("MIRROR_SHARE", value)
		var env settings
		if err := readEnvironment(&env); err != nil || env.Share != want {
			t.Errorf("%q is read as %g, %v", value, env.Share, err)
		}
	}
	t.Setenv("MIRROR_SHARE", "1")
	for value, want := range map[string]int{"0": 0, "16": 16, "-1": -1, "1000": 1000} {
		t.Setenv("MIRROR_CONCURRENCY", value)
		var env settings
		var w Whole
		if err := readEnvironment(&env); err != nil || env.Concurrency != want || w.Set(value) != nil || int(w) != want {
			t.Errorf("%q is read as %d, %d, %v", value, env.Concurrency, w, err)
		}
	}
}

// refuse fails the test if a variable may have the value, or if the error is not one short line
// with the variable's name and what to give it.
func refuse(t *testing.T, name, value, advice string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Setenv(name, value)
		err := readEnvironment(&settings{})
		if err == nil {
			t.Fatalf("%q is accepted", value)
		}
		if s := err.Error(); !strings.HasPrefix(s, name+" is ") || !strings.Contains(s, advice) || strings.Contains(s, "\n") || len(s) > 300 {
			t.Errorf("%q: %s", value, s)
		}
	})
}

func TestEmptyVariables(t *testing.T) {
	for name, want := range map[string]string{
		"MIRROR_CONCURRENCY": "MIRROR_CONCURRENCY is empty: give a whole number, such as 16, or unset it",
		"MIRROR_SHARE":       "MIRROR_SHARE is empty: give a number, such as 0.5, or unset it",
		"MIRROR_FOREIGN":     "MIRROR_FOREIGN is empty: give true or false, or unset it",
		"MIRROR_PATIENCE":    "MIRROR_PATIENCE is empty: give a duration, such as 90s, or unset it",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "")
			if err := readEnvironment(&settings{}); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}
