package quantity

import "testing"

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"": 0, "1": 1, "500Mi": 500 << 20, "2Gi": 2 << 30, "1.5k": 1500, "1e6": 1_000_000, "1Pi": 1 << 50, "1.5Gi": 3 << 29, "2000m": 2} {
		var b Bytes
		if err := b.Set(text); err != nil || b != want {
			t.Errorf("%s is read as %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"0", "-1Gi", "2Pi", "many", "1 Gi", "1GiB", "100m0", "100m", "1500m", "0.5", "1.0001k", "99999999999999999999Ei"} {
		var b Bytes
		if err := b.Set(text); err == nil || b != 0 {
			t.Errorf("%q is read as %d", text, b)
		}
	}
}
