// Package platforms chooses what a list of platforms leaves of an index, and writes the index
// that has nothing else. Its functions are pure: they ask nobody, and their results do not depend
// on the machine that they run on.
//
// Names of platforms, and which of them are the same, follow github.com/containerd/platforms. The
// package is not used, since there an empty operating system is that of the program itself, and an
// os.version of Windows names a host that has to run the image. A mirror must not depend on where
// it runs, and has no host.
package platforms

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"imagemirror/internal/text"
)

// Max is the largest number of platforms of a List.
const Max = 32

// maxName bounds the name of a platform, in bytes.
const maxName = 100

// A Platform is what an image runs on, in its normal form: see Normal.
type Platform struct {
	OS, Version  string   // Version is os.version, of Windows
	Features     []string // os.features, sorted, each once
	Architecture string
	Variant      string // of the architecture
}

// A List has the platforms that are asked for.
type List []Platform

// nameRE matches OS[(VERSION+FEATURE...)]/ARCHITECTURE[/VARIANT].
var nameRE = regexp.MustCompile(`^([a-z0-9_-]+)(?:\(([a-z0-9_.-]*)((?:\+[a-z0-9_.-]+)*)\))?/([a-z0-9_.-]+)(?:/([a-z0-9_.-]+))?$`)

// Go's operating systems and architectures (src/internal/syslist), and the names that containerd
// knows for them. Runtimes for WebAssembly give wasi for an operating system.
var (
	systems       = strings.Fields("aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasi wasip1 windows zos")
	architectures = strings.Fields("386 amd64 amd64p32 arm arm64 arm64be armbe loong64 mips mips64 mips64le mips64p32 mips64p32le mipsle ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm")
)

// Parse reads the name of a platform, such as linux/arm64/v8 or windows(10.0.20348)/amd64. Capitals
// do not matter. Its errors say what to write instead.
func Parse(name string) (Platform, error) {
	m := nameRE.FindStringSubmatch(strings.ToLower(name))
	if m == nil || len(name) > maxName {
		return Platform{}, errors.New("write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64/v8")
	}
	var features []string
	if m[3] != "" {
		features = strings.Split(m[3][1:], "+")
	}
	p := Platform{OS: m[1], Version: m[2], Features: features, Architecture: m[4], Variant: m[5]}.Normal()
	switch {
	case !slices.Contains(systems, p.OS):
		return Platform{}, fmt.Errorf("no operating system is called %s: write one such as linux or windows", p.OS)
	case !slices.Contains(architectures, p.Architecture):
		return Platform{}, fmt.Errorf("no architecture is called %s: write one such as amd64 or arm64", p.Architecture)
	}
	return p, nil
}

// Normal returns the platform under the names that images for it should have: linux/aarch64/v8 is
// linux/arm64, and linux/arm is linux/arm/v7.
func (p Platform) Normal() Platform {
	p.OS = strings.ToLower(p.OS)
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	p.Architecture, p.Variant = normalArchitecture(strings.ToLower(p.Architecture), strings.ToLower(p.Variant))
	if len(p.Features) > 0 {
		p.Features = slices.Compact(slices.Sorted(slices.Values(p.Features)))
	}
	return p
}

func normalArchitecture(architecture, variant string) (string, string) {
	switch architecture {
	case "i386":
		return "386", ""
	case "armhf":
		return "arm", "v7"
	case "armel":
		return "arm", "v6"
	case "x86_64", "x86-64":
		architecture = "amd64"
	case "aarch64":
		architecture = "arm64"
	}
	switch architecture + "/" + variant {
	case "amd64/v1", "arm64/8", "arm64/v8":
		variant = ""
	case "arm/", "arm/7":
		variant = "v7"
	case "arm/5", "arm/6", "arm/8":
		variant = "v" + variant
	}
	return architecture, variant
}

// String returns the name of the platform, as Parse reads it if the platform is one that Parse
// knows. It is one printable line.
func (p Platform) String() string {
	name := p.OS
	if p.Version != "" || len(p.Features) > 0 {
		name += "(" + strings.Join(append([]string{p.Version}, p.Features...), "+") + ")"
	}
	name += "/" + p.Architecture
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	return text.Line(name, 2*maxName)
}

// Match reports whether the list asks for images of a platform, which is in its normal form.
func (l List) Match(p Platform) bool {
	return slices.ContainsFunc(l, func(wanted Platform) bool { return wanted.matches(p) })
}

// matches reports whether a platform is asked for by this one. They have to be equal, but for two
// things. A version asks for those that it is the beginning of, and for images that have none. An
// image may lack features, and the one that all images with Windows' desktop have is not compared.
func (p Platform) matches(of Platform) bool {
	return p.OS == of.OS && p.Architecture == of.Architecture && p.Variant == of.Variant &&
		(p.Version == "" || of.Version == "" || p.Version == of.Version || strings.HasPrefix(of.Version, p.Version+".")) &&
		!slices.ContainsFunc(of.Features, func(f string) bool {
			return !slices.Contains(p.Features, f) && (of.OS != "windows" || f != "win32k")
		})
}

// Strings returns the names of the platforms.
func (l List) Strings() []string {
	var names []string
	for _, p := range l {
		names = append(names, p.String())
	}
	return names
}

// String lists the platforms.
func (l List) String() string { return strings.Join(l.Strings(), ", ") }
