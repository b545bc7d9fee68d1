// Command runc removes CAP_SYS_RESOURCE from what a container asks for, and then runs the real
// runc. A kind node is a privileged container, which asks for every capability. If the machine
// itself lacks this one, runc would refuse to start the node.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	runc   = "/usr/sbin/runc"
	denied = "CAP_SYS_RESOURCE"
)

func main() {
	fmt.Fprintln(os.Stderr, "runc:", run(os.Args[1:]))
	os.Exit(1)
}

// run replaces this process by the real runc. It returns only if that fails.
func run(args []string) error {
	if bundle, ok := flag(args, "bundle", "b"); ok {
		if err := edit(filepath.Join(bundle, "config.json"), "process", "capabilities"); err != nil {
			return err
		}
	}
	if process, ok := flag(args, "process", "p"); ok {
		if err := edit(process, "capabilities"); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", runc, syscall.Exec(runc, append([]string{"runc"}, args...), os.Environ()))
}

// flag returns the value of a flag of runc's "create" and "exec", by its long or its short name.
func flag(args []string, long, short string) (string, bool) {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--"+long+"="); ok {
			return value, true
		}
		if (arg == "--"+long || arg == "-"+short) && i+1 < len(args) {
			return args[i+1], true
		}
	}
	return "", false
}

// edit removes the capability from every set of the object at path in a JSON file.
func edit(file string, path ...string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var document map[string]any
	// Limits can be larger than a float64 can represent exactly.
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&document); err != nil {
		return fmt.Errorf("reading %q: %w", file, err)
	}
	drop(document, path)
	b, err = json.Marshal(document)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

func drop(object map[string]any, path []string) {
	for _, name := range path {
		object, _ = object[name].(map[string]any)
	}
	for set, value := range object {
		if list, ok := value.([]any); ok {
			object[set] = slices.DeleteFunc(list, func(c any) bool { return c == denied })
		}
	}
}
