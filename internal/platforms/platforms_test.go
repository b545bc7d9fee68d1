package platforms

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func list(t *testing.T, names ...string) List {
	t.Helper()
	var l List
	for _, name := range names {
		p, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, p)
	}
	return l
}

// The names of the tests of github.com/containerd/platforms, and those that people write.
func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64":                        "linux/amd64",
		"linux/amd64/v1":                     "linux/amd64",
		"linux/amd64/v3":                     "linux/amd64/v3",
		"linux/x86_64":                       "linux/amd64",
		"linux/x86-64/v2":                    "linux/amd64/v2",
		"linux/i386":                         "linux/386",
		"linux/arm64":                        "linux/arm64",
		"linux/arm64/v8":                     "linux/arm64",
		"linux/arm64/8":                      "linux/arm64",
		"linux/arm64/v9":                     "linux/arm64/v9",
		"linux/aarch64":                      "linux/arm64",
		"Linux/ARM64/V8":                     "linux/arm64",
		"linux/arm":                          "linux/arm/v7",
		"linux/arm/7":                        "linux/arm/v7",
		"linux/arm/v6":                       "linux/arm/v6",
		"linux/arm/5":                        "linux/arm/v5",
		"linux/armhf":                        "linux/arm/v7",
		"linux/armel":                        "linux/arm/v6",
		"macos/arm64":                        "darwin/arm64",
		"windows(10.0.20348)/amd64":          "windows(10.0.20348)/amd64",
		"windows(10.0.20348+win32k+a)/amd64": "windows(10.0.20348+a+win32k)/amd64",
		"linux(+erofs)/amd64":                "linux(+erofs)/amd64",
		"wasi/wasm":                          "wasi/wasm",
	} {
		p, err := Parse(in)
		if err != nil || p.String() != want {
			t.Errorf("%s is %s, %v, want %s", in, p, err, want)
		}
		if again, err := Parse(p.String()); err != nil || !cmp.Equal(again, p) {
			t.Errorf("%s is read again as %s, %v", p, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const form = "write OS/ARCHITECTURE"
	for in, want := range map[string]string{
		"":                                  form,
		"linux":                             form,
		"amd64":                             form,
		"linux/":                            form,
		"/amd64":                            form,
		"linux/amd64/":                      form,
		"linux/amd64/v1/x":                  form,
		"linux/*":                           form,
		"linux amd64":                       form,
		"linux/amd64\n":                     form,
		"linux/amd64\x00":                   form,
		"linux(/amd64":                      form,
		"linux(10)(11)/amd64":               form,
		"linux(1+)x/amd64":                  form,
		strings.Repeat("x", 200):            form,
		"linux/" + strings.Repeat("a", 200): form,
		"linus/amd64":                       "no operating system is called linus",
		"unknown/unknown":                   "no operating system is called unknown",
		"linux/amd46":                       "no architecture is called amd46",
		"amd64/linux":                       "no operating system is called amd64",
	} {
		if p, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %s, %v, want an error that says %q", in, p, err, want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		wanted, image string
		want          bool
	}{
		{"linux/amd64", "linux/amd64", true},
		{"linux/amd64", "linux/amd64/v2", false},
		{"linux/amd64/v2", "linux/amd64", false},
		{"linux/amd64", "windows/amd64", false},
		{"linux/amd64", "linux/arm64", false},
		{"linux/arm64/v8", "linux/arm64", true},
		{"linux/arm64", "linux/aarch64/8", true},
		{"linux/arm64", "linux/arm64/v9", false},
		{"linux/arm", "linux/arm/v7", true},
		{"linux/arm/v7", "linux/arm/v6", false},
		{"windows/amd64", "windows(10.0.17763.2114)/amd64", true},
		{"windows(10.0.17763)/amd64", "windows(10.0.17763.2114)/amd64", true},
		{"windows(10.0.17763.2114)/amd64", "windows(10.0.17763.2114)/amd64", true},
		{"windows(10.0.17763)/amd64", "windows(10.0.177631.1)/amd64", false},
		{"windows(10.0.17763)/amd64", "windows(10.0.20348.1)/amd64", false},
		{"windows(10.0.17763)/amd64", "windows/amd64", true},
		{"windows/amd64", "windows(10.0.17763+win32k)/amd64", true},
		{"windows/amd64", "windows(10.0.17763+other)/amd64", false},
		{"linux/amd64", "linux(+erofs)/amd64", false},
		{"linux/amd64", "linux(+win32k)/amd64", false},
		{"linux(+erofs)/amd64", "linux(+erofs)/amd64", true},
		{"linux(+erofs)/amd64", "linux/amd64", true},
	} {
		if got := list(t, "plan9/386", c.wanted).Match(list(t, c.image)[0]); got != c.want {
			t.Errorf("%s asks for %s: %t, want %t", c.wanted, c.image, got, c.want)
		}
	}
}

func TestOf(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"an image", `{"created":"x","architecture":"arm64","os":"linux","variant":"v8","rootfs":{"os":"y"}}`, "linux/arm64"},
		{"Windows", `{"architecture":"amd64","os":"windows","os.version":"10.0.17763.1","os.features":["win32k"]}`, "windows(10.0.17763.1+win32k)/amd64"},
		{"nulls", `{"architecture":"amd64","os":"linux","variant":null,"os.features":null}`, "linux/amd64"},
		{"junk is one line", `{"architecture":"a\n\u001b[31m","os":"linux"}`, `linux/a\n\x1b[31m`},
		{"nothing", `{}`, ""},
		{"no architecture", `{"os":"linux"}`, ""},
		{"no system", `{"os":"","architecture":"amd64"}`, ""},
		{"twice", `{"os":"linux","architecture":"amd64","architecture":"arm64"}`, ""},
		{"another spelling", `{"os":"linux","architecture":"amd64","Architecture":"arm64"}`, ""},
		{"a number", `{"os":"linux","architecture":64}`, ""},
		{"features that are a text", `{"os":"linux","architecture":"amd64","os.features":"x"}`, ""},
		{"a list", `[]`, ""},
		{"no JSON", `os: linux`, ""},
	} {
		p, err := Of([]byte(c.config))
		if got := p.String(); c.want != "" && (err != nil || got != c.want) || c.want == "" && err == nil {
			t.Errorf("%s: %s, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, in := range []string{"linux/amd64", "windows(10.0.1+a+b)/amd64", "linux/arm/v7", "a(/b", "linux/armhf/v6"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := Parse(in)
		if err != nil {
			return
		}
		again, err := Parse(p.String())
		if err != nil || !cmp.Equal(again, p) {
			t.Errorf("%q is %q, which is read as %q, %v", in, p, again, err)
		}
		if !(List{p}).Match(p) {
			t.Errorf("%q does not ask for itself", p)
		}
	})
}
