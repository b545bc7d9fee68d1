// Command newset writes a new image set: a whole one, which the presubmit passes and a cluster runs as it is.
//
//	make new-set NAME=payments DEST=quay.io/payments
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// root is the directory of the image sets.
const root = "image-sets"

func main() {
	name := flag.String("name", "", "name of the set")
	destination := flag.String("dest", "", "what the set publishes below, such as quay.io/payments")
	source := flag.String("source", "", "its first image (registry.ci.openshift.org/NAME/NAME:latest unless given)")
	owners := flag.String("owners", "", "its approvers, with commas between them (you, by git's user.email, unless given)")
	flag.Parse()
	line, err := run(*name, *destination, *source, *owners)
	if err != nil {
		fmt.Fprintln(os.Stderr, "new-set:", err)
		os.Exit(1)
	}
	fmt.Printf("%s/%s is written, and listed in %s/kustomization.yaml. Its first mapping is\n%s\n", root, *name, root, line)
}

// run writes the set and returns its first mapping.
func run(name, destination, source, owners string) (string, error) {
	if name == "" || destination == "" || flag.NArg() > 0 {
		return "", errors.New("give the set's name and where it publishes: make new-set NAME=payments DEST=quay.io/payments")
	}
	if owners == "" {
		var err error
		if owners, err = caller(); err != nil {
			return "", err
		}
	}
	if source == "" {
		source = fmt.Sprintf("registry.ci.openshift.org/%s/%s:latest", name, name)
	}
	s, err := newSet(name, destination, source, strings.Split(owners, ","))
	if err != nil {
		return "", err
	}
	return s.mapping(), s.write(root)
}

// caller is the name that the caller commits under, as OWNERS files name people.
func caller() (string, error) {
	email, err := exec.Command("git", "config", "user.email").Output()
	name, _, _ := strings.Cut(strings.TrimSpace(string(email)), "@")
	if err != nil || name == "" {
		return "", errors.New("git knows no user.email to take your name from: give OWNERS=alice,bob")
	}
	return name, nil
}
