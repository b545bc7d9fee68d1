package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A directory for registries may be empty, as the ConfigMap is after the installation. One in
// which only names are wrong is refused: without it, a run would ask other registries.
func TestRegistriesDirectory(t *testing.T) {
	const none = "and neither registries.conf nor ca.pem: rename it"
	for _, c := range []struct {
		files, says string
		conf, ca    bool
	}{
		{files: ""},
		{files: "registries.conf", conf: true},
		{files: "ca.pem", ca: true},
		{files: "README.md ca.pem registries.conf", conf: true, ca: true},
		{files: "..data ..2026_11_29", says: ""},
		{files: "registry.conf", says: "registry.conf\" " + none},
		{files: "Registries.conf ca.crt", says: "Registries.conf\" " + none},
		{files: "..data registries.conf.txt", says: "registries.conf.txt\" " + none},
	} {
		t.Run(c.files, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range strings.Fields(c.files) {
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Config{RegistriesDir: dir}.fromDirectory()
			if (err == nil) != (c.says == "") || !strings.Contains(fmt.Sprint(err), c.says) && c.says != "" {
				t.Errorf("the error is %v, want %q", err, c.says)
			}
			if (got.RegistriesConf != "") != c.conf || (got.CAFile != "") != c.ca {
				t.Errorf("got %q and %q", got.RegistriesConf, got.CAFile)
			}
			given, err := Config{RegistriesDir: dir, RegistriesConf: "a", CAFile: "b"}.fromDirectory()
			if err != nil || given.RegistriesConf != "a" || given.CAFile != "b" {
				t.Errorf("variables of their own give way: %+v, %v", given, err)
			}
		})
	}
	if _, err := (Config{RegistriesDir: "nowhere"}).fromDirectory(); err != nil {
		t.Errorf("a directory that is not mounted: %v", err)
	}
}
